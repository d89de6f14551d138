//! A HealthFlow that offers versions: an update names the one that the task saw last (`If-Match`), so it may be repeated at
//! once. What an office edited by hand is read and compared before the task writes over it (rules W5, W6).

use healthflow_core::appointment::Revision;
use healthflow_core::appointment::fingerprint::fingerprint;
use healthflow_core::booking::Booking;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::fault::Missing;
use healthflow_core::healthflow::wire::WireReply;
use healthflow_core::healthflow::{
    Answer, AppointmentRead, Fault, Operation, Reply, Request, WrittenAppointment, decode,
};
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;

use crate::desk::*;

const Q_MS: i64 = 75_000;

fn offering(supports_if_match: bool) -> Settings {
    Settings { supports_if_match, ..settings(GuardMode::Reference) }
}

/// A booking whose first version stands as version 1 of HealthFlow.
fn placed(supports_if_match: bool) -> Desk {
    let mut desk = Desk::within(offering(supports_if_match), TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, Ok(Answer::AppointmentCreated(stands("1"))));
    desk
}

fn stands(version: &str) -> WrittenAppointment {
    WrittenAppointment { id: "a-1".into(), revision: Some(version.into()) }
}

fn updated_to(version: &str) -> Reply {
    Ok(Answer::AppointmentUpdated(stands(version)))
}

/// A read that found this version, with the content that `booking` wants.
fn read(version: &str, booking: &Booking) -> Reply {
    let fingerprint = Some(fingerprint(booking, "hf-patient-1"));
    Ok(Answer::AppointmentRead(AppointmentRead { revision: Some(version.into()), fingerprint }))
}

fn edited() -> Booking {
    let mut booking = rescheduled("b", 2);
    booking.visit.duration_minutes = 90;
    booking
}

/// Start of the visit and the version that an update names.
fn named(request: &Request) -> (i64, Option<Revision>) {
    match request {
        Request::UpdateAppointment { content, if_match, .. } => (content.visit.start.0, if_match.clone()),
        other => panic!("not an update: {other:?}"),
    }
}

fn names(version: u64, revision: &str) -> (i64, Option<Revision>) {
    (rescheduled("b", version).visit.start.0, Some(revision.into()))
}

fn is_settled(desk: &Desk) -> bool {
    desk.processor.status(desk.now).open_doubts == 0 && desk.state("b").intent.is_none()
}

fn last(desk: &Desk) -> (String, u64, &'static str) {
    desk.results().pop().expect("a result")
}

#[test]
fn an_update_names_the_version_it_was_told_last() {
    let mut desk = placed(true);
    for (version, known, next) in [(2, "1", "2"), (3, "2", "3")] {
        desk.arrive(rescheduled("b", version));
        let put = desk.expect_and_answer(Operation::UpdateAppointment, updated_to(next));
        assert_eq!(named(&put), names(version, known));
    }
    assert_eq!(last(&desk), ("b".into(), 3, "UPDATED"));
}

#[test]
fn where_versions_are_offered_a_lost_update_is_written_again_at_once() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    let first = desk.expect_and_answer(Operation::UpdateAppointment, timeout());
    let again = desk.expect_and_answer(Operation::UpdateAppointment, updated_to("2"));
    assert_eq!(first, again);
    assert_eq!(last(&desk), ("b".into(), 2, "UPDATED"));
    assert!(is_settled(&desk));
}

#[test]
fn where_versions_are_offered_a_newer_version_does_not_wait_for_a_doubtful_update() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, timeout());
    let again = desk.expect(Operation::UpdateAppointment);
    desk.arrive(rescheduled("b", 3));
    desk.answer(&again, timeout());
    let put = desk.expect_and_answer(Operation::UpdateAppointment, updated_to("2"));
    assert_eq!(
        named(&put),
        names(3, "1"),
        "whichever of the two lands first, the other one finds another version"
    );
    assert_eq!(last(&desk), ("b".into(), 3, "UPDATED"));
}

#[test]
fn a_version_that_wants_what_stood_before_a_doubtful_update_is_written() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, timeout());
    let again = desk.expect(Operation::UpdateAppointment);
    let mut back = rescheduled("b", 1);
    back.version = 3;
    desk.arrive(back);
    desk.answer(&again, timeout());
    let put = desk.expect_and_answer(Operation::UpdateAppointment, updated_to("2"));
    assert_eq!(named(&put), names(1, "1"));
    assert_eq!(last(&desk), ("b".into(), 3, "UPDATED"));
}

#[test]
fn an_update_that_landed_unanswered_is_read_and_that_is_its_end() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    let put = desk.expect(Operation::UpdateAppointment);
    desk.pass_ms(10_000);
    desk.answer(&put, timeout());
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::Changed));
    desk.expect_and_answer(Operation::ReadAppointment, read("2", &rescheduled("b", 2)));
    desk.expect_silence();
    assert_eq!(last(&desk), ("b".into(), 2, "UPDATED"));
    assert!(is_settled(&desk));
    desk.arrive(rescheduled("b", 3));
    let put = desk.expect(Operation::UpdateAppointment);
    assert_eq!(named(&put.request), names(3, "2"));
}

#[test]
fn an_edit_by_hand_is_read_and_written_over_as_what_was_read() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::Changed));
    desk.expect_and_answer(Operation::ReadAppointment, read("2", &edited()));
    let put = desk.expect_and_answer(Operation::UpdateAppointment, updated_to("3"));
    assert_eq!(named(&put), names(2, "2"));
    assert_eq!(last(&desk), ("b".into(), 2, "UPDATED"));
    assert_eq!(desk.facts.iter().filter(|fact| matches!(fact, Fact::EditOverwritten { .. })).count(), 1);
}

#[test]
fn an_edit_by_hand_that_is_what_the_booking_wants_is_left_alone() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    let put = desk.expect(Operation::UpdateAppointment);
    desk.pass_ms(LAG_MS);
    desk.answer(&put, Err(Fault::Changed));
    desk.expect_and_answer(Operation::ReadAppointment, read("2", &rescheduled("b", 2)));
    desk.expect_silence();
    assert_eq!(last(&desk), ("b".into(), 2, "UNCHANGED"));
}

/// Else a worker that lost its task without knowing would read what its successor wrote, and write an older version over it
/// under the new name.
#[test]
fn what_was_read_is_written_over_only_under_an_intent_of_its_own() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    let put = desk.expect(Operation::UpdateAppointment);
    desk.hold_commits = true;
    desk.answer(&put, Err(Fault::Changed));
    desk.expect_and_answer(Operation::ReadAppointment, read("2", &rescheduled("b", 3)));
    desk.expect_silence();
    desk.commit_is_good();
    desk.pass_ms(200);
    if desk.calls.is_empty() {
        desk.commit_is_good();
    }
    let put = desk.expect(Operation::UpdateAppointment);
    assert_eq!(named(&put.request), names(2, "2"));
    assert_eq!(desk.state("b").intent.and_then(|intent| intent.if_match), Some("2".into()));
}

#[test]
fn a_read_that_shows_the_refused_version_is_not_believed() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::Changed));
    desk.expect_and_answer(Operation::ReadAppointment, read("1", &rescheduled("b", 2)));
    desk.expect_silence();
    assert_eq!(&*desk.retries().pop().expect("it is parked").schedule.last_error, "stale_read");
    desk.pass_ms(10_000);
    desk.bring_back();
    desk.expect(Operation::UpdateAppointment);
}

#[test]
fn a_read_that_may_be_older_still_is_the_end_of_no_version() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::Changed));
    desk.expect_and_answer(Operation::ReadAppointment, read("0", &rescheduled("b", 2)));
    let put = desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::Changed));
    assert_eq!(named(&put), names(2, "0"));
}

#[test]
fn an_appointment_that_changes_faster_than_it_is_written_is_left_for_a_while() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::Changed));
    desk.expect_and_answer(Operation::ReadAppointment, read("2", &edited()));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::Changed));
    desk.expect_silence();
    assert_eq!(desk.retries().pop().map(|entry| entry.schedule.attempts), Some(2));
}

#[test]
fn an_appointment_that_is_gone_when_it_is_read_is_created_anew_once_that_is_believed() {
    let mut desk = placed(true);
    desk.pass_ms(Q_MS);
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::Changed));
    desk.expect_and_answer(Operation::ReadAppointment, Err(Fault::NotFound(Missing::Appointment)));
    desk.expect(Operation::CreateAppointment);
}

#[test]
fn after_a_crash_a_lost_update_is_written_again_at_once_where_versions_are_offered() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    desk.expect(Operation::UpdateAppointment);
    let mut next = desk.crash_within(offering(true));
    next.arrive(rescheduled("b", 2));
    let put = next.expect_and_answer(Operation::UpdateAppointment, Err(Fault::Changed));
    assert_eq!(named(&put), names(2, "1"));
    next.pass_ms(LAG_MS);
    next.expect_and_answer(Operation::ReadAppointment, read("2", &rescheduled("b", 2)));
    assert_eq!(next.results(), [("b".into(), 2, "UPDATED")]);
    assert!(is_settled(&next));
}

#[test]
fn a_lost_update_of_a_booking_without_a_record_is_settled_at_its_quiet_time() {
    let mut desk = placed(true);
    desk.arrive(rescheduled("b", 2));
    desk.expect(Operation::UpdateAppointment);
    let mut next = desk.crash_within(offering(true));
    next.pass_ms(LEASE_MS + Q_MS + 1_000);
    assert!(is_settled(&next));
    next.arrive(rescheduled("b", 2));
    let put = next.expect(Operation::UpdateAppointment);
    next.pass_ms(LAG_MS);
    next.answer(&put, Err(Fault::Changed));
    next.expect_and_answer(Operation::ReadAppointment, read("2", &rescheduled("b", 2)));
    assert_eq!(next.results(), [("b".into(), 2, "UPDATED")], "our own doing, not an edit by hand");
}

#[test]
fn where_no_versions_are_offered_what_looks_like_one_is_none() {
    let mut desk = placed(false);
    desk.arrive(rescheduled("b", 2));
    let put = desk.expect_and_answer(Operation::UpdateAppointment, timeout());
    assert_eq!(named(&put).1, None);
    desk.pass_ms(Q_MS - 1_000);
    assert!(desk.calls.is_empty(), "it could land after what is written now");
}

/// It was told one before, by a HealthFlow that offered them then.
#[test]
fn where_versions_are_not_offered_any_more_an_update_names_none() {
    let mut desk = placed(true).crash_within(offering(false));
    desk.arrive(rescheduled("b", 2));
    let put = desk.expect_and_answer(Operation::UpdateAppointment, updated_to("2"));
    assert_eq!((named(&put).1, last(&desk)), (None, ("b".into(), 2, "UPDATED")));
}

/// A HealthFlow that answers an update with 204 shows nothing, so not which version stands now.
#[test]
fn an_update_without_content_is_believed_only_where_that_is_declared() {
    for declared in [true, false] {
        let settings = Settings { updates_without_content: declared, ..offering(true) };
        let mut desk = Desk::within(settings, TaskState::default(), [].into(), START);
        desk.pass_ms(LAG_MS + 1);
        desk.arrive(rescheduled("b", 1));
        let stands = WrittenAppointment { id: "a-1".into(), revision: Some("7".into()) };
        desk.expect_and_answer(Operation::CreateAppointment, Ok(Answer::AppointmentCreated(stands)));
        desk.arrive(rescheduled("b", 2));
        desk.expect_and_answer(Operation::UpdateAppointment, Ok(Answer::UpdateUnseen));
        assert_eq!(desk.processor.status(desk.now).open_doubts, usize::from(!declared));
        if declared {
            assert_eq!(desk.results().last(), Some(&("b".into(), 2, "UPDATED")));
            assert_eq!(desk.state("b").placement.expect("it stands").revision, None);
            desk.arrive(rescheduled("b", 3));
            let asked = desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
            assert!(matches!(asked, Request::UpdateAppointment { if_match: None, .. }), "{asked:?}");
        }
    }
}

#[test]
fn a_create_without_content_is_in_doubt_whatever_is_declared() {
    let settings = Settings { updates_without_content: true, ..offering(false) };
    let mut desk = Desk::within(settings, TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    desk.arrive(rescheduled("b", 1));
    let call = desk.expect(Operation::CreateAppointment);
    let no_content = WireReply::bare(204, Vec::new());
    let reply = decode(&call.request, Ok(no_content), desk.now);
    desk.answer(&call, reply);
    assert_eq!(desk.processor.status(desk.now).open_doubts, 1);
    assert!(desk.results().is_empty());
}
