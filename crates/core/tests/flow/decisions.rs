//! A person decides (rule K14): each verdict ends its review and lets the others go, and a decision that is late, wrong or written
//! twice does nothing and says so.

use healthflow_core::booking::{Booking, Version};
use healthflow_core::event::failed::{AppointmentFailed, DeadContent};
use healthflow_core::event::{Arrival, Decision, Verdict};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::{Answer, AppointmentId, Operation, Request};
use healthflow_core::patient::{Decided, HealthFlowPatientId, LinkOrigin};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{Hold, PatientState};
use healthflow_core::sync::{FailureReason, ReviewReason};
use healthflow_core::topics::Lane;

use crate::desk::*;

fn decision(id: &str, (booking, version, generation): (&str, Version, u32), verdict: Verdict) -> Decision {
    let key = a_booking(booking, version).key;
    Decision { id: id.into(), key, version, generation, verdict, by: "frontdesk-2".into(), at: START }
}

fn decide(desk: &mut Desk, decision: Decision) {
    desk.arrive_on(Lane::Decisions, Arrival::Decided(Box::new(decision)));
}

fn link(chart: &str) -> Verdict {
    Verdict::Link(HealthFlowPatientId(chart.into()))
}

/// Somebody whom two charts resemble.
fn ada(id: &str, version: Version) -> Booking {
    Booking { version, ..a_booking_of(id, a_patient("p", "Ada", "Lovelace")) }
}

/// A desk at which a person must decide which of two charts is the patient's; "waits" is behind it.
fn ambiguous() -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(ada("asks", 1));
    find_two(&mut desk);
    assert_eq!(desk.reviews().pop().map(|case| case.reason), Some(ReviewReason::AmbiguousPatient));
    desk.arrive(ada("waits", 1));
    desk.expect_silence();
    desk
}

/// Answers the search: two charts agree in everything.
fn find_two(desk: &mut Desk) {
    while desk.calls.first().is_some_and(|call| call.request.operation() == Operation::SearchPatients) {
        let call = desk.calls.remove(0);
        let two = ["hf-1", "hf-2"].map(|id| a_candidate(id, &a_patient("p", "Ada", "Lovelace")));
        desk.answer(&call, Ok(Answer::Patients { found: two.to_vec(), next_cursor: None }));
    }
}

fn written_for(request: &Request) -> String {
    match request {
        Request::CreateAppointment { content, .. } => content.patient.0.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_books_the_visit_with_that_chart_and_lets_the_others_go_in_order() {
    let mut desk = ambiguous();
    decide(&mut desk, decision("d-1", ("asks", 1, 1), link("hf-2")));
    for booking in ["asks", "waits"] {
        let request = desk.expect_and_answer(Operation::CreateAppointment, created(&format!("a-{booking}")));
        assert_eq!(written_for(&request), "hf-2");
        assert_eq!(desk.results().last(), Some(&(booking.into(), 1, "CREATED")));
    }
    assert_eq!(desk.offsets[&Lane::Decisions], 1);
    assert!(desk.durable.held.is_empty());
}

/// What is committed of the patient.
fn patient(desk: &Desk) -> PatientState {
    let key = ada("asks", 1).patient_key();
    desk.durable.patients.get(&key).map(|state| state.into_owned()).expect("the patient has state")
}

/// Goal: a link that turns out to be wrong can be asked about. Method: it is decided, and the person comes under a new name.
#[test]
fn a_link_says_who_decided_it_and_when_also_once_it_has_learnt_a_new_name() {
    let mut desk = ambiguous();
    decide(&mut desk, decision("d-1", ("asks", 1, 1), link("hf-2")));
    let decided = Some(Box::new(Decided { by: "frontdesk-2".into(), at: START }));
    assert_eq!(patient(&desk).link.map(|link| link.decided), Some(decided.clone()));
    for booking in ["asks", "waits"] {
        desk.expect_and_answer(Operation::CreateAppointment, created(&format!("a-{booking}")));
    }
    desk.arrive(a_booking_of("third", a_patient("p", "Ada", "Byron")));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-third"));
    let link = patient(&desk).link.expect("it stays");
    assert_eq!((link.origin, link.decided), (LinkOrigin::Operator, decided));
}

#[test]
fn a_decision_for_a_new_patient_creates_one_and_never_proposes_those_charts_again() {
    let mut desk = ambiguous();
    decide(&mut desk, decision("d-1", ("asks", 1, 1), Verdict::Create));
    find_two(&mut desk);
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-3"));
    for _ in 0..2 {
        let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
        assert_eq!(written_for(&request), "hf-3");
    }
}

#[test]
fn a_rejected_version_gets_its_dead_letter_and_the_next_one_is_asked_about() {
    let mut desk = ambiguous();
    decide(&mut desk, decision("d-1", ("asks", 1, 1), Verdict::Reject));
    let letter = desk.dead_letters().pop().expect("it ends");
    assert_eq!((letter.reason, letter.generation), (FailureReason::RejectedInReview, 2));
    find_two(&mut desk);
    let asked = desk.reviews().pop().expect("the next one is in question");
    assert_eq!((asked.booking.key.booking.as_str(), asked.reason), ("waits", ReviewReason::AmbiguousPatient));
}

/// Goal: nothing is done twice, and who decides late is told. Method: a copy, a second decision, one about another question,
/// one about what waits behind, one about nothing, and a verdict that the reason does not allow.
#[test]
fn a_decision_that_cannot_be_carried_out_is_answered_as_what_it_is() {
    let mut desk = ambiguous();
    decide(&mut desk, decision("d-0", ("asks", 1, 7), link("hf-1")));
    decide(&mut desk, decision("d-1", ("waits", 1, 1), link("hf-1")));
    decide(&mut desk, decision("d-2", ("nobody", 1, 1), link("hf-1")));
    decide(&mut desk, decision("d-3", ("asks", 1, 1), Verdict::Retry));
    desk.expect_silence();
    decide(&mut desk, decision("d-4", ("asks", 1, 1), link("hf-2")));
    decide(&mut desk, decision("d-4", ("asks", 1, 1), link("hf-2")));
    decide(&mut desk, decision("d-5", ("asks", 1, 1), link("hf-1")));
    let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(written_for(&request), "hf-2");
    decide(&mut desk, decision("d-6", ("asks", 1, 1), link("hf-1")));
    let letters = desk.dead_letters();
    let told: Vec<(String, FailureReason)> = letters
        .iter()
        .map(|letter| {
            let record = AppointmentFailed::from(letter);
            assert!(matches!(letter.content, DeadContent::Decision(_)) && record.result.version.is_none());
            (record.decision_id.expect("it names the decision").to_string(), letter.reason)
        })
        .collect();
    let expected = [
        ("d-0".into(), FailureReason::DecisionStale),
        ("d-1".into(), FailureReason::DecisionContradicts),
        ("d-2".into(), FailureReason::DecisionUnknown),
        ("d-3".into(), FailureReason::DecisionContradicts),
        ("d-5".into(), FailureReason::DecisionStale),
        ("d-6".into(), FailureReason::DecisionStale),
    ];
    assert_eq!(told, expected);
    let copies = desk.facts.iter().filter(|fact| matches!(fact, Fact::DuplicateSkipped { .. }));
    assert_eq!(copies.count(), 1, "a copy is passed over");
}

#[test]
fn a_decision_is_not_forgotten_with_the_worker() {
    let mut desk = ambiguous();
    desk.hold_commits = true;
    decide(&mut desk, decision("d-1", ("asks", 1, 1), link("hf-2")));
    // The commit is lost: the decision is read again.
    let mut lost = desk.crash(GuardMode::IdempotencyKey);
    lost.pass_ms(LAG_MS + 1);
    lost.expect_silence();
    decide(&mut lost, decision("d-1", ("asks", 1, 1), link("hf-2")));
    lost.expect(Operation::CreateAppointment);
    // The commit is good, and the worker ends before the call is answered.
    assert_eq!(lost.state("waits").hold(1), Some(Hold::Released));
    let mut next = lost.crash(GuardMode::IdempotencyKey);
    next.pass_ms(LAG_MS + 1);
    for _ in 0..2 {
        let request = next.expect_and_answer(Operation::CreateAppointment, created("a-1"));
        assert_eq!(written_for(&request), "hf-2");
    }
}

/// Two appointments could be what a create made whose answer was lost.
fn two_appointments() -> Desk {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking("asks", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(100_000);
    desk.bring_back();
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-7", "a-8"]));
    assert_eq!(desk.reviews().pop().map(|case| case.reason), Some(ReviewReason::AmbiguousAppointment));
    desk.arrive(rescheduled("asks", 2));
    desk.expect_silence();
    assert_eq!(desk.behind(), [("asks".into(), 2, "asks".into())], "its write is a person's doubt");
    desk
}

#[test]
fn an_adopted_appointment_is_moved_to_what_the_newest_version_wants() {
    let mut desk = two_appointments();
    let generation = desk.reviews()[0].generation;
    decide(&mut desk, decision("d-1", ("asks", 1, generation), Verdict::Adopt(AppointmentId("a-8".into()))));
    match desk.expect_and_answer(Operation::UpdateAppointment, updated("a-8")) {
        Request::UpdateAppointment { id, .. } => assert_eq!(&*id.0, "a-8"),
        other => panic!("{other:?}"),
    }
    let ended = [("asks".into(), 1, "SUPERSEDED"), ("asks".into(), 2, "CREATED")];
    assert_eq!(desk.results(), ended);
}

#[test]
fn a_create_after_a_lost_one_has_a_key_of_its_own() {
    let mut desk = two_appointments();
    let generation = desk.reviews()[0].generation;
    decide(&mut desk, decision("d-1", ("asks", 1, generation), Verdict::Create));
    match desk.expect_and_answer(Operation::CreateAppointment, created("a-9")) {
        Request::CreateAppointment { .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(desk.state("asks").incarnation, 1);
    assert_eq!(desk.results().last(), Some(&("asks".into(), 2, "CREATED")));
}
