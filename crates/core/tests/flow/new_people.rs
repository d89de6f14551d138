//! People who are new to HealthFlow: the task creates each of them once, however many bookings need them (rule W7).

use healthflow_core::healthflow::{Operation, Request};
use healthflow_core::settings::GuardMode;

use crate::desk::*;

#[test]
fn two_bookings_of_one_new_patient_create_it_once() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let patient = a_patient("p", "Grace", "Hopper");
    desk.arrive(a_booking_of("b", patient.clone()));
    desk.arrive(a_booking_of("c", patient));
    desk.find_nobody();
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert_eq!(desk.results().len(), 2);
}

#[test]
fn the_same_person_under_two_ids_waits_until_the_first_can_be_found() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", a_patient("p-1", "Grace", "Hopper")));
    desk.find_nobody();
    let creating = desk.expect(Operation::CreatePatient);
    desk.arrive(a_booking_of("c", a_patient("p-2", "Grace", "Hopper")));
    desk.find_nobody();
    desk.pass_ms(1_000);
    assert!(desk.calls.is_empty(), "the second is not created while the first is under way");
    desk.answer(&creating, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.pass_ms(LAG_MS - 1_000);
    assert!(desk.calls.is_empty(), "nor before the search shows it");
    desk.pass_ms(2_000);
    desk.expect(Operation::SearchPatients);
}

#[test]
fn different_new_people_are_created_in_parallel() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", a_patient("p-1", "Grace", "Hopper")));
    let mut other = a_patient("p-2", "Alan", "Turing");
    other.date_of_birth = jiff::civil::date(1912, 6, 23).into();
    other.postal_code = "10001".into();
    desk.arrive(a_booking_of("c", other));
    for _ in 0..4 {
        desk.pass_ms(200);
        let calls: Vec<Call> = desk.calls.drain(..).collect();
        assert_eq!(calls.len(), 2);
        for call in &calls {
            desk.answer(call, nobody());
        }
    }
    desk.pass_ms(200);
    assert_eq!(desk.calls.len(), 2, "both are created at once");
}

#[test]
fn a_new_owner_searches_for_nobody_before_the_index_has_caught_up() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey).crash(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    desk.arrive(a_booking("known", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.pass_ms(LAG_MS);
    desk.expect(Operation::SearchPatients);
}

#[test]
fn while_an_inherited_creation_is_in_doubt_other_unknown_people_of_the_practice_wait() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking_of("b", a_patient("p-1", "Grace", "Hopper")));
    desk.find_nobody();
    desk.expect(Operation::CreatePatient);
    let mut next = desk.crash(GuardMode::Reference);
    next.arrive(a_booking_of("c", a_patient("p-2", "Alan", "Turing")));
    next.pass_ms(20_000);
    assert!(next.calls.is_empty());
    next.pass_ms(LEASE_MS + 75_000 - 20_000);
    let look_up = next.expect_and_answer(Operation::SearchPatients, nobody());
    assert!(matches!(
        look_up,
        Request::SearchPatients { pass: healthflow_core::patient::search::Pass::Reference(_), .. }
    ));
}

#[test]
fn a_creation_in_doubt_is_repeated_under_the_same_key_by_the_next_owner() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let patient = a_patient("p", "Grace", "Hopper");
    desk.arrive(a_booking_of("b", patient.clone()));
    desk.find_nobody();
    let first = desk.expect(Operation::CreatePatient).request;
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.arrive(a_booking_of("b", patient));
    let again = next.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    assert_eq!(first, again);
    next.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(next.results(), [("b".into(), 1, "CREATED")]);
}
