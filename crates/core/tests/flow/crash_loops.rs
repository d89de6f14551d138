//! A booking that kills every worker that touches it goes to a person; a booking that was only near it does not (rule K6).

use std::collections::BTreeMap;

use healthflow_core::booking::Booking;
use healthflow_core::event::Arrival;
use healthflow_core::healthflow::{Operation, Request};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{
    BookingState, Parked, ParkingPlace, PatientIntent, PatientState, StateRecord, Suspicion, TaskState,
};
use healthflow_core::sync::ReviewReason;
use healthflow_core::topics::Lane;

use crate::desk::*;

/// Until what an old owner sent can no longer land unseen.
const QUIET_MS: i64 = LEASE_MS + 75_000;

const GUARD: GuardMode = GuardMode::IdempotencyKey;

fn booking_of(request: &Request) -> &str {
    match request {
        Request::CreateAppointment { content, .. } => content.booking.as_str(),
        other => panic!("{other:?}"),
    }
}

/// The records that the committable offset has not passed, read again by the next owner.
fn read_again(desk: &mut Desk, bookings: &[Booking]) {
    let from = desk.offsets.get(&Lane::Requested).copied().unwrap_or(0);
    for booking in bookings.iter().skip(from.unsigned_abs() as usize) {
        desk.arrive(booking.clone());
    }
}

/// Lives one life: answers every call but that of `killer`, until that is the only one left; how many were under way at
/// once at most, and whether the killer was under way at the end.
fn live(desk: &mut Desk, killer: &str) -> (usize, bool) {
    let mut most = 0;
    for _ in 0..20 {
        desk.pass_ms(200);
        most = most.max(desk.calls.len());
        let harmless = desk.calls.iter().position(|call| booking_of(&call.request) != killer);
        let Some(index) = harmless else { continue };
        let call = desk.calls.remove(index);
        let id = format!("a-{}", booking_of(&call.request));
        desk.answer(&call, created(&id));
    }
    (most, desk.calls.iter().any(|call| booking_of(&call.request) == killer))
}

#[test]
fn a_booking_that_kills_every_worker_goes_to_review_and_its_neighbours_do_not() {
    let mut bookings: Vec<Booking> = ["a", "killer", "b"].map(|id| a_booking(id, 1)).to_vec();
    for (booking, patient) in bookings.iter_mut().zip(["p-1", "p-2", "p-3"]) {
        booking.patient.id = patient.into();
        booking.patient.healthflow_patient_id = Some(format!("hf-{patient}").into());
    }
    let mut desk = Desk::new(GUARD);
    // Two lives end before anybody is answered: all three are near.
    for _ in 0..2 {
        read_again(&mut desk, &bookings);
        desk.pass_ms(300);
        assert_eq!(desk.calls.len(), 3);
        desk = desk.crash(GUARD);
    }
    // From now on each runs alone; the neighbours are answered in the first of these lives.
    for life in 0..3 {
        read_again(&mut desk, &bookings);
        let (most, ends_with_killer) = live(&mut desk, "killer");
        assert_eq!((most, ends_with_killer), (1, true), "life {life}");
        desk = desk.crash(GUARD);
    }
    read_again(&mut desk, &bookings);
    desk.expect_silence();
    let review = desk.reviews().pop().expect("the killer waits for a person");
    assert_eq!((review.booking.key.booking.as_str(), review.reason), ("killer", ReviewReason::CrashSuspect));
    // Its doubt is the person's now: the next owner asks nothing either.
    assert!(desk.state("killer").question().is_some());
    desk = desk.crash(GUARD);
    desk.pass_ms(200_000);
    assert!(desk.calls.is_empty(), "{:?}", desk.calls);
    for neighbour in ["a", "b"] {
        let of = desk.durable.bookings.iter().find(|(key, _)| key.booking.as_str() == neighbour);
        assert!(of.is_some_and(|(_, state)| state.placement.is_some()), "{neighbour}");
    }
}

/// While another booking's review holds its patient, its record cannot go to a person yet; its doubt must not be settled
/// from state meanwhile, for the look-up may be what kills.
#[test]
fn a_booking_that_kills_is_left_alone_while_its_patient_is_held() {
    let booking = a_booking("b", 1);
    let state = BookingState {
        intent: Some(a_create_intent()),
        newest: 1,
        suspicion: Suspicion { unclean_ends: 5, alone: false },
        parked: vec![Parked { version: 1, place: ParkingPlace::Retry, generation: 1, wish: None }],
        ..BookingState::default()
    };
    let patient = PatientState { held_by: Some("another".into()), ..PatientState::default() };
    let mut state_of_task = TaskState::default();
    state_of_task.bookings.insert(booking.key.clone(), state);
    state_of_task.patients.insert(booking.patient_key(), patient);
    let mut desk = Desk::acquired(GuardMode::Reference, state_of_task, BTreeMap::new(), START);
    desk.pass_ms(2 * QUIET_MS);
    desk.expect_silence();
}

/// The creation that kills may still land, and no search shows it before it is quiet: until then nobody else unknown to
/// the practice is created, though its booking is with a person already.
#[test]
fn a_creation_that_kills_makes_other_unknown_people_wait_until_it_is_quiet() {
    let grace = a_booking_of("b", a_patient("p", "Grace", "Hopper"));
    let intent = PatientIntent { incarnation: 0, reference: 0, since: START, person: None, digests: None };
    let suspicion = Suspicion { unclean_ends: 5, alone: false };
    let mut state = TaskState::default();
    let patient = PatientState { intent: Some(Box::new(intent)), suspicion, ..PatientState::default() };
    state.apply(StateRecord::Patient(grace.patient_key(), patient));
    let mut desk = Desk::acquired(GUARD, state, BTreeMap::new(), START);
    desk.arrive(grace);
    desk.pass_ms(1_000);
    assert_eq!(desk.reviews()[0].reason, ReviewReason::CrashSuspect);
    desk.arrive(a_booking_of("c", a_patient("q", "Grace", "Hopper")));
    desk.pass_ms(QUIET_MS - 2_000);
    desk.expect_silence();
    desk.pass_ms(5_000);
    desk.bring_back();
    desk.expect(Operation::SearchPatients);
}

#[test]
fn a_suspect_is_marked_before_it_runs_and_the_mark_goes_with_its_answer() {
    let bookings = [a_booking("b", 1)];
    let mut desk = Desk::new(GUARD);
    for _ in 0..2 {
        read_again(&mut desk, &bookings);
        desk.expect(Operation::CreateAppointment);
        desk = desk.crash(GUARD);
    }
    desk.hold_commits = true;
    read_again(&mut desk, &bookings);
    desk.expect_silence();
    desk.commit_is_good();
    let suspicion = desk.state("b").suspicion;
    assert_eq!((suspicion.unclean_ends, suspicion.alone), (2, true));
    desk.hold_commits = false;
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
    let state = desk.state("b");
    assert_eq!((state.intent, state.suspicion), (None, Suspicion::default()));
}

/// A doubt that is settled closes its intent, and the next write opens another: where that dies too, nobody must have
/// forgotten the first time.
#[test]
fn a_booking_that_kills_by_its_update_goes_to_review_though_every_life_settles_its_doubt() {
    let mut desk = Desk::new(GUARD);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(rescheduled("b", 2));
    for _ in 0..5 {
        desk.expect(Operation::UpdateAppointment);
        let parked = desk.retries().pop();
        desk = desk.crash(GUARD);
        match parked {
            Some(entry) => desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry))),
            None => desk.arrive(rescheduled("b", 2)),
        }
        desk.pass_ms(QUIET_MS);
        if !desk.retries().is_empty() {
            desk.bring_back();
        }
    }
    desk.expect_silence();
    let review = desk.reviews().pop().expect("it waits for a person");
    assert_eq!((review.booking.version, review.reason), (2, ReviewReason::CrashSuspect));
}

#[test]
fn ends_while_others_run_alone_do_not_count() {
    let mut near = Suspicion::default();
    for _ in 0..9 {
        near = near.after_unclean_end(2);
    }
    assert_eq!(near.unclean_ends, 2);
    near.alone = true;
    assert_eq!(near.after_unclean_end(2).unclean_ends, 3);
}
