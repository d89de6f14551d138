//! What a shelf promises: a reader sees no difference between packed and open entries, and nothing private is printed.

use super::*;
use crate::appointment::{Placement, Span};
use crate::booking::{BookingKey, BookingStatus, PatientKey};
use crate::patient::digests::PersonDigests;
use crate::patient::{Link, LinkOrigin};
use crate::state::{
    BookingState, Parked, ParkingPlace, PatientIntent, PatientState, Suspicion, VersionSet, Wish,
    WriteIntent, WriteOperation,
};
use crate::time::Timestamp;
use proptest::prelude::*;
use std::hash::DefaultHasher;

fn key(number: u8) -> BookingKey {
    BookingKey { practice: format!("practice-{}", number % 2).into(), booking: format!("b-{number}").into() }
}

/// A state that says `number`; every third one is not settled.
fn state(number: u8) -> BookingState {
    let parked = Parked { version: 1, place: ParkingPlace::Retry, generation: 1, wish: None };
    BookingState {
        newest: number.into(),
        last_day: number.into(),
        parked: (number.is_multiple_of(3)).then_some(parked).into_iter().collect(),
        last_write_at: Timestamp(i64::from(number) << 33),
        ..BookingState::default()
    }
}

fn everything_set() -> (BookingState, PatientState) {
    let slot =
        crate::appointment::Slot { patient_id: "hfp".into(), start: Timestamp(-5), provider_id: "dr".into() };
    let span = Span { provider_id: "dr".into(), start: Timestamp(-5), minutes: 30 };
    let booking = BookingState {
        placement: Some(Placement {
            appointment_id: "hfa".into(),
            patient_id: "hfp".into(),
            incarnation: 1,
            version: u64::MAX,
            status: BookingStatus::Cancelled,
            fingerprint: Some(i64::MIN),
            revision: Some("\"7".into()),
            spans: vec![span.clone()],
        }),
        incarnation: 2,
        answered: VersionSet::new(3, vec![5, 9]),
        newest: 9,
        intent: Some(Box::new(WriteIntent {
            operation: WriteOperation::Update,
            incarnation: 2,
            first_version: 4,
            since: Timestamp(6),
            slot: Some(slot),
            if_match: Some("7".into()),
            asked: vec![span.clone()],
        })),
        suspicion: Suspicion { unclean_ends: 3, alone: true },
        parked: vec![Parked {
            version: 4,
            place: ParkingPlace::Review,
            generation: 8,
            wish: Some(Box::new(Wish { order: 7, span: Some(span) })),
        }],
        lost: vec![6],
        last_day: 20_454,
        lone_review: 5,
        last_write_at: Timestamp(1_900_000_000_000),
    };
    let patient = PatientState {
        link: Some(Link {
            healthflow_patient_id: "hfp".into(),
            origin: LinkOrigin::Operator,
            digests: Some(PersonDigests { born: Some(1), name_words: vec![2, u32::MAX] }),
            outranks: Some("hfq".into()),
        }),
        incarnation: 4,
        intent: Some(Box::new(PatientIntent {
            incarnation: 4,
            since: Timestamp(1),
            person: Some(-1),
            digests: Some(PersonDigests { born: None, name_words: vec![9] }),
        })),
        suspicion: Suspicion { unclean_ends: 1, alone: false },
        held_by: Some("b-1".into()),
        unseen: Some(0),
        last_write_at: Timestamp(2),
    };
    (booking, patient)
}

fn hash(shelf: &Shelf<BookingState>) -> u64 {
    let mut hasher = DefaultHasher::new();
    shelf.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    /// Goal: a reader sees no difference between packed and open entries. Method: the same is done to a plain map.
    #[test]
    fn a_shelf_is_a_map(steps in proptest::collection::vec((0_u8..6, 0_u8..7, any::<u8>()), 0..60)) {
        let (mut shelf, mut map) = (Shelf::<BookingState>::default(), HashMap::new());
        for (step, which, number) in steps {
            let key = key(which);
            match step {
                0 => *map.entry(key.clone()).or_default() = state(number),
                1 => drop(map.insert(key.clone(), state(number))),
                2 => drop(map.remove(&key)),
                _ => {}
            }
            match step {
                0 => *shelf.change(&key) = state(number),
                1 => shelf.put(key, state(number)),
                2 => shelf.forget(&key),
                3 => prop_assert_eq!(shelf.open(&key), map.get_mut(&key)),
                _ => shelf.settle(&key),
            }
            for (key, state) in &map {
                let known = shelf.get(key);
                prop_assert_eq!(known.as_deref(), Some(state));
                prop_assert!(state.is_settled() || shelf.get_open(key) == Some(state));
            }
            prop_assert_eq!(shelf.len(), map.len());
            let seen: HashMap<_, _> = shelf.iter().map(|(key, one)| (key, one.into_owned())).collect();
            prop_assert_eq!(&seen, &map);
            let practice = self::key(which).practice;
            let of_practice = map.keys().filter(|key| key.practice == practice).count();
            prop_assert_eq!(shelf.of_practice(&practice).count(), of_practice);
            let mut early: Vec<_> = shelf.packed_by_first_field(|day: i32| day < 100).collect();
            early.sort_unstable();
            let is_early = |key: &BookingKey| map[key].last_day < 100 && shelf.get_open(key).is_none();
            let mut expected: Vec<_> = map.keys().filter(|key| is_early(key)).cloned().collect();
            expected.sort_unstable();
            prop_assert_eq!(early, expected);
            let mut packed = Shelf::default();
            map.iter().for_each(|(key, state)| packed.put(key.clone(), state.clone()));
            prop_assert_eq!(hash(&shelf), hash(&packed));
        }
    }
}

#[test]
fn every_field_survives_packing() {
    let (booking, patient) = everything_set();
    assert_eq!(unpack::<BookingState>(&pack("b", &booking).expect("packs")), booking);
    assert_eq!(unpack::<PatientState>(&pack("p", &patient).expect("packs")), patient);
}

#[test]
fn what_was_sent_last_is_remembered_by_who_is_packed() {
    let mut shelf = Shelf::<BookingState>::default();
    *shelf.change(&key(1)) = state(1);
    shelf.settle(&key(1));
    assert_eq!(shelf.get_open(&key(1)), None);
    assert_eq!(shelf.get(&key(1)).map(|state| state.last_write_at), Some(Timestamp(1 << 33)));
}

#[test]
fn no_patient_is_printed() {
    let mut shelf = Shelf::default();
    for patient in ["open-person", "packed-person"] {
        let key = PatientKey { practice: "practice".into(), patient: patient.into() };
        let link = Link {
            healthflow_patient_id: "their-person".into(),
            origin: LinkOrigin::Found,
            digests: None,
            outranks: None,
        };
        shelf.put(key.clone(), PatientState { link: Some(link), ..PatientState::default() });
        if patient == "open-person" {
            shelf.open(&key);
        }
    }
    let printed = format!("{shelf:?}");
    assert!(printed.contains("practice/•••") && printed.contains("packed: 1"), "{printed}");
    assert!(!printed.contains("person"), "{printed}");
}
