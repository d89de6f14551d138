//! The good days: create, find, reschedule, cancel, nothing to do, superseded.

use std::collections::BTreeMap;

use healthflow_core::healthflow::{Answer, AppointmentContent, Operation, Request};
use healthflow_core::patient::{Candidate, Person};
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::sync::ReviewReason;

use crate::desk::*;

fn desk() -> Desk {
    Desk::new(GuardMode::IdempotencyKey)
}

#[test]
fn a_known_patient_costs_exactly_one_call() {
    let mut desk = desk();
    desk.arrive(a_booking("b", 1));
    let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert!(matches!(request, Request::CreateAppointment { content: AppointmentContent { patient, .. }, .. }
        if patient.as_str() == "hf-patient-1"));
    desk.expect_silence();
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
    assert_eq!(desk.offsets[&healthflow_core::topics::Lane::Requested], 1);
}

#[test]
fn a_new_patient_is_searched_in_every_pass_then_created_then_booked() {
    let mut desk = desk();
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    desk.find_nobody();
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-9"));
    let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert!(
        matches!(request, Request::CreateAppointment { content, .. } if content.patient.as_str() == "hf-9")
    );
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

#[test]
fn a_patient_found_by_search_is_linked_and_never_searched_again() {
    let mut desk = desk();
    let patient = a_patient("p", "Grace", "Hopper");
    desk.arrive(a_booking_of("b", patient.clone()));
    let found = Candidate { id: Some("hf-7".into()), external_id: None, person: Person::from(&patient) };
    desk.expect_and_answer(Operation::SearchPatients, nobody());
    for _ in 0..3 {
        let page = Answer::Patients { found: vec![found.clone()], next_cursor: None };
        desk.expect_and_answer(Operation::SearchPatients, Ok(page));
    }
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(a_booking_of("c", patient));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert_eq!(desk.results().len(), 2);
}

#[test]
fn every_page_of_a_search_is_read() {
    let mut desk = desk();
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    desk.expect_and_answer(Operation::SearchPatients, nobody());
    let page = Answer::Patients { found: Vec::new(), next_cursor: Some("page-2".into()) };
    desk.expect_and_answer(Operation::SearchPatients, Ok(page));
    let request = desk.expect_and_answer(Operation::SearchPatients, nobody());
    assert!(matches!(request, Request::SearchPatients { cursor: Some(cursor), .. } if cursor == "page-2"));
}

#[test]
fn a_reschedule_changes_the_same_appointment() {
    let mut desk = desk();
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(rescheduled("b", 2));
    let request = desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert!(matches!(request, Request::UpdateAppointment { id, .. } if id.as_str() == "a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED"), ("b".into(), 2, "UPDATED")]);
}

#[test]
fn a_version_that_changes_nothing_costs_no_call() {
    let mut desk = desk();
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(a_booking("b", 2));
    desk.expect_silence();
    assert_eq!(desk.results()[1], ("b".into(), 2, "UNCHANGED"));
}

#[test]
fn a_cancellation_is_written_once() {
    let mut desk = desk();
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(cancelled(a_booking("b", 2)));
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    desk.arrive(cancelled(a_booking("b", 3)));
    desk.expect_silence();
    assert_eq!(desk.results()[1..], [("b".into(), 2, "CANCELLED"), ("b".into(), 3, "CANCELLED")]);
}

#[test]
fn a_booking_cancelled_before_it_was_created_needs_no_call() {
    let mut desk = desk();
    desk.arrive(cancelled(a_booking("b", 1)));
    desk.expect_silence();
    assert_eq!(desk.results(), [("b".into(), 1, "CANCELLED")]);
}

#[test]
fn an_older_version_that_turns_up_later_is_superseded() {
    let mut desk = desk();
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(rescheduled("b", 1));
    desk.expect_silence();
    assert_eq!(desk.results(), [("b".into(), 2, "CREATED"), ("b".into(), 1, "SUPERSEDED")]);
}

#[test]
fn work_for_one_patient_is_serial_and_for_different_patients_parallel() {
    let mut desk = desk();
    desk.arrive(a_booking("a", 1));
    desk.arrive(a_booking("b", 1));
    desk.arrive(a_booking_of_another("c"));
    desk.pass_ms(300);
    assert_eq!(desk.calls.len(), 2, "one call a patient");
    let first = desk.calls.remove(0);
    desk.answer(&first, created("a-1"));
    desk.pass_ms(300);
    assert_eq!(desk.calls.len(), 2, "the second booking of the first patient follows");
}

#[test]
fn an_id_sent_along_that_is_not_the_known_one_goes_to_review() {
    let mut desk = desk();
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    let mut other = a_booking("c", 1);
    other.patient.healthflow_patient_id = Some("hf-patient-2".into());
    desk.arrive(other);
    desk.expect_silence();
    assert_eq!(desk.reviews().len(), 1);
    assert_eq!(desk.reviews()[0].reason, ReviewReason::LinkConflict);
}

#[test]
fn a_later_version_of_a_booking_in_review_takes_its_place() {
    let mut desk = desk();
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    let mut conflicting = a_booking("c", 1);
    conflicting.patient.healthflow_patient_id = Some("hf-patient-2".into());
    desk.arrive(conflicting.clone());
    conflicting.version = 2;
    desk.arrive(conflicting);
    desk.expect_silence();
    let asked: Vec<u64> = desk.reviews().iter().map(|case| case.booking.version).collect();
    assert_eq!((asked, desk.retries().len()), (vec![1, 2], 0));
    assert!(desk.results().contains(&("c".into(), 1, "SUPERSEDED")));
}

#[test]
fn who_came_first_is_done_first_also_when_it_takes_several_calls() {
    let one_at_a_time = Settings { max_in_flight: 1, ..settings(GuardMode::IdempotencyKey) };
    let mut desk = Desk::within(one_at_a_time, TaskState::default(), BTreeMap::new(), START);
    desk.pass_ms(LAG_MS + 1);
    let patient = |index: u32| {
        let mut patient =
            a_patient(&format!("p-{index}"), &format!("Given{index}"), &format!("Family{index}"));
        patient.date_of_birth = jiff::civil::date(1950 + index as i16, 1, 1).into();
        patient.postal_code = format!("{}", 10_000 + index).into();
        patient
    };
    for index in 0..20 {
        desk.arrive(a_booking_of(&format!("b-{index}"), patient(index)));
    }
    // As under a tight limit: the first booking must not wait until all others have searched.
    let mut calls = 0;
    while desk.results().is_empty() {
        desk.pass_ms(200);
        let call = desk.calls.remove(0);
        calls += 1;
        let reply = match call.request.operation() {
            Operation::SearchPatients => nobody(),
            Operation::CreatePatient => patient_created(&format!("hf-{calls}")),
            _ => created("a-1"),
        };
        desk.answer(&call, reply);
    }
    assert!(calls <= 20, "{calls} calls before the first result");
}

/// Goal: a task's memory is that of what is under way. Method: what the processor shows of what it remembers.
#[test]
fn what_has_ended_is_packed_and_what_waits_lies_open() {
    let mut desk = desk();
    let shows = |desk: &Desk, part: &str| {
        let processor = format!("{:?}", desk.processor);
        assert!(processor.contains(part), "{part} is not in {processor}");
    };
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    shows(&desk, "bookings: PackedMap { hot: {}, packed: 1 }, patients: PackedMap { hot: {}, packed: 1 }");
    let mut desk = desk.crash(GuardMode::IdempotencyKey);
    shows(&desk, "bookings: PackedMap { hot: {}, packed: 1 }, patients: PackedMap { hot: {}, packed: 1 }");
    desk.arrive(rescheduled("b", 2));
    let call = desk.expect(Operation::UpdateAppointment);
    shows(&desk, "packed: 0 }, patients: PackedMap { hot: {}, packed: 1 }");
    desk.answer(&call, timeout());
    desk.pass_ms(50_000);
    assert!(!desk.retries().is_empty(), "it waits for its doubt in the retry topic");
    shows(&desk, "packed: 0 }, patients: PackedMap { hot: {}, packed: 1 }");
    desk.pass_ms(50_000);
    desk.bring_back();
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    shows(&desk, "bookings: PackedMap { hot: {}, packed: 1 }, patients: PackedMap { hot: {}, packed: 1 }");
}
