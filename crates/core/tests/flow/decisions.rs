//! A person decides (rule K14): each verdict ends its review and lets the others go, and a decision that is late, wrong or written
//! twice does nothing and says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use healthflow_core::booking::{Booking, Version};
use healthflow_core::event::failed::{AppointmentFailed, DeadContent};
use healthflow_core::event::{Arrival, Decision, Verdict};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::{AppointmentId, Operation, Request};
use healthflow_core::patient::{Decided, HealthFlowPatientId, LinkOrigin};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{
    Asks, BookingState, Held, Hold, Parked, ParkingPlace, PatientIntent, PatientState, StateRecord,
    Suspicion, TaskState,
};
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

/// A desk at which a person must decide which of two charts is the patient's; "waits" is behind it.
fn ambiguous() -> Desk {
    ambiguous_in(GuardMode::IdempotencyKey)
}

fn ambiguous_in(guard: GuardMode) -> Desk {
    let mut desk = Desk::new(guard);
    desk.arrive(adas_booking("asks", 1));
    desk.find(&["hf-1", "hf-2"]);
    assert_eq!(desk.reviews().pop().map(|case| case.reason), Some(ReviewReason::AmbiguousPatient));
    desk.arrive(adas_booking("waits", 1));
    desk.expect_silence();
    desk
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
    let key = adas_booking("asks", 1).patient_key();
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
    desk.find(&["hf-1", "hf-2"]);
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
    desk.find(&["hf-1", "hf-2"]);
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

/// What is at hand of somebody whose create may have been sent by workers that died of it.
fn suspect(unclean_ends: u32, parked: Vec<Parked>) -> BookingState {
    let suspicion = Suspicion { unclean_ends, alone: false };
    BookingState { intent: Some(a_create_intent()), newest: 1, suspicion, parked, ..BookingState::default() }
}

/// Expects the look-up of "asks", of which nothing is found; then its version must end.
fn nothing_is_found_of_what_was_rejected(desk: &mut Desk) {
    desk.expect_and_answer(Operation::FindAppointment, appointments(&[]));
    let letter = desk.dead_letters().pop().expect("it ends");
    let identity = letter.identity.expect("it is of a version");
    assert_eq!((identity.key.booking.as_str(), letter.reason), ("asks", FailureReason::RejectedInReview));
    assert!(desk.state("asks").intent.is_none());
}

/// Goal: what a person rejected ends. Method: it waits for its doubt, and meanwhile another booking asks who their patient is.
#[test]
fn what_is_rejected_ends_though_its_patient_is_asked_about_again() {
    let mut state = TaskState::default();
    state.bookings.insert(adas_booking("asks", 1).key, suspect(5, Vec::new()));
    let mut desk = Desk::acquired(GuardMode::IdempotencyKey, state, BTreeMap::new(), START);
    desk.pass_ms(LAG_MS + 1);
    desk.arrive(adas_booking("asks", 1));
    let review = desk.reviews().pop().expect("it is asked about");
    assert_eq!(review.reason, ReviewReason::CrashSuspect);
    decide(&mut desk, decision("d-1", ("asks", 1, review.generation), Verdict::Reject));
    desk.arrive(adas_booking("waits", 1));
    desk.find(&["hf-1", "hf-2"]);
    assert_eq!(desk.reviews().pop().map(|case| case.reason), Some(ReviewReason::AmbiguousPatient));
    desk.pass_ms(100_000);
    nothing_is_found_of_what_was_rejected(&mut desk);
}

/// Goal: a rejected version is not parked, for the retry topic does not know of that. Method: it waits until another suspect has
/// run, for longer than anything waits in memory.
#[test]
fn what_is_rejected_ends_though_another_suspect_runs_long() {
    let mut state = TaskState::default();
    let place = ParkingPlace::Review(Hold::Rejected);
    let parked = Parked { version: 1, place, generation: 2, wish: None };
    state.bookings.insert(adas_booking("asks", 1).key, suspect(2, vec![parked]));
    state.bookings.insert(adas_booking("another", 1).key, suspect(2, Vec::new()));
    let asks = Asks::Person { reason: ReviewReason::CrashSuspect, candidates: Vec::new() };
    let booking = Arc::new(adas_booking("asks", 1));
    state.apply_held(Held::new(booking, 1, 0, START, asks));
    let mut desk = Desk::acquired(GuardMode::IdempotencyKey, state, BTreeMap::new(), START);
    desk.pass_ms(100_000);
    let call = desk.expect(Operation::FindAppointment);
    assert!(format!("{:?}", call.request).contains("another"), "{:?}", call.request);
    desk.pass_ms(100_000);
    assert_eq!(desk.state("asks").hold(1), Some(Hold::Rejected));
    desk.answer(&call, appointments(&[]));
    nothing_is_found_of_what_was_rejected(&mut desk);
}

/// Goal: every review lets all go that waited for it. Method: a newer version of the booking itself, for another patient.
#[test]
fn with_the_question_about_its_write_goes_a_newer_version_for_somebody_else() {
    let mut desk = two_appointments();
    desk.arrive(Booking { version: 3, ..a_booking_of("asks", a_patient("p-9", "Grace", "Hopper")) });
    assert_eq!(desk.state("asks").hold(3), Some(Hold::Behind));
    let generation = desk.reviews()[0].generation;
    decide(&mut desk, decision("d-1", ("asks", 1, generation), Verdict::Reject));
    desk.expect(Operation::SearchPatients);
    assert_eq!(desk.state("asks").hold(3), Some(Hold::Released));
}

/// A desk at which a person said that neither chart is the patient's, just before the patient is created.
fn about_to_create(guard: GuardMode) -> Desk {
    let mut desk = ambiguous_in(guard);
    decide(&mut desk, decision("d-1", ("asks", 1, 1), Verdict::Create));
    desk.find(&["hf-1", "hf-2"]);
    desk
}

/// Goal: nobody gets the chart that a person called somebody else's. Method: it is found under our reference when it is looked up what
/// became of a creation.
#[test]
fn a_lost_creation_is_not_the_chart_that_a_person_called_somebody_elses() {
    let mut desk = about_to_create(GuardMode::Reference);
    desk.expect_and_answer(Operation::CreatePatient, timeout());
    desk.pass_ms(100_000);
    let look_up = desk.expect(Operation::SearchPatients);
    desk.answer(&look_up, ours("hf-1", &a_patient("p", "Ada", "Lovelace")));
    let patient = desk.durable.patients.get(&adas_booking("asks", 1).patient_key()).expect("it is known");
    assert!(patient.link.is_none() && patient.intent.is_none(), "{patient:?}");
}

/// Goal: a creation in doubt is repeated under its own key, or it would be made twice. Method: a link was learnt meanwhile and
/// lost, after which another creation would have another key.
#[test]
fn a_creation_in_doubt_keeps_its_key_though_a_link_was_lost_meanwhile() {
    let mut keys = Vec::new();
    for incarnation in [0, 1] {
        let intent =
            PatientIntent { incarnation: 0, reference: 0, since: START, person: None, digests: None };
        let patient = PatientState { incarnation, intent: Some(Box::new(intent)), ..PatientState::default() };
        let mut state = TaskState::default();
        state.apply(StateRecord::Patient(adas_booking("asks", 1).patient_key(), patient));
        let mut desk = Desk::acquired(GuardMode::IdempotencyKey, state, BTreeMap::new(), START);
        desk.arrive(adas_booking("asks", 1));
        match desk.expect(Operation::CreatePatient).request {
            Request::CreatePatient { idempotency_key, .. } => keys.push(idempotency_key),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(keys[0], keys[1]);
}

/// Goal: what waits behind a question about its own booking's write does not wait for ever. Method: the record of the question is
/// deleted from the topic; the newer version is there.
#[test]
fn what_waits_behind_a_question_that_is_lost_is_asked_about_itself() {
    let place = |hold| ParkingPlace::Review(hold);
    let parked = |version, hold| Parked { version, place: place(hold), generation: 1, wish: None };
    let versions = vec![parked(1, Hold::Question), parked(2, Hold::Behind)];
    let mut state = TaskState::default();
    state.bookings.insert(adas_booking("asks", 1).key, suspect(9, versions));
    let newer = Arc::new(adas_booking("asks", 2));
    state.apply_held(Held::new(newer, 1, 0, START, Asks::Review("asks".into())));
    let mut desk = Desk::acquired(GuardMode::IdempotencyKey, state, BTreeMap::new(), START);
    desk.pass_ms(1_000_000);
    let lost: Vec<FailureReason> = desk.dead_letters().iter().map(|letter| letter.reason).collect();
    assert_eq!(lost, [FailureReason::RecordLost]);
    assert_ne!(desk.state("asks").hold(2), Some(Hold::Behind), "{:?}", desk.state("asks"));
    let asked = desk.reviews().pop().expect("a person is asked about it");
    assert_eq!((asked.booking.version, asked.reason), (2, ReviewReason::CrashSuspect));
}

/// Goal: an appointment that a person finds stays in the chart that it was made in. Method: the create for one patient is lost, the
/// newer version names another patient and cancels, and a person says which appointment it is.
#[test]
fn an_adopted_appointment_is_in_the_chart_that_it_was_asked_for() {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking("asks", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    let other = Booking { version: 2, ..a_booking_of_another("asks") };
    desk.arrive(cancelled(other));
    desk.pass_ms(100_000);
    desk.bring_back();
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-7", "a-8"]));
    let case = desk.reviews().pop().expect("a person is asked");
    let asked = ("asks", case.booking.version, case.generation);
    decide(&mut desk, decision("d-1", asked, Verdict::Adopt(AppointmentId("a-8".into()))));
    match desk.expect(Operation::UpdateAppointment).request {
        Request::UpdateAppointment { content, .. } => assert_eq!(&*content.patient.0, "hf-patient-1"),
        other => panic!("{other:?}"),
    }
}
