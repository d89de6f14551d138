//! What is done about a booking, by what is known of it: one line a situation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

use super::*;
use crate::booking::BookingStatus;
use crate::event::Schedule;
use crate::event::sample::{NOW, booking};
use crate::healthflow::Operation;
use crate::life::Incarnation;
use crate::partition::job::{AskedToWait, InHand};
use crate::partition::start::{Acquired, Start};
use crate::partition::task::Task;
use crate::partition::turn::Shared;
use crate::settings::{GuardMode, Settings};
use crate::state::{
    BookingState, Hold, Parked, ParkingPlace, PatientIntent, PatientState, Suspicion, TaskState, WriteIntent,
};
use crate::topics::Lane;

static SETTINGS: LazyLock<Settings> =
    LazyLock::new(|| Settings { guard: GuardMode::IdempotencyKey, ..Settings::for_tests() });
const INCARNATION: Incarnation = 1;

/// A version of the sample's booking; nobody said who its patient is.
fn version(version: Version) -> Booking {
    let mut booking = booking();
    booking.version = version;
    booking.patient.healthflow_patient_id = None;
    booking
}

fn key() -> BookingKey {
    booking().key
}

fn patient() -> PatientKey {
    booking().patient_key()
}

/// A job with these versions at hand, which has its patient for itself.
fn job(versions: &[Booking]) -> Job {
    let in_hand = |booking: &Booking| {
        let order = i64::try_from(booking.version).expect("small");
        let (booking, position) = (Arc::new(booking.clone()), Some(Lane::Requested.at(order)));
        (
            booking.version,
            InHand {
                booking,
                position,
                schedule: Schedule::default(),
                taken_up_at: NOW,
                order,
                is_late: false,
            },
        )
    };
    let versions: BTreeMap<_, _> = versions.iter().map(in_hand).collect();
    Job { versions, patient: Some(patient()), ..Job::default() }
}

/// What is decided about `job` where state is as `restored`; what is open there is a doubt, long quiet if `is_quiet`.
fn decided(job: &Job, is_quiet: bool, restored: impl FnOnce(&mut BookingState, &mut PatientState)) -> Move {
    let mut state = TaskState::default();
    let (mut of_booking, mut of_patient) = (BookingState::default(), PatientState::default());
    restored(&mut of_booking, &mut of_patient);
    *state.bookings.entry_mut(&key()) = of_booking;
    *state.patients.entry_mut(&patient()) = of_patient;
    let ago_ms = if is_quiet { 3_600_000 } else { SETTINGS.search_lag_ms + 1 };
    let fenced_at = NOW.plus_ms(-ago_ms);
    let start = Start { next_offsets: vec![Lane::Requested.at(9), Lane::Retry.at(9)], ..Start::default() };
    let acquired = Acquired { fenced_at, start, state, restored_records: 0, restored_at: fenced_at };
    let (shared, mut facts) = (Shared::new(SETTINGS.clone()), VecDeque::new());
    let mut turn = shared.turn(&mut facts, NOW);
    let task = Task::new(0, INCARNATION, acquired, fenced_at, &mut turn);
    task.view().decide(&JobKey::Booking(key()), job, &turn)
}

fn create_intent() -> Box<WriteIntent> {
    Box::new(WriteIntent {
        operation: WriteOperation::Create,
        incarnation: 0,
        first_version: 1,
        since: NOW.plus_ms(-10_000),
        slot: None,
        if_match: None,
        asked: Vec::new(),
    })
}

fn in_review(version: Version) -> Parked {
    Parked { version, place: ParkingPlace::Review(Hold::Question), generation: 1, wish: None }
}

#[test]
fn a_copy_is_dropped_and_an_older_version_gives_way() {
    let answered = |state: &mut BookingState, _: &mut PatientState| {
        state.answered.insert(2, SETTINGS.answered_bytes_max);
    };
    assert_eq!(decided(&job(&[version(2)]), true, answered), Move::Drop(2));
    let both = job(&[version(1), version(2)]);
    let gives_way = |forgets_search| Move::Supersede { version: 1, forgets_search };
    assert_eq!(decided(&both, true, |_, _| {}), gives_way(false));
    let mut renamed = version(1);
    renamed.patient.given_name = "Chloe".into();
    let renamed = job(&[renamed, version(2)]);
    assert_eq!(decided(&renamed, true, |_, _| {}), gives_way(true), "somebody else was searched for");
    let newer_intended = |state: &mut BookingState, _: &mut PatientState| state.newest = 3;
    assert_eq!(
        decided(&job(&[version(2)]), true, newer_intended),
        Move::Supersede { version: 2, forgets_search: false }
    );
}

#[test]
fn a_review_holds_the_booking_and_its_patients_others_but_no_cancellation_of_what_stands() {
    // A newer version replaces the one in question, unless a person must find out about its write first.
    let asked = |state: &mut BookingState, _: &mut PatientState| state.parked.push(in_review(1));
    assert!(matches!(decided(&job(&[version(2)]), true, asked), Move::Ask(_)));
    let of_older = Move::Supersede { version: 1, forgets_search: false };
    let newer_asked = |state: &mut BookingState, _: &mut PatientState| state.parked.push(in_review(2));
    assert_eq!(decided(&job(&[version(1)]), true, newer_asked), of_older);
    let write_asked = |state: &mut BookingState, patient: &mut PatientState| {
        asked(state, patient);
        state.intent = Some(create_intent());
    };
    assert_eq!(decided(&job(&[version(2)]), true, write_asked), Move::HoldBehind(key()));
    let other_holds = |_: &mut BookingState, patient: &mut PatientState| {
        patient.held_by = Some("another".into());
    };
    let another = BookingKey { booking: "another".into(), ..key() };
    assert_eq!(decided(&job(&[version(2)]), true, other_holds), Move::HoldBehind(another));
    let mut cancelled = version(2);
    cancelled.status = BookingStatus::Cancelled;
    let of_cancelled = decided(&job(&[cancelled]), true, other_holds);
    assert!(!matches!(of_cancelled, Move::HoldBehind(_)), "{of_cancelled:?}");
}

#[test]
fn what_kills_workers_goes_to_a_person_before_anything_is_asked() {
    let unclean_ends = SETTINGS.crash_suspect_after + SETTINGS.crash_review_after;
    let suspicion = Suspicion { unclean_ends, alone: false };
    let of_booking = |state: &mut BookingState, _: &mut PatientState| state.suspicion = suspicion;
    assert_eq!(decided(&job(&[version(1)]), true, of_booking), Move::GiveUp(1));
    let of_patient = |_: &mut BookingState, patient: &mut PatientState| patient.suspicion = suspicion;
    assert_eq!(decided(&job(&[version(1)]), true, of_patient), Move::GiveUp(1));
}

#[test]
fn a_doubt_is_repeated_under_its_key_or_waits_until_it_is_quiet_and_is_then_settled() {
    let in_doubt = |state: &mut BookingState, _: &mut PatientState| state.intent = Some(create_intent());
    // The key protects the create, so the flow goes on under it: here to find out who the patient is.
    match decided(&job(&[version(1)]), false, in_doubt) {
        Move::Ask(asked) => assert_eq!(asked.request.operation(), Operation::SearchPatients),
        other => panic!("{other:?}"),
    }
    let forgotten = |state: &mut BookingState, _: &mut PatientState| {
        let since = NOW.plus_ms(-2 * SETTINGS.key_retention_ms);
        state.intent = Some(Box::new(WriteIntent { since, ..*create_intent() }));
    };
    match decided(&job(&[version(1)]), false, forgotten) {
        Move::Wait(at, WaitReason::InDoubt) => assert!(at > NOW),
        other => panic!("{other:?}"),
    }
    match decided(&job(&[version(1)]), true, in_doubt) {
        Move::Ask(asked) => {
            assert_eq!(
                (asked.request.operation(), asked.purpose),
                (Operation::FindAppointment, Purpose::Settle)
            );
        }
        other => panic!("{other:?}"),
    }
    let update = |state: &mut BookingState, _: &mut PatientState| {
        state.intent = Some(Box::new(WriteIntent { operation: WriteOperation::Update, ..*create_intent() }));
    };
    assert_eq!(decided(&job(&[version(1)]), true, update), Move::WriteAgain);
    let nobody_at_hand = Job::default();
    assert_eq!(
        decided(&nobody_at_hand, true, update),
        Move::WriteAgain,
        "whether or not a record is at hand"
    );
    assert!(matches!(decided(&nobody_at_hand, false, in_doubt), Move::Rest(Some(at)) if at > NOW));
    assert_eq!(decided(&nobody_at_hand, true, |_, _| {}), Move::Rest(None));
}

#[test]
fn nothing_is_asked_about_a_patient_who_is_anothers_or_whose_creation_is_in_doubt() {
    let without_patient = Job { patient: None, ..job(&[version(1)]) };
    assert_eq!(decided(&without_patient, true, |_, _| {}), Move::Lock(patient()));
    let of_somebody_else = |_: &mut BookingState, patient: &mut PatientState| {
        let mut other = booking().patient;
        (other.given_name, other.family_name) = ("Ada".into(), "King".into());
        other.date_of_birth = jiff::civil::date(1815, 12, 10).into();
        let person = crate::patient::Person::from(&other);
        let digests = crate::patient::digests::PersonDigests::of(&self::patient(), &person);
        let since = NOW.plus_ms(-10_000);
        patient.intent = Some(Box::new(PatientIntent {
            incarnation: 0,
            reference: 0,
            since,
            person: None,
            digests: Some(digests),
        }));
    };
    let waits = decided(&job(&[version(1)]), false, of_somebody_else);
    assert!(matches!(waits, Move::Wait(at, WaitReason::PatientInDoubt) if at > NOW), "{waits:?}");
    let settled = decided(&job(&[version(1)]), true, of_somebody_else);
    assert_eq!(settled, Move::Await(Awaited::Settling(patient())), "the patient's own job asks");
}

#[test]
fn who_was_asked_to_wait_waits_with_what_it_would_ask() {
    let until = NOW.plus_ms(5_000);
    let asked_to_wait = Some(AskedToWait { in_pause: 1, until, by_itself: false });
    let job = Job { asked_to_wait, ..job(&[version(1)]) };
    assert_eq!(decided(&job, true, |_, _| {}), Move::Wait(until, WaitReason::Throttled));
}
