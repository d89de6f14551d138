//! What a packed map promises: a reader sees no difference between packed and hot entries, and nothing private is printed.

use super::*;
use crate::appointment::{Placement, Span};
use crate::booking::{BookingKey, BookingStatus, PatientKey};
use crate::patient::digests::PersonDigests;
use crate::patient::{Decided, Link, LinkOrigin, UnverifiedCreation};
use crate::state::{
    BookingState, Hold, Parked, ParkingPlace, PatientIntent, PatientState, Suspicion, ToldDelay, VersionSet,
    Wish, WriteIntent, WriteOperation,
};
use crate::time::Timestamp;
use proptest::prelude::*;
use std::hash::DefaultHasher;

fn key(number: u8) -> BookingKey {
    BookingKey { practice: format!("practice-{}", number % 2).into(), booking: format!("b-{number}").into() }
}

/// A state that says `number`; every third one may not be packed.
fn state(number: u8) -> BookingState {
    let parked = Parked { version: 1, place: ParkingPlace::Retry, generation: 1, wish: None };
    BookingState {
        newest: number.into(),
        last_day: number.into(),
        parked: (number.is_multiple_of(3)).then_some(parked).into_iter().collect(),
        last_write_at: Some(Timestamp(i64::from(number) << 33)),
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
            patient: Some(u32::MAX),
            incarnation: 1,
            version: Some(u64::MAX),
            status: BookingStatus::Cancelled,
            fingerprint: Some(i64::MIN),
            revision: Some("\"7".into()),
            spans: vec![span.clone()],
        }),
        incarnation: 2,
        answered: VersionSet::new(3, vec![5, 9]),
        newest: 9,
        newest_generation: 4,
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
            place: ParkingPlace::Review(Hold::Behind),
            generation: 8,
            wish: Some(Box::new(Wish { order: 7, span: Some(span) })),
        }],
        lost: vec![6],
        last_day: 20_454,
        last_decision: Some("d-1".into()),
        told_delay: Some(Box::new(ToldDelay { version: 4, promised_at: Timestamp(8), at_earliest: true })),
        last_write_at: Some(Timestamp(1_900_000_000_000)),
    };
    let patient = PatientState {
        link: Some(Link {
            healthflow_patient_id: "hfp".into(),
            origin: LinkOrigin::Operator,
            digests: Some(PersonDigests { born: Some(1), name_words: vec![2, u32::MAX] }),
            outranks: Some("hfq".into()),
            decided: Some(Box::new(Decided { by: "d".into(), at: Timestamp(3) })),
        }),
        incarnation: 4,
        intent: Some(Box::new(PatientIntent {
            incarnation: 4,
            reference: 3,
            since: Timestamp(1),
            person: Some(-1),
            digests: Some(PersonDigests { born: None, name_words: vec![9] }),
        })),
        suspicion: Suspicion { unclean_ends: 1, alone: false },
        held_by: Some("b-1".into()),
        unverified_creation: Some(UnverifiedCreation::Anybody),
        rejected: vec![crate::patient::Rejected { chart: "hfr".into(), person: None }],
        is_new: true,
        is_unlinked: true,
        reference: 2,
        last_write_at: Some(Timestamp(2)),
    };
    (booking, patient)
}

fn hash(packed_map: &PackedMap<BookingState>) -> u64 {
    let mut hasher = DefaultHasher::new();
    packed_map.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    /// Goal: a reader sees no difference between packed and hot entries. Method: the same is done to a plain map.
    #[test]
    fn a_packed_map_is_a_map(steps in proptest::collection::vec((0_u8..6, 0_u8..7, any::<u8>()), 0..60)) {
        let (mut packed_map, mut map) = (PackedMap::<BookingState>::default(), HashMap::default());
        for (step, which, number) in steps {
            let key = key(which);
            match step {
                0 => *map.entry(key.clone()).or_default() = state(number),
                1 => drop(map.insert(key.clone(), state(number))),
                2 => drop(map.remove(&key)),
                _ => {}
            }
            match step {
                0 => *packed_map.entry_mut(&key) = state(number),
                1 => packed_map.insert(key, state(number)),
                2 => packed_map.remove(&key),
                3 => prop_assert_eq!(packed_map.unpack(&key), map.get_mut(&key)),
                _ => packed_map.pack(&key),
            }
            for (key, state) in &map {
                let known = packed_map.get(key);
                prop_assert_eq!(known.as_deref(), Some(state));
                prop_assert!(state.may_be_packed() || packed_map.get_hot(key) == Some(state));
            }
            prop_assert_eq!(packed_map.len(), map.len());
            let seen: HashMap<_, _> = packed_map.iter().map(|(key, one)| (key, one.into_owned())).collect();
            prop_assert_eq!(&seen, &map);
            let practice = self::key(which).practice;
            let of_practice = map.keys().filter(|key| key.practice == practice).count();
            prop_assert_eq!(packed_map.of_practice(&practice).count(), of_practice);
            let mut early: Vec<_> = packed_map.packed_by_first_field(|day: i32| day < 100).collect();
            early.sort_unstable();
            let is_early = |key: &BookingKey| map[key].last_day < 100 && packed_map.get_hot(key).is_none();
            let mut expected: Vec<_> = map.keys().filter(|key| is_early(key)).cloned().collect();
            expected.sort_unstable();
            prop_assert_eq!(early, expected);
            let mut packed = PackedMap::default();
            map.iter().for_each(|(key, state)| packed.insert(key.clone(), state.clone()));
            prop_assert_eq!(hash(&packed_map), hash(&packed));
        }
    }
}

#[test]
fn every_field_survives_packing() {
    let (booking, patient) = everything_set();
    assert_eq!(unpacked::<BookingState>(&packed("b", &booking).expect("packs")), booking);
    assert_eq!(unpacked::<PatientState>(&packed("p", &patient).expect("packs")), patient);
}

#[test]
fn what_was_sent_last_is_remembered_by_who_is_packed() {
    let mut packed_map = PackedMap::<BookingState>::default();
    *packed_map.entry_mut(&key(1)) = state(1);
    packed_map.pack(&key(1));
    assert_eq!(packed_map.get_hot(&key(1)), None);
    assert_eq!(packed_map.get(&key(1)).and_then(|state| state.last_write_at), Some(Timestamp(1 << 33)));
}

#[test]
fn no_patient_is_printed() {
    let mut packed_map = PackedMap::default();
    for patient in ["hot-person", "packed-person"] {
        let key = PatientKey { practice: "practice".into(), patient: patient.into() };
        let link = Link {
            healthflow_patient_id: "their-person".into(),
            origin: LinkOrigin::Found,
            digests: None,
            outranks: None,
            decided: None,
        };
        packed_map.insert(key.clone(), PatientState { link: Some(link), ..PatientState::default() });
        if patient == "hot-person" {
            packed_map.unpack(&key);
        }
    }
    let printed = format!("{packed_map:?}");
    assert!(printed.contains("practice/•••") && printed.contains("packed: 1"), "{printed}");
    assert!(!printed.contains("person"), "{printed}");
}
