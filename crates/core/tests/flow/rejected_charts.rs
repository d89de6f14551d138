//! A person decides that a chart is somebody else's (rule W8): nothing leads there any more, our own reference neither.

use healthflow_core::booking::{Booking, Patient};
use healthflow_core::event::{Arrival, Decision, Verdict};
use healthflow_core::fact::{Fact, LinkChange};
use healthflow_core::healthflow::{Fault, Operation, Request};
use healthflow_core::patient::digests::PersonDigests;
use healthflow_core::patient::search::Pass;
use healthflow_core::patient::{LinkOrigin, Rejected};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{PatientState, StateRecord, TaskState};
use healthflow_core::sync::ReviewReason;
use healthflow_core::topics::Lane;

use crate::desk::*;

fn ada() -> Patient {
    a_patient("p", "Ada", "Lovelace")
}

/// Another person under the same id.
fn boris() -> Patient {
    let born = jiff::civil::date(1999, 6, 5).into();
    Patient { date_of_birth: born, postal_code: "10115".into(), ..a_patient("p", "Boris", "Tschaikowski") }
}

fn patient(desk: &Desk) -> PatientState {
    let key = a_booking_of("any", ada()).patient_key();
    desk.durable.patients.get(&key).map(|state| state.into_owned()).expect("the patient has state")
}

fn rejected(state: &PatientState) -> Vec<&str> {
    state.rejected.iter().map(|rejected| rejected.chart.as_str()).collect()
}

/// Somebody decides the newest question.
fn decide(desk: &mut Desk, verdict: Verdict) {
    let case = desk.reviews().pop().expect("a question");
    let Booking { key, version, .. } = (*case.booking).clone();
    let (id, by, at) = (format!("d-{key}").into(), "desk".into(), desk.now);
    let decision = Decision { id, key, version, generation: case.generation, verdict, by, at };
    desk.arrive_on(Lane::Decisions, Arrival::Decided(Box::new(decision)));
}

/// A desk at which Ada was created as `hf-9`, and then Boris came under her id; and the request that created her.
fn boris_under_adas_id(guard: GuardMode) -> (Desk, Request) {
    let mut desk = Desk::new(guard);
    desk.arrive(a_booking_of("a", ada()));
    desk.find_nobody();
    let creation = desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(a_booking_of("b", boris()));
    desk.expect_silence();
    assert_eq!(desk.reviews().pop().map(|case| case.reason), Some(ReviewReason::LinkMismatch));
    (desk, creation)
}

/// Under which reference and key a creation goes out.
fn reference_and_key(request: &Request) -> (String, String) {
    match request {
        Request::CreatePatient { content, idempotency_key } => {
            (content.patient.id.as_str().to_owned(), idempotency_key.clone())
        }
        other => panic!("{other:?}"),
    }
}

/// Every pass of a search is answered: by our reference, then by anything else.
fn search(desk: &mut Desk, by_reference: Vec<healthflow_core::healthflow::Reply>) -> String {
    let mut asked = None;
    for reply in by_reference.into_iter().chain([nobody(), nobody(), nobody()]) {
        let request = desk.expect_and_answer(Operation::SearchPatients, reply);
        if let Request::SearchPatients { pass: Pass::Reference(reference), .. } = request {
            asked = Some(reference.as_str().to_owned());
        }
    }
    asked.expect("our reference is searched by")
}

fn written_for(desk: &mut Desk, appointment: &str) -> String {
    match desk.expect_and_answer(Operation::CreateAppointment, created(appointment)) {
        Request::CreateAppointment { content, .. } => content.patient.0.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn whose_chart_was_rejected_is_created_under_a_reference_and_a_key_of_their_own() {
    for guard in [GuardMode::IdempotencyKey, GuardMode::UniqueReference, GuardMode::Reference] {
        let (mut desk, adas) = boris_under_adas_id(guard);
        decide(&mut desk, Verdict::Create);
        let dropped = |fact: &Fact| matches!(fact, Fact::LinkChanged { how: LinkChange::Dropped, .. });
        assert!(desk.facts.iter().any(dropped), "the old link is forgotten");
        let searched = search(&mut desk, vec![nobody()]);
        let (reference, key) =
            reference_and_key(&desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-10")));
        let (adas_reference, adas_key) = reference_and_key(&adas);
        assert_eq!(adas_reference, "p");
        assert!(reference.starts_with("p~1~") && key != adas_key, "{reference}");
        assert_eq!(searched, reference, "what we look for is what we create");
        assert_eq!(written_for(&mut desk, "a-2"), "hf-10");
        let state = patient(&desk);
        assert_eq!(rejected(&state), ["hf-9"]);
        assert!(!state.is_new && state.link.is_some_and(|link| link.origin == LinkOrigin::Created));
    }
}

#[test]
fn a_rejected_chart_is_no_match_even_if_our_own_reference_leads_to_it() {
    let (mut desk, _) = boris_under_adas_id(GuardMode::UniqueReference);
    decide(&mut desk, Verdict::Create);
    search(&mut desk, vec![ours("hf-9", &boris())]);
    let exists = Err(Fault::AlreadyThere { existing_id: Some("hf-9".into()) });
    let first = reference_and_key(&desk.expect_and_answer(Operation::CreatePatient, exists));
    desk.expect_silence();
    assert_eq!(patient(&desk).link, None, "nor by any other way");
    desk.pass_ms(10_000);
    desk.bring_back();
    search(&mut desk, vec![nobody()]);
    let second =
        reference_and_key(&desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-10")));
    assert!(first.0 != second.0 && first.1 != second.1, "the next one leads elsewhere");
    assert_eq!(written_for(&mut desk, "a-2"), "hf-10");
}

/// Goal: nobody is created twice. Method: the creation is sent, and the worker dies; the next owner repeats it.
#[test]
fn a_creation_under_a_reference_of_its_own_is_the_same_under_every_owner() {
    let (mut desk, _) = boris_under_adas_id(GuardMode::UniqueReference);
    decide(&mut desk, Verdict::Create);
    search(&mut desk, vec![nobody()]);
    let sent = desk.expect(Operation::CreatePatient).request;
    let mut next = desk.crash(GuardMode::UniqueReference);
    next.pass_ms(LAG_MS + 1);
    let again = next.expect_and_answer(Operation::CreatePatient, patient_created("hf-10"));
    assert_eq!(again, sent);
    assert_eq!(written_for(&mut next, "a-2"), "hf-10");
}

#[test]
fn a_creation_in_doubt_is_looked_up_by_the_reference_that_it_was_begun_under() {
    let (mut desk, _) = boris_under_adas_id(GuardMode::Reference);
    decide(&mut desk, Verdict::Create);
    search(&mut desk, vec![nobody()]);
    let sent = desk.expect_and_answer(Operation::CreatePatient, timeout());
    let (reference, _) = reference_and_key(&sent);
    desk.pass_ms(100_000);
    let call = desk.calls.remove(0);
    match &call.request {
        Request::SearchPatients { pass: Pass::Reference(asked), .. } => assert_eq!(asked.as_str(), reference),
        other => panic!("{other:?}"),
    }
    let under_it = Patient { id: reference.as_str().into(), ..boris() };
    desk.answer(&call, ours("hf-10", &under_it));
    desk.bring_back();
    assert_eq!(written_for(&mut desk, "a-2"), "hf-10");
}

/// Goal: what may have been sent is settled as it was sent. Method: a chart is rejected while a creation that began before is in doubt.
#[test]
fn a_creation_that_is_open_ends_as_it_began_before_the_next_reference_is_used() {
    let mut desk = Desk::new(GuardMode::Reference);
    let stranger = Patient { date_of_birth: jiff::civil::date(1950, 1, 2).into(), ..a_patient("", "X", "Y") };
    desk.charts.insert("hf-x".into(), a_chart("hf-x", &stranger));
    desk.arrive(a_booking_of("b", Patient { healthflow_patient_id: Some("hf-x".into()), ..ada() }));
    desk.arrive(a_booking_of("a", ada()));
    desk.find_nobody();
    desk.expect_and_answer(Operation::CreatePatient, timeout());
    decide(&mut desk, Verdict::Create);
    desk.expect_silence();
    assert_eq!((patient(&desk).incarnation, patient(&desk).reference), (1, 1));
    desk.pass_ms(100_000);
    let call = desk.calls.remove(0);
    assert!(
        matches!(&call.request, Request::SearchPatients { pass: Pass::Reference(id), .. } if id.as_str() == "p")
    );
    desk.answer(&call, ours("hf-9", &ada()));
    desk.pass_ms(10_000);
    assert_eq!(patient(&desk).link.map(|link| link.healthflow_patient_id), Some("hf-9".into()));
}

/// Goal: a chart may be linked that was rejected for somebody else under the same id, and stays rejected for that one.
#[test]
fn a_person_may_link_a_chart_after_all() {
    let (mut desk, _) = boris_under_adas_id(GuardMode::IdempotencyKey);
    decide(&mut desk, Verdict::Create);
    search(&mut desk, vec![nobody()]);
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-10"));
    assert_eq!(written_for(&mut desk, "a-2"), "hf-10");
    desk.arrive(a_booking_of("c", ada()));
    desk.expect_silence();
    decide(&mut desk, Verdict::Link("hf-9".into()));
    assert_eq!(written_for(&mut desk, "a-3"), "hf-9");
    assert_eq!(
        rejected(&patient(&desk)),
        ["hf-9", "hf-10"],
        "one is still not Boris', the other one not Ada's"
    );
}

/// Goal: whoever's id is reused keeps their chart. Method: a person decided that it is not Boris', who came under Ada's id; both come
/// again, and the search finds it for both.
#[test]
fn a_chart_that_is_not_this_persons_is_still_the_other_ones_under_the_same_id() {
    for (patient, is_theirs) in [(ada(), true), (boris(), false)] {
        let person = PersonDigests::of_booking(&a_booking_of("b", boris()));
        let rejected = vec![Rejected { chart: "hf-9".into(), person: Some(person) }];
        let known = PatientState { rejected, ..PatientState::default() };
        let mut state = TaskState::default();
        state.apply(StateRecord::Patient(a_booking_of("b", boris()).patient_key(), known));
        let mut desk = Desk::acquired(GuardMode::IdempotencyKey, state, Default::default(), START);
        desk.pass_ms(LAG_MS + 1);
        desk.arrive(a_booking_of("c", patient.clone()));
        while desk.calls.first().is_some_and(|call| call.request.operation() == Operation::SearchPatients) {
            desk.expect_and_answer(Operation::SearchPatients, chart("hf-9", &patient));
        }
        if is_theirs {
            assert_eq!(written_for(&mut desk, "a-4"), "hf-9");
        } else {
            desk.expect(Operation::CreatePatient);
        }
    }
}
