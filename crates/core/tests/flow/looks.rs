//! What time does to a question (rule K4): once a day the worker looks whether HealthFlow has answered it, and it reports a question
//! whose visit draws near.

use healthflow_core::event::{Arrival, Decision, Outgoing, Verdict};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::fault::Missing;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::patient::HealthFlowPatientId;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::Hold;
use healthflow_core::sync::FailureReason;
use healthflow_core::time::DAY_MS;
use healthflow_core::topics::Lane;

use crate::desk::*;

/// A desk at which a person must decide which of two charts is the patient's; "waits" is behind it.
fn ambiguous() -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(adas_booking("asks", 1));
    desk.find(&["hf-1", "hf-2"]);
    desk.arrive(adas_booking("waits", 1));
    desk.expect_silence();
    desk
}

/// Somebody decides the first question.
fn decide(desk: &mut Desk, verdict: Verdict) {
    let (key, by, at) = (adas_booking("asks", 1).key, "frontdesk-2".into(), desk.now);
    let decision = Decision { id: "d-1".into(), key, version: 1, generation: 1, verdict, by, at };
    desk.arrive_on(Lane::Decisions, Arrival::Decided(Box::new(decision)));
}

fn questions(desk: &Desk) -> Vec<u32> {
    let reviews = desk.reviews().into_iter().filter(|case| case.waits_for.is_none());
    reviews.map(|case| case.generation).collect()
}

#[test]
fn a_question_that_has_answered_itself_lets_its_bookings_go() {
    let mut desk = ambiguous();
    desk.pass_ms(DAY_MS - 60_000);
    desk.expect_silence();
    desk.pass_ms(60_000);
    assert!(desk.find(&["hf-2"]) > 0, "once a day");
    for booking in ["asks", "waits"] {
        desk.expect_and_answer(Operation::CreateAppointment, created(&format!("a-{booking}")));
        assert_eq!(desk.results().last(), Some(&(booking.into(), 1, "CREATED")));
    }
    assert!(desk.durable.held.is_empty());
    desk.pass_ms(3 * DAY_MS);
    desk.expect_silence();
}

#[test]
fn a_look_that_finds_the_same_changes_nothing() {
    let mut desk = ambiguous();
    for _ in 0..3 {
        let records = desk.committed.len();
        desk.pass_ms(DAY_MS);
        assert!(desk.find(&["hf-1", "hf-2"]) > 0);
        let written = desk.committed[records..].iter().filter(|record| !matches!(record, Outgoing::State(_)));
        assert_eq!(written.count(), 0, "the question is on record");
    }
    assert_eq!(questions(&desk), [1], "its generation stands");
    assert_eq!(desk.state("asks").hold(1), Some(Hold::Question));
    assert_eq!(desk.state("waits").hold(1), Some(Hold::Behind));
}

#[test]
fn a_look_that_finds_another_candidate_asks_anew() {
    let mut desk = ambiguous();
    desk.pass_ms(DAY_MS);
    desk.find(&["hf-1", "hf-2", "hf-3"]);
    assert_eq!(questions(&desk), [1, 2]);
    assert_eq!(desk.reviews().last().map(|case| case.evidence.len()), Some(3));
}

/// Goal: who decides while the worker looks is not told that the question has changed. Method: the decision comes between the look's
/// calls.
#[test]
fn a_decision_counts_while_the_worker_looks() {
    let mut desk = ambiguous();
    desk.pass_ms(DAY_MS);
    assert!(!desk.calls.is_empty(), "it looks");
    decide(&mut desk, Verdict::Link(HealthFlowPatientId("hf-1".into())));
    desk.find(&["hf-1", "hf-2"]);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results().last(), Some(&("asks".into(), 1, "CREATED")));
    assert!(desk.dead_letters().is_empty());
}

/// Goal: what is rejected while the worker looks ends, and is not tried again. Method: the look's call fails after the decision.
#[test]
fn what_is_rejected_while_the_worker_looks_ends() {
    let mut desk = ambiguous();
    desk.pass_ms(DAY_MS);
    decide(&mut desk, Verdict::Reject);
    let call = desk.calls.remove(0);
    desk.answer(&call, timeout());
    let letters: Vec<FailureReason> = desk.dead_letters().iter().map(|letter| letter.reason).collect();
    assert_eq!(letters, [FailureReason::RejectedInReview]);
    assert!(desk.retries().is_empty(), "the retry topic does not know of that");
}

/// Goal: a look that fails costs the booking nothing, however late it is. Method: HealthFlow answers nothing, or refuses to search, and
/// the visit passes.
#[test]
fn a_look_that_fails_leaves_the_question_as_it_was() {
    let mut desk = ambiguous();
    for day in 0..40 {
        desk.pass_ms(DAY_MS);
        let refusal = Err(Fault::Refused { status: 422, fields: vec!["family_name: too_long".into()] });
        let answer = if day % 2 == 0 { timeout() } else { refusal };
        while let Some(call) = desk.calls.pop() {
            desk.answer(&call, answer.clone());
        }
    }
    assert!(desk.retries().is_empty() && desk.dead_letters().is_empty());
    assert_eq!(desk.state("asks").hold(1), Some(Hold::Question));
    desk.pass_ms(DAY_MS);
    desk.find(&["hf-2"]);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
}

/// Goal: what a look has begun goes on with the next owner. Method: HealthFlow has nobody of that name any more, and the worker dies
/// while the creation of the patient is under way.
#[test]
fn a_question_that_was_just_answered_is_answered_for_the_next_owner() {
    let mut desk = ambiguous();
    desk.pass_ms(DAY_MS);
    desk.find(&[]);
    assert_eq!(desk.calls.first().map(|call| call.request.operation()), Some(Operation::CreatePatient));
    assert_eq!(desk.state("asks").hold(1), Some(Hold::Released), "in the commit that carries the intent");
    let mut desk = desk.crash(GuardMode::IdempotencyKey);
    desk.pass_ms(100_000);
    desk.find(&[]);
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    for _ in 0..2 {
        desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    }
    assert!(desk.durable.held.is_empty());
}

#[test]
fn a_worker_that_dies_while_it_looks_has_changed_nothing() {
    let mut desk = ambiguous();
    desk.pass_ms(DAY_MS);
    assert!(!desk.calls.is_empty());
    let mut desk = desk.crash(GuardMode::IdempotencyKey);
    desk.pass_ms(DAY_MS / 2);
    desk.expect_silence();
    desk.pass_ms(DAY_MS / 2);
    assert!(desk.find(&["hf-2"]) > 0, "at the same time of the day");
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
}

#[test]
fn a_question_whose_visit_draws_near_is_reported_once() {
    let mut desk = ambiguous();
    let urgent = |desk: &Desk| {
        let told = |fact: &&Fact| matches!(fact, Fact::ReviewUrgent { .. });
        desk.facts.iter().filter(told).count()
    };
    desk.pass_ms(29 * DAY_MS - 60_000);
    desk.find(&["hf-1", "hf-2"]);
    assert_eq!(urgent(&desk), 0);
    desk.pass_ms(60_000);
    assert_eq!(urgent(&desk), 1);
    let status = desk.processor.status(desk.now);
    assert_eq!(
        status.reviews.iter().map(|of| (of.count, of.urgent)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (2, 1)
    );
    let mut desk = desk.crash(GuardMode::IdempotencyKey);
    desk.pass_ms(60_000);
    assert_eq!(urgent(&desk), 0, "the owner before has reported it");
    assert_eq!(desk.processor.status(desk.now).reviews.iter().map(|of| of.urgent).sum::<usize>(), 1);
}

/// Goal: a chart that is gone answers a conflict. Method: the chart that was sent along was merged into the one that is known.
#[test]
fn a_conflict_ends_once_one_of_its_charts_is_gone() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("first", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-0"));
    desk.arrive(conflicting("asks", 1));
    assert_eq!(questions(&desk), [1]);
    desk.charts.insert("hf-patient-2".into(), Err(Fault::NotFound(Missing::Patient)));
    desk.pass_ms(DAY_MS);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results().last(), Some(&("asks".into(), 1, "CREATED")));
}
