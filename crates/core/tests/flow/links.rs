//! A known patient: a link is believed only for whom it was made, for ids are reused, merged and mistyped.

use healthflow_core::booking::{Booking, Patient, Version};
use healthflow_core::fact::{Fact, LinkChange};
use healthflow_core::healthflow::{Operation, Request};
use healthflow_core::patient::decide::Agreement;
use healthflow_core::patient::digests::{Likeness, PersonDigests};
use healthflow_core::patient::{Link, LinkOrigin, Person};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{PatientState, StateRecord, TaskState};
use healthflow_core::sync::ReviewReason;

use crate::desk::*;

fn ada() -> Patient {
    a_patient("p", "Ada", "Lovelace")
}

/// Another person under the same id: other name, birthday and postal code.
fn boris() -> Patient {
    let born = jiff::civil::date(1999, 6, 5).into();
    Patient { date_of_birth: born, postal_code: "10115".into(), ..a_patient("p", "Boris", "Tschaikowski") }
}

fn version_of(id: &str, version: Version, patient: Patient) -> Booking {
    Booking { version, ..Booking { patient, ..rescheduled(id, version) } }
}

/// A desk at which Ada was created as `hf-9`, and her booking `a` stands.
fn after_ada(guard: GuardMode) -> Desk {
    let mut desk = Desk::new(guard);
    desk.arrive(version_of("a", 1, ada()));
    for _ in 0..if guard.has_references() { 4 } else { 3 } {
        desk.expect_and_answer(Operation::SearchPatients, nobody());
    }
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk
}

fn link(desk: &Desk) -> Option<Link> {
    let key = version_of("a", 1, ada()).patient_key();
    desk.durable.patients.get(&key).and_then(|state| state.link.clone())
}

fn renamed(desk: &Desk) -> usize {
    desk.facts
        .iter()
        .filter(|fact| matches!(fact, Fact::LinkChanged { how: LinkChange::Renamed, .. }))
        .count()
}

#[test]
fn somebody_else_under_a_known_id_goes_to_review_and_nothing_into_that_chart() {
    let mut desk = after_ada(GuardMode::IdempotencyKey);
    desk.arrive(version_of("b", 1, boris()));
    desk.expect_silence();
    let case = desk.reviews().pop().expect("a person must look");
    assert_eq!((case.reason, case.booking.key.booking.as_str()), (ReviewReason::LinkMismatch, "b"));
    let [evidence] = &case.evidence[..] else { panic!("{:?}", case.evidence) };
    assert_eq!(evidence.healthflow_patient_id.as_deref(), Some("hf-9"));
    assert_eq!([evidence.family_name, evidence.date_of_birth], [Agreement::Differs; 2]);
}

#[test]
fn who_agrees_with_the_link_does_not_wait_for_the_question_about_somebody_else() {
    let mut desk = after_ada(GuardMode::IdempotencyKey);
    desk.arrive(version_of("b", 1, boris()));
    desk.arrive(version_of("c", 1, ada()));
    let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert!(
        matches!(request, Request::CreateAppointment { content, .. } if content.patient.as_str() == "hf-9")
    );
}

#[test]
fn a_changed_surname_alone_passes_is_learnt_and_is_counted_once() {
    let mut desk = after_ada(GuardMode::IdempotencyKey);
    for (id, family_name) in [("b", "Byron"), ("c", "Byron"), ("d", "King")] {
        desk.arrive(version_of(id, 1, Patient { family_name: family_name.into(), ..ada() }));
        desk.expect_and_answer(Operation::CreateAppointment, created(&format!("a-{id}")));
    }
    assert_eq!((renamed(&desk), desk.reviews().len()), (2, 0));
    // The new name is what counts from now on, after a crash too.
    let mut desk = desk.crash(GuardMode::IdempotencyKey);
    let moved = Patient { given_name: "Augusta".into(), family_name: "King".into(), ..ada() };
    desk.arrive(version_of("e", 1, moved));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-e"));
    assert_eq!(renamed(&desk), 1);
}

#[test]
fn a_corrected_birthday_passes_by_the_name_and_teaches_nothing() {
    let mut desk = after_ada(GuardMode::IdempotencyKey);
    let corrected = jiff::civil::date(1990, 10, 12);
    desk.arrive(version_of("b", 1, Patient { date_of_birth: corrected.into(), ..ada() }));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    let digests = link(&desk).and_then(|link| link.digests).expect("remembered");
    let key = version_of("a", 1, ada()).patient_key();
    assert_eq!(digests.compare(&PersonDigests::of(&key, &Person::from(&ada()))), Likeness::Same);
}

#[test]
fn a_patient_found_by_search_is_linked_for_whom_it_was_found() {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(version_of("a", 1, ada()));
    for _ in 0..3 {
        desk.expect_and_answer(Operation::SearchPatients, chart("hf-7", &ada()));
    }
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(version_of("b", 1, boris()));
    desk.expect_silence();
    assert_eq!(desk.reviews().pop().map(|case| case.reason), Some(ReviewReason::LinkMismatch));
}

#[test]
fn a_link_of_an_earlier_release_learns_at_its_first_use() {
    let key = version_of("a", 1, ada()).patient_key();
    let old = Link {
        healthflow_patient_id: "hf-9".into(),
        origin: LinkOrigin::Found,
        digests: None,
        outranks: None,
        decided: None,
    };
    let mut state = TaskState::default();
    state.apply(StateRecord::Patient(key, PatientState { link: Some(old), ..PatientState::default() }));
    let mut desk = Desk::acquired(GuardMode::IdempotencyKey, state, Default::default(), START);
    desk.arrive(version_of("a", 1, ada()));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(version_of("b", 1, boris()));
    desk.expect_silence();
    assert_eq!((desk.reviews().len(), renamed(&desk)), (1, 0));
}

/// The answer to Ada's creation was lost, the worker died, and the next one has seen nobody yet.
fn after_a_lost_creation() -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(version_of("a", 1, ada()));
    desk.find_nobody();
    desk.expect(Operation::CreatePatient);
    let mut desk = desk.crash(GuardMode::IdempotencyKey);
    desk.pass_ms(LAG_MS + 1);
    desk
}

/// Goal: whoever repeats a creation in doubt is not linked to whom the first one created. Method: the answer to Ada's
/// creation is lost, the worker dies, and Boris comes first under her id.
#[test]
fn a_creation_in_doubt_is_repeated_only_for_whom_it_was_decided() {
    let mut desk = after_a_lost_creation();
    desk.arrive(version_of("b", 1, boris()));
    desk.expect_silence();
    desk.pass_ms(90_000);
    let look_up = desk.calls.remove(0);
    assert_eq!(look_up.request.operation(), Operation::SearchPatients);
    desk.answer(&look_up, ours("hf-9", &ada()));
    desk.pass_ms(1_000);
    assert_eq!(link(&desk).map(|link| link.origin), Some(LinkOrigin::Created));
    desk.bring_back();
    desk.expect_silence();
    assert_eq!(desk.reviews().pop().map(|case| case.reason), Some(ReviewReason::LinkMismatch));
}

#[test]
fn a_repeat_under_another_description_links_for_whom_the_first_one_created() {
    let mut desk = after_a_lost_creation();
    let renamed = Patient { family_name: "Byron".into(), ..ada() };
    desk.arrive(version_of("b", 1, renamed));
    // The key replays the first answer.
    let call = desk.expect(Operation::CreatePatient);
    desk.hold_commits = true;
    desk.answer(&call, patient_created("hf-9"));
    desk.hold_commits = false;
    desk.commit_is_good();
    desk.pass_ms(1_000);
    assert_eq!(self::renamed(&desk), 1, "it was made for Lovelace, and has learnt Byron");
}

#[test]
fn a_cancellation_of_what_stands_passes_whatever_is_asked_about_the_patient() {
    let mut desk = after_ada(GuardMode::IdempotencyKey);
    // Somebody else's description under the id, and the booking itself is in question.
    desk.arrive(version_of("a", 2, boris()));
    desk.expect_silence();
    assert_eq!(desk.reviews().len(), 1);
    desk.arrive(cancelled(version_of("a", 3, boris())));
    let request = desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert!(
        matches!(request, Request::UpdateAppointment { content, .. } if content.patient.as_str() == "hf-9")
    );
    assert_eq!(desk.results().last(), Some(&("a".into(), 3, "CANCELLED")));
}

#[test]
fn a_cancellation_passes_the_review_that_holds_its_patient() {
    let mut desk = after_ada(GuardMode::IdempotencyKey);
    let mut conflicting = version_of("b", 1, ada());
    conflicting.patient.healthflow_patient_id = Some("hf-2".into());
    desk.arrive(conflicting);
    desk.expect_silence();
    assert_eq!(desk.reviews().pop().map(|case| case.reason), Some(ReviewReason::LinkConflict));
    desk.arrive(version_of("a", 2, ada()));
    desk.expect_silence();
    assert_eq!(desk.behind(), [("a".into(), 2, "b".into())]);
    desk.arrive(cancelled(version_of("a", 3, ada())));
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    desk.arrive(cancelled(version_of("never", 1, ada())));
    desk.expect_silence();
    let results = desk.results();
    let ended = [("a".into(), 3, "CANCELLED"), ("never".into(), 1, "CANCELLED")];
    assert_eq!(results[results.len() - 2..], ended, "what was never created needs nobody");
}

/// Goal: a cancellation that passed a hold is as safe as any other write. Method: its answer is lost with the worker.
#[test]
fn a_cancellation_that_passed_a_hold_is_a_doubt_of_the_next_owner() {
    let mut desk = after_ada(GuardMode::IdempotencyKey);
    let mut conflicting = version_of("a", 2, ada());
    conflicting.patient.healthflow_patient_id = Some("hf-2".into());
    desk.arrive(conflicting);
    desk.arrive(cancelled(version_of("a", 3, ada())));
    desk.expect(Operation::UpdateAppointment);
    let mut desk = desk.crash(GuardMode::IdempotencyKey);
    desk.arrive(cancelled(version_of("a", 3, ada())));
    desk.expect_silence();
    desk.pass_ms(90_000);
    if desk.calls.is_empty() {
        desk.bring_back();
    }
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(desk.results(), [("a".into(), 3, "CANCELLED")]);
}

#[test]
fn a_later_version_that_describes_the_right_person_does_not_wait_behind_a_wrong_one() {
    let mut desk = after_ada(GuardMode::IdempotencyKey);
    desk.arrive(version_of("b", 1, boris()));
    desk.arrive(version_of("b", 2, boris()));
    desk.expect_silence();
    // The newer question takes the place of the older one.
    assert_eq!(desk.reviews().len(), 2);
    assert_eq!(desk.state("b").question(), Some(2));
    desk.arrive(version_of("b", 3, ada()));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert!(desk.results().contains(&("b".into(), 3, "CREATED")));
}

/// Goal: a doubt that goes to a person stays with that person, whatever else is asked about the booking. Method: the first
/// version describes somebody else; the answer to the next one's create is lost, and two appointments could be its.
#[test]
fn a_doubt_goes_to_a_person_although_an_older_version_is_in_review() {
    let mut desk = after_ada(GuardMode::Search);
    desk.arrive(version_of("b", 1, boris()));
    desk.arrive(version_of("b", 2, ada()));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(100_000);
    desk.bring_back();
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-7", "a-8"]));
    desk.expect_silence();
    let reasons: Vec<ReviewReason> = desk.reviews().iter().map(|case| case.reason).collect();
    assert_eq!(reasons, [ReviewReason::LinkMismatch, ReviewReason::AmbiguousAppointment]);
    let state = desk.state("b");
    assert!(state.intent.is_some() && state.leaves_write_to_a_person());
}
