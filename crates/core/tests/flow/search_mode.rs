//! Guard mode `search`: a HealthFlow that honours no key and does not keep our reference. A lost create is looked up by
//! what it asked for. If that could be another booking's, a person decides; there is never a second POST (rule W5).

use healthflow_core::booking::Booking;
use healthflow_core::healthflow::{Answer, Operation, Reply, Request, Sought};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::StateRecord;
use healthflow_core::sync::ReviewReason;

use crate::desk::*;

const Q_MS: i64 = 75_000;

/// A booking whose create is in doubt and quiet by now.
fn in_doubt(booking: Booking) -> Desk {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(booking);
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(Q_MS);
    desk
}

/// The reviews so far: booking, version, reason.
fn reviews(desk: &Desk) -> Vec<(String, u64, ReviewReason)> {
    let named = |case: &healthflow_core::event::ReviewCase| {
        (case.booking.key.booking.to_string(), case.booking.version, case.reason)
    };
    desk.reviews().iter().map(named).collect()
}

fn held(booking: &str) -> (String, u64, ReviewReason) {
    (booking.to_owned(), 1, ReviewReason::AmbiguousAppointment)
}

#[test]
fn without_references_a_lost_create_is_looked_up_by_what_it_asked_for_and_adopted() {
    let mut desk = Desk::new(GuardMode::Search);
    let first = rescheduled("b", 1);
    desk.arrive(first.clone());
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.arrive(rescheduled("b", 2));
    desk.pass_ms(Q_MS - 2_000);
    assert!(desk.calls.is_empty(), "a look-up before the quiet time could miss what lands after it");
    desk.pass_ms(2_000);
    let look_up = desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    let Request::FindAppointment { sought: Sought::Slot(slot), .. } = look_up else { panic!("{look_up:?}") };
    assert_eq!(
        (&*slot.patient_id, slot.start),
        ("hf-patient-1", first.visit.start),
        "not the newest version's"
    );
    assert_eq!(slot.provider_id, first.visit.provider_id);
    desk.bring_back();
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(desk.results().last(), Some(&("b".into(), 2, "CREATED")));
}

#[test]
fn without_references_what_is_not_found_at_its_quiet_time_never_happened_and_is_created() {
    let mut desk = in_doubt(a_booking("b", 1));
    desk.expect_and_answer(Operation::FindAppointment, appointments(&[]));
    desk.bring_back();
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn a_look_up_of_many_pages_is_read_to_its_end_before_anything_is_concluded() {
    let mut desk = in_doubt(a_booking("b", 1));
    let page = |ids: &[&str], next: &str| -> Reply {
        let Ok(Answer::Appointments { found, .. }) = appointments(ids) else { panic!("a page") };
        Ok(Answer::Appointments { found, next_cursor: Some(next.to_owned()) })
    };
    desk.expect_and_answer(Operation::FindAppointment, page(&[], "page-2"));
    desk.expect_and_answer(Operation::FindAppointment, page(&["a-1"], "page-3"));
    let last = desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-2"]));
    assert!(matches!(last, Request::FindAppointment { cursor: Some(cursor), .. } if cursor == "page-3"));
    desk.bring_back();
    desk.expect(Operation::FindAppointment);
}

#[test]
fn what_stands_for_another_booking_is_not_adopted() {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking("other", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(Q_MS);
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    desk.bring_back();
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert_eq!(desk.results(), [("other".into(), 1, "CREATED"), ("b".into(), 1, "CREATED")]);
}

#[test]
fn what_stands_for_another_booking_tells_the_rest_apart() {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking("other", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(Q_MS);
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1", "a-2"]));
    desk.bring_back();
    let put = desk.expect_and_answer(Operation::UpdateAppointment, updated("a-2"));
    assert!(matches!(put, Request::UpdateAppointment { id, .. } if id.as_str() == "a-2"));
}

#[test]
fn several_that_could_be_ours_are_for_a_person_and_never_a_second_post() {
    let mut desk = in_doubt(a_booking("b", 1));
    // Nobody is at hand when it gets quiet: the doubt waits for the record.
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1", "a-2"]));
    desk.expect_silence();
    assert!(desk.reviews().is_empty());
    desk.bring_back();
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1", "a-2"]));
    assert_eq!(reviews(&desk), [held("b")]);
    assert_eq!(desk.processor.status(desk.now).open_doubts, 0, "it is a person's doubt now");

    desk.arrive(rescheduled("b", 2));
    desk.expect_silence();
    desk.arrive({
        let mut visit = a_booking("another", 1);
        visit.visit.start = visit.visit.start.plus_ms(3_600_000);
        visit
    });
    desk.expect_and_answer(Operation::CreateAppointment, created("a-3"));
    let mut next = desk.crash(GuardMode::Search);
    next.pass_ms(LEASE_MS + 2 * Q_MS);
    next.expect_silence();
}

#[test]
fn what_cannot_be_told_apart_goes_to_a_person_though_its_patient_waits_for_one_already() {
    let mut desk = in_doubt(a_booking("b", 1));
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1", "a-2"]));
    let parked = desk.retries().pop().expect("it waits for its quiet time");
    let mut conflict = a_booking("c", 1);
    conflict.patient.healthflow_patient_id = Some("hf-other".into());
    desk.arrive(conflict);
    assert_eq!(desk.reviews().len(), 1, "its link differs from the one we know");
    desk.arrive_on(
        healthflow_core::topics::Lane::Retry,
        healthflow_core::event::Arrival::Retry(Box::new(parked)),
    );
    desk.pass_ms(1_000);
    assert_eq!(reviews(&desk).pop(), Some(held("b")));
    assert_eq!(desk.processor.status(desk.now).open_doubts, 0);
}

#[test]
fn two_lost_creates_of_one_slot_are_not_told_apart() {
    let mut desk = Desk::new(GuardMode::Search);
    for booking in ["b", "c"] {
        desk.arrive(a_booking(booking, 1));
        desk.expect_and_answer(Operation::CreateAppointment, timeout());
    }
    let parked = desk.retries();
    assert_eq!(parked.len(), 2);
    desk.pass_ms(Q_MS);
    for call in std::mem::take(&mut desk.calls) {
        desk.answer(&call, appointments(&["a-1"]));
    }
    for entry in parked {
        let arrival = healthflow_core::event::Arrival::Retry(Box::new(entry));
        desk.arrive_on(healthflow_core::topics::Lane::Retry, arrival);
        desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    }
    assert_eq!(reviews(&desk), [held("b"), held("c")], "the second may not take what may be the first one's");
}

#[test]
fn where_the_other_create_is_under_way_its_answer_is_waited_for() {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(Q_MS - 1_000);
    // Another patient of DentScheduler that is the same one in HealthFlow.
    let mut other = a_booking("c", 1);
    other.patient.id = "patient-1b".into();
    desk.arrive(other);
    let creating = desk.expect(Operation::CreateAppointment);
    desk.pass_ms(1_000);
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    desk.answer(&creating, created("a-1"));
    desk.pass_ms(2_000);
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    desk.bring_back();
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert!(desk.reviews().is_empty());
}

#[test]
fn after_a_crash_a_lost_create_is_looked_up_by_the_slot_in_its_intent() {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking("b", 1));
    desk.expect(Operation::CreateAppointment);
    let mut next = desk.crash(GuardMode::Search);
    next.pass_ms(LEASE_MS + Q_MS - 1_000);
    assert!(next.calls.is_empty());
    next.pass_ms(1_000);
    let look_up = next.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    assert!(matches!(look_up, Request::FindAppointment { sought: Sought::Slot(_), .. }));
    next.arrive(a_booking("b", 1));
    next.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(next.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn a_lost_create_of_another_guard_mode_says_nothing_to_look_for_and_is_for_a_person() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect(Operation::CreateAppointment);
    assert!(desk.state("b").intent.is_some_and(|intent| intent.slot.is_none()), "state stays small");
    let mut next = desk.crash(GuardMode::Search);
    next.pass_ms(LEASE_MS + Q_MS);
    next.expect_silence();
    next.arrive(a_booking("b", 1));
    next.expect_silence();
    assert_eq!(reviews(&next), [held("b")]);
    let kept = next.committed.iter().any(|record| {
        matches!(record, healthflow_core::event::Outgoing::State(state)
            if matches!(&**state, StateRecord::Booking(_, state) if state.question().is_some() && state.intent.is_some()))
    });
    assert!(kept, "what it may have made is not taken for another booking's");
}
