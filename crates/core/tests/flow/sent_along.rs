//! An id of HealthFlow's that DentScheduler sends along: whose chart it is, is read once before it is believed.

use healthflow_core::booking::{Booking, Patient};
use healthflow_core::event::Outgoing;
use healthflow_core::fact::{Fact, LinkChange};
use healthflow_core::healthflow::fault::Missing;
use healthflow_core::healthflow::{Answer, Fault, Operation, Reply, Request};
use healthflow_core::patient::decide::Agreement;
use healthflow_core::patient::{Link, LinkOrigin};
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::{PatientState, StateRecord, TaskState};
use healthflow_core::sync::{FailureReason, ReviewReason};

use crate::desk::*;

fn ada() -> Patient {
    a_patient("p", "Ada", "Lovelace")
}

/// Somebody of another name, birthday and postal code.
fn boris() -> Patient {
    let born = jiff::civil::date(1999, 6, 5).into();
    Patient { date_of_birth: born, postal_code: "10115".into(), ..a_patient("q", "Boris", "Tschaikowski") }
}

/// A booking of Ada's with this id sent along.
fn sending(booking: &str, id: &str) -> Booking {
    a_booking_of(booking, Patient { healthflow_patient_id: Some(id.into()), ..ada() })
}

fn unknown() -> Reply {
    Err(Fault::NotFound(Missing::Patient))
}

fn desk() -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.reads_wait = true;
    desk
}

/// A desk that Ada's link was left at by an earlier owner.
fn knowing(id: &str, origin: LinkOrigin) -> Desk {
    let link =
        Link { healthflow_patient_id: id.into(), origin, digests: None, outranks: None, decided: None };
    let mut state = TaskState::default();
    let key = sending("b", id).patient_key();
    state.apply(StateRecord::Patient(key, PatientState { link: Some(link), ..PatientState::default() }));
    let mut desk = Desk::acquired(GuardMode::IdempotencyKey, state, Default::default(), START);
    // So long that no earlier owner can be the reason for anything.
    desk.pass_ms(90_000);
    desk.reads_wait = true;
    desk
}

fn written_for(request: &Request) -> &str {
    match request {
        Request::CreateAppointment { content, .. } => content.patient.as_str(),
        other => panic!("{other:?}"),
    }
}

fn reads(request: &Request) -> &str {
    match request {
        Request::ReadPatient { id, .. } => id.as_str(),
        other => panic!("{other:?}"),
    }
}

fn link(desk: &Desk) -> Option<Link> {
    let key = sending("b", "").patient_key();
    desk.durable.patients.get(&key).and_then(|state| state.link.clone())
}

fn changes(desk: &Desk) -> Vec<LinkChange> {
    let how = |fact: &Fact| match fact {
        Fact::LinkChanged { how, .. } => Some(*how),
        _ => None,
    };
    desk.facts.iter().filter_map(how).collect()
}

fn reasons(desk: &Desk) -> Vec<ReviewReason> {
    desk.reviews().iter().map(|case| case.reason).collect()
}

#[test]
fn an_id_that_was_sent_along_is_read_once_and_then_costs_nothing() {
    let mut desk = desk();
    desk.arrive(sending("b", "hf-1"));
    let read = desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-1", &ada()));
    assert_eq!(reads(&read), "hf-1");
    let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(written_for(&request), "hf-1");
    desk.arrive(sending("c", "hf-1"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    desk.expect_silence();
}

/// Goal: no intent relies on a link that is not in state. Method: the first commit with an intent is looked into.
#[test]
fn a_link_is_committed_no_later_than_the_first_intent_that_relies_on_it() {
    let mut desk = desk();
    desk.arrive(sending("b", "hf-1"));
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-1", &ada()));
    desk.expect(Operation::CreateAppointment);
    let states = desk.committed.iter().filter_map(|record| match record {
        Outgoing::State(state) => Some(&**state),
        _ => None,
    });
    let states: Vec<&StateRecord> = states.collect();
    let intends =
        |state: &&StateRecord| matches!(state, StateRecord::Booking(_, state) if state.intent.is_some());
    assert!(states.iter().any(intends) && link(&desk).is_some(), "both stand before anything is sent");
}

#[test]
fn an_id_that_nobody_knows_goes_to_review_once_that_can_be_believed_and_nobody_is_created() {
    let mut desk = desk();
    desk.arrive(sending("b", "hf-1"));
    desk.expect_and_answer(Operation::ReadPatient, unknown());
    desk.expect_silence();
    assert!(desk.reviews().is_empty(), "a replica that lags may be the reason");
    assert_eq!(&*desk.retries().pop().expect("it waits").schedule.last_error, "patient_not_found");
    desk.pass_ms(LAG_MS + 5_000);
    desk.bring_back();
    desk.expect_and_answer(Operation::ReadPatient, unknown());
    desk.expect_silence();
    assert_eq!(reasons(&desk), [ReviewReason::LinkUnknown]);
    assert!(link(&desk).is_none());
}

#[test]
fn the_right_id_heals_what_a_wrong_one_left_in_review() {
    let mut desk = desk();
    desk.arrive(sending("b", "hf-wrong"));
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-wrong", &boris()));
    desk.expect_silence();
    let case = desk.reviews().pop().expect("a person must look");
    assert_eq!(
        (case.reason, case.evidence[0].date_of_birth),
        (ReviewReason::LinkMismatch, Agreement::Differs)
    );
    // Another booking of the patient, and the booking itself put right.
    desk.arrive(sending("c", "hf-right"));
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-right", &ada()));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(Booking { version: 2, ..sending("b", "hf-right") });
    let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert_eq!(written_for(&request), "hf-right");
    let ended = [("c".into(), 1, "CREATED"), ("b".into(), 1, "SUPERSEDED"), ("b".into(), 2, "CREATED")];
    assert_eq!(desk.results(), ended);
}

#[test]
fn a_chart_of_another_practice_is_nobodys() {
    let mut desk = desk();
    desk.arrive(sending("b", "hf-1"));
    desk.expect_and_answer(Operation::ReadPatient, Ok(Answer::PatientRead(None)));
    desk.pass_ms(LAG_MS + 5_000);
    desk.bring_back();
    desk.expect_and_answer(Operation::ReadPatient, Ok(Answer::PatientRead(None)));
    desk.expect_silence();
    assert_eq!(reasons(&desk), [ReviewReason::LinkUnknown]);
}

#[test]
fn a_read_that_fails_is_tried_again_and_counts() {
    let mut desk = desk();
    desk.arrive(sending("b", "hf-1"));
    desk.expect_and_answer(Operation::ReadPatient, timeout());
    let retry = desk.retries().pop().expect("it is parked");
    assert_eq!((retry.schedule.attempts, &*retry.schedule.last_error), (1, "timeout"));
    desk.pass_ms(5_000);
    desk.bring_back();
    desk.expect_and_answer(Operation::ReadPatient, Err(Fault::Throttled { retry_after_ms: Some(500) }));
    desk.pass_ms(1_500);
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-1", &ada()));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.retries().len(), 1, "being throttled is no attempt");
}

#[test]
fn a_refusal_that_names_the_patient_drops_only_what_was_sent_along() {
    let refusal = || Err(Fault::Refused { status: 422, fields: vec!["patient_id: unknown".into()] });
    let mut desk = desk();
    desk.arrive(sending("b", "hf-1"));
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-1", &ada()));
    desk.expect_and_answer(Operation::CreateAppointment, refusal());
    desk.expect_silence();
    assert_eq!((reasons(&desk), link(&desk)), (vec![ReviewReason::LinkUnknown], None));
    assert!(desk.dead_letters().is_empty());
    // The right id is no conflict.
    desk.arrive(sending("c", "hf-2"));
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-2", &ada()));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(changes(&desk), [LinkChange::Dropped]);
    // A link of ours stays, and the refusal is what it always was.
    let mut desk = knowing("hf-9", LinkOrigin::Created);
    desk.arrive(a_booking_of("b", ada()));
    desk.expect_and_answer(Operation::CreateAppointment, refusal());
    assert_eq!(desk.dead_letters().pop().map(|letter| letter.reason), Some(FailureReason::Rejected));
    assert!(link(&desk).is_some());
}

#[test]
fn where_a_refused_id_is_not_sent_along_any_more_the_patient_is_looked_for() {
    let mut desk = desk();
    desk.arrive(sending("b", "hf-1"));
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-1", &ada()));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(a_booking_of("c", ada()));
    let fields = vec!["patient_id: unknown".into()];
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::Refused { status: 422, fields }));
    desk.expect_and_answer(Operation::SearchPatients, nobody());
    for _ in 0..3 {
        desk.expect_and_answer(Operation::SearchPatients, chart("hf-2", &ada()));
    }
    let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert_eq!(written_for(&request), "hf-2");
}

#[test]
fn a_link_of_an_earlier_release_that_nobody_confirmed_is_read_and_dropped_where_it_leads_nowhere() {
    let mut desk = knowing(" ", LinkOrigin::Provided);
    desk.arrive(a_booking_of("b", ada()));
    let read = desk.expect_and_answer(Operation::ReadPatient, unknown());
    assert_eq!(reads(&read), " ");
    desk.pass_ms(LAG_MS + 5_000);
    desk.bring_back();
    desk.expect_and_answer(Operation::ReadPatient, unknown());
    desk.find_nobody();
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(changes(&desk), [LinkChange::Dropped]);
}

#[test]
fn a_conflict_is_settled_by_both_charts_where_one_is_gone_or_somebody_elses() {
    let nobody = || Ok(Answer::PatientRead(None));
    for (sent, known, right) in [
        (a_chart("hf-2", &ada()), nobody(), "hf-2"),
        (a_chart("hf-2", &ada()), a_chart("hf-1", &boris()), "hf-2"),
        (a_chart("hf-2", &boris()), a_chart("hf-1", &ada()), "hf-1"),
    ] {
        let mut desk = knowing("hf-1", LinkOrigin::Found);
        desk.arrive(sending("b", "hf-2"));
        let read = desk.expect_and_answer(Operation::ReadPatient, sent);
        assert_eq!(reads(&read), "hf-2");
        let read = desk.expect_and_answer(Operation::ReadPatient, known);
        assert_eq!(reads(&read), "hf-1");
        let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
        assert_eq!(written_for(&request), right);
        let how = if right == "hf-2" { LinkChange::Replaced } else { LinkChange::Kept };
        assert_eq!(changes(&desk), [how]);
        // The next one costs one call, whichever of the two is right.
        desk.arrive(sending("c", "hf-2"));
        let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
        assert_eq!(written_for(&request), right);
    }
}

#[test]
fn a_conflict_that_both_charts_leave_open_is_for_a_person_with_the_evidence() {
    let mut desk = knowing("hf-1", LinkOrigin::Found);
    desk.arrive(sending("b", "hf-2"));
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-2", &ada()));
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-1", &ada()));
    desk.expect_silence();
    let case = desk.reviews().pop().expect("a person must look");
    let ids: Vec<&str> =
        case.evidence.iter().filter_map(|one| one.healthflow_patient_id.as_deref()).collect();
    assert_eq!((case.reason, ids), (ReviewReason::LinkConflict, vec!["hf-2", "hf-1"]));
}

#[test]
fn a_patient_we_created_a_moment_ago_is_not_gone_in_a_conflict_either() {
    let mut desk = desk();
    desk.pass_ms(90_000);
    desk.arrive(a_booking_of("a", ada()));
    desk.find_nobody();
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(sending("b", "hf-2"));
    desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-2", &ada()));
    desk.expect_and_answer(Operation::ReadPatient, unknown());
    desk.expect_silence();
    let retry = desk.retries().pop().expect("it waits");
    assert!(
        retry.schedule.not_before.since_ms(desk.now) > 60_000,
        "until a lagging replica cannot be the reason"
    );
    assert_eq!(link(&desk).map(|link| link.healthflow_patient_id), Some("hf-9".into()));
}

#[test]
fn an_id_that_is_read_well_and_refused_again_and_again_ends_with_its_age() {
    let hours = Settings { retry_max_age_ms: 2 * 3_600_000, ..settings(GuardMode::IdempotencyKey) };
    let mut desk = Desk::within(hours, TaskState::default(), Default::default(), START);
    desk.reads_wait = true;
    desk.arrive(sending("b", "hf-1"));
    for _ in 0..40 {
        desk.expect_and_answer(Operation::ReadPatient, a_chart("hf-1", &ada()));
        desk.expect_and_answer(Operation::CreateAppointment, unknown());
        if !desk.dead_letters().is_empty() {
            break;
        }
        let retry = desk.retries().pop().expect("it waits");
        desk.pass_ms(retry.schedule.not_before.since_ms(desk.now));
        desk.bring_back();
    }
    assert_eq!(desk.dead_letters().pop().map(|letter| letter.reason), Some(FailureReason::AgeExhausted));
}
