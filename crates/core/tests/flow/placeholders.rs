//! Values that mean "not known", and searches that find half a practice: each booking ends soon, with few calls, and the
//! task takes no person for another.

use std::collections::BTreeMap;

use healthflow_core::booking::Patient;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::{Answer, Operation, Request};
use healthflow_core::patient::Candidate;
use healthflow_core::patient::decide::Agreement;
use healthflow_core::patient::search::Pass;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::sync::ReviewReason;

use crate::desk::*;

/// Somebody whose birthday nobody knows.
fn unknown_birthday(id: &str, given_name: &str, family_name: &str) -> Patient {
    let date_of_birth = jiff::civil::date(1900, 1, 1).into();
    Patient { date_of_birth, ..a_patient(id, given_name, family_name) }
}

fn page(charts: Vec<Candidate>, more: bool) -> Answer {
    Answer::Patients { found: charts, next_cursor: more.then(|| "more".to_owned()) }
}

/// Answers the searches of a booking: `by` says whom a pass finds, or that it finds more than can be read. Gives the
/// names of the passes, each once a call.
fn search(desk: &mut Desk, by: impl Fn(&Pass) -> Option<Vec<Candidate>>) -> Vec<&'static str> {
    search_slowly(desk, 300, by)
}

/// The same, where each answer takes `call_ms`.
fn search_slowly(
    desk: &mut Desk,
    call_ms: i64,
    by: impl Fn(&Pass) -> Option<Vec<Candidate>>,
) -> Vec<&'static str> {
    let mut asked = Vec::new();
    loop {
        desk.pass_ms(call_ms);
        let Some(place) =
            desk.calls.iter().position(|call| matches!(call.request, Request::SearchPatients { .. }))
        else {
            return asked;
        };
        let call = desk.calls.remove(place);
        let Request::SearchPatients { pass, .. } = &call.request else { unreachable!() };
        asked.push(pass.name());
        let answer = by(pass).map_or_else(|| page(Vec::new(), true), |charts| page(charts, false));
        desk.answer(&call, Ok(answer));
        assert!(asked.len() < 50, "the search does not end: {asked:?}");
    }
}

fn too_wide(desk: &Desk) -> Vec<&'static str> {
    let pass = |fact: &Fact| match fact {
        Fact::SearchTooWide { pass, .. } => Some(pass.code()),
        _ => None,
    };
    desk.facts.iter().filter_map(pass).collect()
}

/// The case from outside: a chart of every second patient has that birthday.
#[test]
fn a_new_patient_with_a_placeholder_for_a_birthday_is_created_without_a_search_by_it() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", unknown_birthday("p", "Grace", "Hopper")));
    let asked = search(&mut desk, |pass| (!matches!(pass, Pass::DateOfBirth(_))).then(Vec::new));
    let expected = ["reference", "names", "family_name_and_postal_code", "given_name_and_postal_code"];
    assert_eq!(asked, expected);
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

/// Father and son of one name at one address, both of an unknown birthday: equal in all four fields, and two people.
#[test]
fn two_placeholders_are_no_evidence_for_one_person() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let patient = unknown_birthday("p", "Grace", "Hopper");
    desk.arrive(a_booking_of("b", patient.clone()));
    let chart = a_candidate("hf-1", &patient);
    search(&mut desk, |_| Some(vec![chart.clone()]));
    let review = desk.reviews().pop().expect("a person decides");
    assert_eq!((review.reason, review.evidence.len()), (ReviewReason::AmbiguousPatient, 1));
    assert_eq!(review.evidence[0].date_of_birth, Agreement::Missing);
}

/// A placeholder of the practice's own, which no table knows: once the pass is too wide, the birthday counts for nothing.
#[test]
fn a_birthday_that_too_many_share_is_narrowed_to_the_names_and_the_patient_is_created() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    let asked = search(&mut desk, |pass| (!matches!(pass, Pass::DateOfBirth(_))).then(Vec::new));
    assert_eq!(asked.iter().filter(|pass| **pass == "date_of_birth").count(), SEARCH_PAGES_MAX);
    assert_eq!(asked.len(), SEARCH_PAGES_MAX + 4, "and the names in its place: {asked:?}");
    assert_eq!(too_wide(&desk), ["date_of_birth"]);
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert!(desk.retries().is_empty(), "at the first try");
}

/// The same, and somebody of that name, birthday and address is there: equal in what says something, so a person decides.
#[test]
fn a_birthday_that_too_many_share_matches_nobody() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let patient = a_patient("p", "Grace", "Hopper");
    desk.arrive(a_booking_of("b", patient.clone()));
    let chart = a_candidate("hf-1", &patient);
    search(&mut desk, |pass| match pass {
        Pass::Reference(_) => Some(Vec::new()),
        Pass::DateOfBirth(_) => None,
        _ => Some(vec![chart.clone()]),
    });
    assert_eq!(desk.reviews().pop().map(|review| review.reason), Some(ReviewReason::AmbiguousPatient));
}

/// Whoever it is may be among those that nobody has read: a person decides, at the first try and not after 72 hours.
#[test]
fn a_search_that_cannot_be_read_to_its_end_goes_to_a_person_at_once() {
    for wide in ["reference", "family_name_and_postal_code", "given_name_and_postal_code"] {
        let mut desk = Desk::new(GuardMode::IdempotencyKey);
        desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
        let asked = search(&mut desk, |pass| (pass.name() != wide).then(Vec::new));
        assert_eq!(asked.len(), SEARCH_PAGES_MAX + 3, "{asked:?}");
        assert_eq!(too_wide(&desk), [wide]);
        let review = desk.reviews().pop().expect("a person decides");
        assert_eq!((review.reason, review.evidence.len()), (ReviewReason::AmbiguousPatient, 0));
        assert!(desk.retries().is_empty() && desk.calls.is_empty());
    }
}

/// What the other passes find completely is believed: who is equal in all four fields would be in each of them.
#[test]
fn a_match_that_another_pass_found_completely_is_believed() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let patient = a_patient("p", "Grace", "Hopper");
    desk.arrive(a_booking_of("b", patient.clone()));
    let chart = a_candidate("hf-1", &patient);
    search(&mut desk, |pass| match pass {
        Pass::Reference(_) => Some(Vec::new()),
        Pass::FamilyNameAndPostalCode(..) => None,
        _ => Some(vec![chart.clone()]),
    });
    let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert!(
        matches!(request, Request::CreateAppointment { content, .. } if content.patient.as_str() == "hf-1")
    );
}

#[test]
fn a_postal_code_that_says_nothing_is_not_searched_by() {
    for code in ["00000", " "] {
        let asked_for = |patient: Patient| {
            let mut desk = Desk::new(GuardMode::IdempotencyKey);
            desk.arrive(a_booking_of("b", Patient { postal_code: code.into(), ..patient }));
            search(&mut desk, |_| Some(Vec::new()))
        };
        let known = asked_for(a_patient("p", "Grace", "Hopper"));
        assert_eq!(known, ["reference", "date_of_birth", "names"], "{code}");
        assert_eq!(asked_for(unknown_birthday("p", "Grace", "Hopper")), ["reference", "names"], "{code}");
    }
}

/// A link of a patient without a birthday is believed for that name, and asked for nothing twice.
#[test]
fn a_link_of_a_patient_with_a_placeholder_is_believed_by_the_name_alone() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", unknown_birthday("p", "Grace", "Hopper")));
    search(&mut desk, |_| Some(Vec::new()));
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(a_booking_of("c", unknown_birthday("p", "Grace", "Hopper")));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    desk.arrive(a_booking_of("d", unknown_birthday("p", "Grace", "Murray")));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-3"));
    // The same placeholder under the same id makes nobody the same.
    desk.arrive(a_booking_of("e", unknown_birthday("p", "Alan", "Turing")));
    desk.expect_silence();
    assert_eq!(desk.reviews().pop().map(|review| review.reason), Some(ReviewReason::LinkMismatch));
}

/// Goal: a search has an end also where HealthFlow is slow: one that took too long to be believed is begun again with twice as
/// long to go. Method: four seconds a call, and a birthday that is read for twenty pages in vain: 96 seconds.
#[test]
fn a_search_that_lasts_for_minutes_is_begun_again_once_and_ends() {
    let settings = Settings { search_pages_max: 20, ..settings(GuardMode::IdempotencyKey) };
    let mut desk = Desk::within(settings, TaskState::default(), BTreeMap::new(), START);
    desk.pass_ms(LAG_MS + 1);
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    let slow = |pass: &Pass| (!matches!(pass, Pass::DateOfBirth(_))).then(Vec::new);
    assert_eq!(search_slowly(&mut desk, 4_000, slow).len(), 2 * 24);
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
}

/// Goal: a search that lasts for long and has not seen somebody whom we created meanwhile does not make a second chart (rule
/// W7). Method: the same person under another id, created and answered long before a search ends that may last for 120 s.
#[test]
fn who_was_created_while_a_search_lasted_for_long_is_searched_for_once_more() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", a_patient("p-1", "Grace", "Hopper")));
    let first = desk.expect(Operation::SearchPatients);
    desk.pass_ms(61_000);
    desk.answer(&first, nobody());
    for _ in 0..3 {
        desk.expect_and_answer(Operation::SearchPatients, nobody());
    }
    let again = desk.expect(Operation::SearchPatients);
    desk.arrive(a_booking_of("c", a_patient("p-2", "Grace", "Hopper")));
    search(&mut desk, |_| Some(Vec::new()));
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.pass_ms(100_000);
    desk.answer(&again, nobody());
    assert_eq!(search(&mut desk, |_| Some(Vec::new())).len(), 3 + 4, "the rest of it, and all of it again");
    desk.expect(Operation::CreatePatient);
}
