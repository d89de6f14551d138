//! Guard mode `search`: creations of patients whose answer was lost, and which nothing but a search can find again (rules
//! W5, W7).

use healthflow_core::booking::Patient;
use healthflow_core::healthflow::{Operation, Reply, Request};
use healthflow_core::patient::search::Pass;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::sync::ReviewReason;

use crate::desk::*;

const Q_MS: i64 = 75_000;

fn grace() -> Patient {
    a_patient("p", "Grace", "Hopper")
}

/// Answers every pass of one search alike.
fn search(desk: &mut Desk, reply: &Reply) {
    for _ in 0..3 {
        let asked = desk.expect_and_answer(Operation::SearchPatients, reply.clone());
        assert!(
            !matches!(asked, Request::SearchPatients { pass: Pass::Reference(_), .. }),
            "our reference would find nobody, or everybody"
        );
    }
}

/// A booking whose patient's creation is in doubt and quiet by now, its record back at hand.
fn in_doubt() -> Desk {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking_of("b", grace()));
    search(&mut desk, &nobody());
    desk.expect_and_answer(Operation::CreatePatient, timeout());
    desk.pass_ms(Q_MS);
    desk.expect_silence();
    desk.bring_back();
    desk
}

/// The patient's creation was sent, then the worker died.
fn inherited() -> Desk {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking_of("b", grace()));
    search(&mut desk, &nobody());
    desk.expect(Operation::CreatePatient);
    desk.crash(GuardMode::Search)
}

#[test]
fn without_references_a_lost_creation_of_a_patient_is_found_by_searching_again() {
    let mut desk = in_doubt();
    search(&mut desk, &chart("hf-9", &grace()));
    let create = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert!(
        matches!(create, Request::CreateAppointment { content, .. } if content.patient.as_str() == "hf-9")
    );
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn without_references_a_lost_creation_that_nobody_finds_never_happened_and_is_made_again() {
    let mut desk = in_doubt();
    search(&mut desk, &nobody());
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn somebody_similar_to_a_lost_creation_is_for_a_person() {
    let mut desk = in_doubt();
    search(&mut desk, &chart("hf-9", &a_patient("p", "Gracia", "Hopper")));
    assert_eq!(desk.reviews()[0].reason, ReviewReason::AmbiguousPatient);
    desk.expect_silence();
}

#[test]
fn after_a_crash_a_lost_creation_waits_for_a_record_of_its_patient_and_is_searched_for() {
    let mut next = inherited();
    next.pass_ms(LEASE_MS + Q_MS);
    assert_eq!(next.processor.status(next.now).open_doubts, 0, "every search shows it by now");
    next.arrive(a_booking_of("b", grace()));
    search(&mut next, &chart("hf-9", &grace()));
    next.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(next.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn nobody_is_created_again_under_another_description_while_the_first_may_stand() {
    let mut next = inherited();
    next.pass_ms(LEASE_MS + Q_MS);
    let mut renamed = a_booking_of("b", a_patient("p", "Murray", "Grace"));
    renamed.version = 2;
    next.arrive(renamed);
    search(&mut next, &nobody());
    assert_eq!(next.reviews()[0].reason, ReviewReason::AmbiguousPatient);
    next.expect_silence();

    let mut again = next.crash(GuardMode::Search);
    again.pass_ms(LAG_MS + 1);
    let mut other_booking = a_booking_of("c", a_patient("p", "Murray", "Grace"));
    other_booking.version = 1;
    again.arrive(other_booking);
    again.expect_silence();
    let waiting = [("c".into(), 1, "b".into())];
    assert_eq!(again.behind(), waiting, "the patient's other bookings wait for the decision");
}

#[test]
fn once_a_lost_creation_can_be_seen_other_unknown_people_of_the_practice_go_on() {
    let mut next = inherited();
    let mut other = a_patient("q", "Alan", "Turing");
    other.date_of_birth = jiff::civil::date(1912, 6, 23).into();
    next.arrive(a_booking_of("c", other));
    next.pass_ms(LEASE_MS + Q_MS - 5_000);
    assert!(next.calls.is_empty());
    next.pass_ms(5_000);
    next.bring_back();
    search(&mut next, &nobody());
    next.expect(Operation::CreatePatient);
}

#[test]
fn who_could_be_the_same_person_searches_again_once_a_lost_creation_can_be_seen() {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking_of("b", grace()));
    search(&mut desk, &nobody());
    desk.expect_and_answer(Operation::CreatePatient, timeout());
    desk.pass_ms(Q_MS - 10_000);
    desk.arrive(a_booking_of("c", a_patient("q", "Grace", "Hopper")));
    search(&mut desk, &nobody());
    desk.pass_ms(8_800);
    assert!(desk.calls.is_empty(), "what it found came too early to show the first one");
    desk.pass_ms(1_000);
    search(&mut desk, &chart("hf-9", &grace()));
    desk.expect(Operation::CreateAppointment);
}

#[test]
fn a_newer_version_that_describes_the_patient_otherwise_is_searched_for_anew() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", grace()));
    for _ in 0..3 {
        desk.expect_and_answer(Operation::SearchPatients, nobody());
    }
    let last_pass = desk.expect(Operation::SearchPatients);
    let renamed = a_patient("p", "Murray", "Grace");
    let mut newer = a_booking_of("b", renamed.clone());
    newer.version = 2;
    desk.arrive(newer);
    desk.answer(&last_pass, nobody());
    desk.expect_and_answer(Operation::SearchPatients, nobody());
    let born = desk.expect_and_answer(Operation::SearchPatients, chart("hf-1", &renamed));
    assert!(matches!(born, Request::SearchPatients { pass: Pass::DateOfBirth(_), .. }));
}

/// Where doubts are short its booking waits for it in memory, with a search that is older than the doubt.
#[test]
fn what_was_found_before_a_lost_creation_is_not_believed_after_it() {
    let settings = Settings { request_life_ms: 1_000, late_landing_ms: 1_000, ..settings(GuardMode::Search) };
    let mut desk = Desk::within(settings, TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    desk.arrive(a_booking_of("b", grace()));
    search(&mut desk, &nobody());
    desk.expect_and_answer(Operation::CreatePatient, timeout());
    desk.pass_ms(LAG_MS + 2_000);
    assert!(desk.retries().is_empty(), "it waits in memory");
    search(&mut desk, &chart("hf-9", &grace()));
    desk.expect(Operation::CreateAppointment);
}
