//! Writes whose answer was lost, and writes that an owner before us may have sent (rules W3 to W5).

use healthflow_core::fact::{DuplicateOf, Fact};
use healthflow_core::healthflow::{Answer, Fault, Operation, Request};
use healthflow_core::patient::{Candidate, Person};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::WriteOperation;

use crate::desk::*;

const Q_MS: i64 = 75_000;

fn key(request: &Request) -> String {
    match request {
        Request::CreateAppointment { idempotency_key, .. }
        | Request::CreatePatient { idempotency_key, .. } => idempotency_key.clone(),
        other => panic!("not a create: {other:?}"),
    }
}

fn found(id: &str) -> healthflow_core::healthflow::Reply {
    appointments(&[id])
}

fn not_found() -> healthflow_core::healthflow::Reply {
    appointments(&[])
}

#[test]
fn where_keys_are_honoured_a_lost_answer_is_repeated_at_once_under_the_same_key() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    let first = desk.expect_and_answer(Operation::CreateAppointment, timeout());
    let again = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(key(&first), key(&again));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
    desk.expect_silence();
}

#[test]
fn a_throttled_repeat_leaves_the_doubt_about_the_first_request() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.expect_and_answer(
        Operation::CreateAppointment,
        Err(Fault::Throttled { retry_after_ms: Some(1_000) }),
    );
    assert!(desk.processor.status(desk.now).open_doubts == 1);
    desk.pass_ms(2_000);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.processor.status(desk.now).open_doubts, 0);
}

#[test]
fn a_refused_repeat_is_looked_up_at_its_quiet_time_and_never_failed_before() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::SlotTaken));
    assert!(desk.dead_letters().is_empty(), "the slot may be taken by ourselves");
    desk.pass_ms(Q_MS);
    desk.expect_and_answer(Operation::FindAppointment, found("a-1"));
    if desk.calls.is_empty() {
        desk.bring_back();
    }
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn without_keys_nothing_is_sent_before_the_quiet_time_and_what_is_found_is_adopted() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(Q_MS - 1_000);
    assert!(desk.calls.is_empty());
    assert_eq!(desk.retries().len(), 1, "the committable offset does not wait that long");
    desk.pass_ms(1_000);
    desk.expect_and_answer(Operation::FindAppointment, found("a-1"));
    desk.bring_back();
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn what_is_not_found_at_its_quiet_time_never_happened_and_is_created() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(Q_MS);
    desk.expect_and_answer(Operation::FindAppointment, not_found());
    desk.bring_back();
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn a_newer_version_does_not_overtake_a_doubtful_update() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, timeout());
    desk.bring_back();
    desk.arrive(rescheduled("b", 3));
    desk.expect_silence();
    assert_eq!(desk.results()[1..], [("b".into(), 2, "SUPERSEDED")], "the older one may end at once");
    desk.pass_ms(Q_MS);
    desk.bring_back();
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(desk.results()[2], ("b".into(), 3, "UPDATED"));
}

#[test]
fn a_cancellation_of_what_may_yet_appear_waits() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.arrive(cancelled(a_booking("b", 2)));
    desk.expect_silence();
    assert!(!desk.results().iter().any(|(_, version, _)| *version == 2));
    desk.pass_ms(Q_MS);
    desk.expect_and_answer(Operation::FindAppointment, found("a-1"));
    desk.bring_back();
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(desk.results().last(), Some(&("b".into(), 2, "CANCELLED")));
}

#[test]
fn after_a_crash_an_unanswered_create_is_repeated_under_the_same_key_and_answered_once() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    let first = desk.expect(Operation::CreateAppointment);
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    assert_eq!(next.processor.status(next.now).open_doubts, 1);
    next.arrive(a_booking("b", 1));
    let again = next.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(key(&first.request), key(&again));
    next.expect_silence();
    assert_eq!(next.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn after_a_crash_a_doubt_is_settled_from_state_without_any_record_at_hand() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect(Operation::CreateAppointment);
    let mut next = desk.crash(GuardMode::Reference);
    next.pass_ms(LEASE_MS + Q_MS - 1_000);
    assert!(next.calls.is_empty(), "the lease of the old owner counts too");
    next.pass_ms(1_000);
    next.expect_and_answer(Operation::FindAppointment, found("a-1"));
    assert_eq!(next.processor.status(next.now).open_doubts, 0);
    next.arrive(a_booking("b", 1));
    next.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(next.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn after_a_crash_an_older_version_is_not_written_over_a_newer_one_that_may_stand() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(rescheduled("b", 3));
    desk.expect(Operation::UpdateAppointment);
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.arrive(rescheduled("b", 2));
    next.expect_silence();
    assert_eq!(next.results(), [("b".into(), 2, "SUPERSEDED")]);
}

#[test]
fn what_was_never_sent_is_no_doubt_after_a_crash() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.hold_commits = true;
    desk.arrive(a_booking("b", 1));
    let mut next = desk.crash(GuardMode::Reference);
    assert_eq!(next.processor.status(next.now).open_doubts, 0);
    next.arrive(a_booking("b", 1));
    next.expect_and_answer(Operation::CreateAppointment, created("a-1"));
}

#[test]
fn a_doubtful_booking_is_not_dead_lettered_however_old_it_gets() {
    let mut desk = Desk::new(GuardMode::Reference);
    let mut booking = a_booking("b", 1);
    booking.visit.start = desk.now.plus_ms(10_000);
    desk.arrive(booking);
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(60_000);
    assert!(desk.dead_letters().is_empty());
    desk.pass_ms(Q_MS);
    desk.expect_and_answer(Operation::FindAppointment, found("a-1"));
    assert_eq!(desk.facts.iter().filter(|fact| matches!(fact, Fact::DoubtSettled { .. })).count(), 1);
}

#[test]
fn where_an_older_versions_bytes_may_stand_the_newest_is_written_next() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    let call = desk.expect(Operation::CreateAppointment);
    desk.arrive(rescheduled("b", 2));
    desk.answer(&call, timeout());
    desk.pass_ms(10_000);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    let last = desk.results().pop();
    assert_eq!(last, Some(("b".into(), 2, "CREATED")));
    assert!(desk.state("b").intent.is_none());
}

#[test]
fn the_state_says_what_may_be_sent_while_a_call_is_under_way() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    let call = desk.expect(Operation::CreateAppointment);
    let intent = desk.state("b").intent.expect("an intent stands committed");
    assert_eq!((intent.operation, intent.first_version), (WriteOperation::Create, 1));
    desk.answer(&call, created("a-1"));
    assert!(desk.state("b").intent.is_none());
}

#[test]
fn a_key_that_is_refused_while_nothing_stands_is_not_used_again() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    let first = desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::KeyReused));
    desk.pass_ms(Q_MS);
    desk.expect_and_answer(Operation::FindAppointment, not_found());
    desk.bring_back();
    let second = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_ne!(key(&first), key(&second));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn more_than_one_found_is_told_and_the_first_is_adopted() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(Q_MS);
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1", "a-2"]));
    assert!(
        desk.facts
            .iter()
            .any(|fact| matches!(fact, Fact::DuplicateFound { what: DuplicateOf::Appointment, .. }))
    );
}

#[test]
fn where_references_are_unique_a_lost_create_is_repeated_at_once_and_what_stands_is_adopted() {
    let mut desk = Desk::new(GuardMode::UniqueReference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    let stands = Err(Fault::AlreadyThere { existing_id: Some("a-1".into()) });
    desk.expect_and_answer(Operation::CreateAppointment, stands);
    let request = desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert!(matches!(request, Request::UpdateAppointment { id, .. } if id.as_str() == "a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

/// A page may be empty and yet not be the last one: what was lost stands on the next.
#[test]
fn a_lost_creation_of_a_patient_is_looked_up_to_the_last_page() {
    let mut desk = Desk::new(GuardMode::Reference);
    let patient = a_patient("patient-9", "Grace", "Hopper");
    desk.arrive(a_booking_of("b", patient.clone()));
    desk.find_nobody();
    desk.expect_and_answer(Operation::CreatePatient, timeout());
    desk.pass_ms(Q_MS);
    let empty = Answer::Patients { found: Vec::new(), next_cursor: Some("page-2".into()) };
    desk.expect_and_answer(Operation::SearchPatients, Ok(empty));
    let ours = Candidate {
        id: Some("hf-9".into()),
        external_id: Some("patient-9".into()),
        person: Person::from(&patient),
    };
    let last = Answer::Patients { found: vec![ours], next_cursor: None };
    let asked = desk.expect_and_answer(Operation::SearchPatients, Ok(last));
    assert!(matches!(asked, Request::SearchPatients { cursor: Some(cursor), .. } if cursor == "page-2"));
    desk.bring_back();
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}
