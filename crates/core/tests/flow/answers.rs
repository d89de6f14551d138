//! What each of HealthFlow's answers leads to: a row of `docs/answers.md` each.

use healthflow_core::booking::Booking;
use healthflow_core::fact::{Fact, PauseCause};
use healthflow_core::healthflow::fault::{Missing, NotSent};
use healthflow_core::healthflow::pages::PAGES_MAX;
use healthflow_core::healthflow::{Answer, Fault, Operation, Request};
use healthflow_core::settings::GuardMode;
use healthflow_core::sync::{Disposition, FailureReason};

use crate::desk::*;

fn asked() -> (Desk, Call) {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    let call = desk.expect(Operation::CreateAppointment);
    (desk, call)
}

#[test]
fn a_refused_connection_is_tried_again_and_counts() {
    let (mut desk, call) = asked();
    desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
    let retry = desk.retries().pop().expect("it is parked");
    assert_eq!((retry.schedule.attempts, &*retry.schedule.last_error), (1, "connect"));
    assert!(desk.state("b").intent.is_none(), "what was never sent leaves no intent behind");
}

#[test]
fn too_many_requests_stop_everything_for_as_long_as_asked_and_cost_no_attempt() {
    let (mut desk, call) = asked();
    desk.answer(&call, Err(Fault::Throttled { retry_after_ms: Some(7_000) }));
    desk.pass_ms(6_500);
    assert!(desk.calls.is_empty());
    desk.pass_ms(1_500);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert!(desk.retries().is_empty());
    assert!(matches!(
        desk.committed.iter().find_map(|record| match record {
            healthflow_core::event::Outgoing::Synced(finished) => Some(finished.attempts),
            _ => None,
        }),
        Some(1)
    ));
}

#[test]
fn refused_credentials_stop_the_account_and_cost_no_attempt() {
    let (mut desk, call) = asked();
    desk.answer(&call, Err(Fault::Unauthorised));
    desk.pass_ms(29_000);
    assert!(desk.calls.is_empty() && desk.retries().is_empty());
    assert!(
        desk.facts
            .iter()
            .any(|fact| matches!(fact, Fact::AccountPaused { why: PauseCause::Unauthorised, .. }))
    );
    desk.pass_ms(2_000);
    desk.expect(Operation::CreateAppointment);
}

#[test]
fn a_refusal_is_final_and_names_the_fields() {
    let (mut desk, call) = asked();
    desk.answer(&call, Err(Fault::Refused { status: 422, fields: vec!["provider_id: unknown".into()] }));
    let letter = desk.dead_letters().pop().expect("it is dead-lettered");
    assert_eq!((letter.reason, letter.disposition), (FailureReason::Rejected, Disposition::Rejected));
    assert!(letter.detail.contains("provider_id: unknown"));
    desk.expect_silence();
}

#[test]
fn a_taken_slot_is_final() {
    let (mut desk, call) = asked();
    desk.answer(&call, Err(Fault::SlotTaken));
    assert_eq!(desk.dead_letters().pop().map(|letter| letter.reason), Some(FailureReason::SlotTaken));
}

#[test]
fn what_stands_there_already_is_adopted_and_then_written_as_wanted() {
    let (mut desk, call) = asked();
    desk.answer(&call, Err(Fault::AlreadyThere { existing_id: Some("a-5".into()) }));
    let request = desk.expect_and_answer(Operation::UpdateAppointment, updated("a-5"));
    assert!(matches!(request, Request::UpdateAppointment { id, .. } if id.as_str() == "a-5"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn an_unknown_patient_is_looked_for_again_once_that_can_be_believed() {
    let (mut desk, call) = asked();
    desk.answer(&call, created("a-0"));
    // Not sent along any more, and gone.
    desk.arrive(a_booking_of("c", a_patient("patient-1", "Ada", "Lovelace")));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotFound(Missing::Patient)));
    desk.pass_ms(5_000);
    desk.bring_back();
    desk.find_nobody();
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-2"));
    let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert!(
        matches!(request, Request::CreateAppointment { content, .. } if content.patient.as_str() == "hf-2")
    );
}

#[test]
fn a_patient_we_created_a_moment_ago_is_not_believed_to_be_gone() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    // So long that no earlier owner can be the reason: only when this one wrote tells.
    desk.pass_ms(90_000);
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    desk.find_nobody();
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotFound(Missing::Patient)));
    desk.expect_silence();
    let retry = desk.retries().pop().expect("it waits");
    assert_eq!(&*retry.schedule.last_error, "patient_not_found");
    assert!(
        retry.schedule.not_before.since_ms(desk.now) > 60_000,
        "until a lagging replica cannot be the reason"
    );
}

#[test]
fn an_appointment_that_is_gone_for_good_is_created_anew_under_another_key() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(rescheduled("b", 1));
    let first = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.pass_ms(90_000);
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::NotFound(Missing::Appointment)));
    let second = desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    let key = |request: Request| match request {
        Request::CreateAppointment { idempotency_key, .. } => idempotency_key,
        other => panic!("not a create: {other:?}"),
    };
    assert_ne!(key(first), key(second));
    assert_eq!(desk.results()[1], ("b".into(), 2, "CREATED"));
}

#[test]
fn a_404_right_after_our_own_create_is_not_believed() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    // As above.
    desk.pass_ms(90_000);
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::NotFound(Missing::Appointment)));
    desk.expect_silence();
    assert_eq!(desk.retries().len(), 1, "it waits; the placement is kept");
    assert!(desk.state("b").placement.is_some());
}

#[test]
fn a_search_that_fails_is_begun_again_later() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    desk.expect_and_answer(Operation::SearchPatients, nobody());
    desk.expect_and_answer(Operation::SearchPatients, timeout());
    assert_eq!(desk.retries().len(), 1);
    desk.bring_back();
    desk.pass_ms(10_000);
    desk.find_nobody();
    desk.expect(Operation::CreatePatient);
}

/// The doubt stays open, and is asked for again.
#[test]
fn a_look_up_whose_pages_never_end_settles_nothing() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(75_000);
    for _ in 0..PAGES_MAX {
        let page = Answer::Appointments { found: Vec::new(), next_cursor: Some("more".into()) };
        desk.expect_and_answer(Operation::FindAppointment, Ok(page));
    }
    desk.expect_silence();
    desk.pass_ms(10_000);
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    assert_eq!(desk.state("b").placement.map(|placement| placement.appointment_id), Some("a-1".into()));
}

#[test]
fn a_cancellation_for_a_patient_who_is_gone_is_final() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(cancelled(a_booking("b", 2)));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::NotFound(Missing::Patient)));
    assert_eq!(desk.dead_letters().pop().map(|letter| letter.reason), Some(FailureReason::Rejected));
    desk.expect_silence();
}

#[test]
fn a_patient_who_is_gone_from_under_an_appointment_is_resolved_anew_for_the_same_appointment() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    // Not sent along any more, and gone.
    desk.arrive(Booking { patient: a_patient("patient-1", "Ada", "Lovelace"), ..rescheduled("b", 2) });
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::NotFound(Missing::Patient)));
    desk.pass_ms(5_000);
    desk.bring_back();
    desk.find_nobody();
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-2"));
    let request = desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert!(matches!(request, Request::UpdateAppointment { id, content, .. } if id.as_str() == "a-1"
        && content.patient.as_str() == "hf-2"));
}
