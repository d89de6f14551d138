//! Goal: what was admitted can be written again, in every way and with every setting, and what is too large ends with its
//! name and its sizes. Method: the largest bookings and records that are admitted, written as everything that can become
//! of them.

use std::sync::Arc;

use crate::appointment::{PlacedIds, Placement, Slot, Span};
use crate::booking::{Booking, BookingKey, BookingStatus};
use crate::event::codec::{Codec, Encoded};
use crate::event::failed::{DeadContent, DeadLetter};
use crate::event::requested::AppointmentRequested;
use crate::event::result::Finished;
use crate::event::review::{EVIDENCE_MAX, ReviewCase};
use crate::event::sample::*;
use crate::event::size::{
    FRAMING_BYTES_MAX, PART_BYTES_MAX, RECORD_BYTES_MAX, RECORD_BYTES_RANGE, TooLarge, input_bytes_max,
    input_topic_bytes,
};
use crate::event::{Arrival, Identity, Misrouted, Origin, Outgoing, RetryEntry, Schedule, Unusable, arrival};
use crate::patient::decide::{Agreement, Evidence};
use crate::state::versions::ANSWERED_ABOVE_MAX;
use crate::state::{
    BookingState, Parked, ParkingPlace, StateRecord, VersionSet, Wish, WriteIntent, WriteOperation,
};
use crate::sync::{Disposition, FailureReason, ReviewReason, SyncedOutcome};
use crate::topics::{self, Lane};

/// What a record takes in a batch of its own beside key, value and the texts of its headers: 61 bytes of the batch, and
/// lengths and checks of the record and of each header.
const BATCH_BYTES: usize = 200;
const ORIGIN: Origin = Origin { lane: Lane::Requested, partition: i32::MAX, offset: i64::MAX };

fn wire_bytes(record: &Encoded<'_>) -> usize {
    let headers: usize = record.headers.iter().map(|(name, text)| name.len() + text.len() + 10).sum();
    record.key.as_ref().map_or(0, Vec::len) + record.value.map_or(0, <[u8]>::len) + headers + BATCH_BYTES
}

fn written(record: &Outgoing) -> usize {
    let codec = Codec::new(&"g".repeat(255), |_| ID);
    let mut buffer = Vec::new();
    wire_bytes(&codec.encode(record, &mut buffer).expect("fits its schema"))
}

/// A booking each text of which is as long as is possible, in letters of the most bytes.
fn largest_booking() -> AppointmentRequested {
    type Fill = fn(&mut AppointmentRequested, String);
    let fills: [Fill; 14] = [
        |event, text| event.event_id = text.into(),
        |event, text| event.practice_id = text.as_str().into(),
        |event, text| event.booking_id = text.as_str().into(),
        |event, text| event.location_id = text.into(),
        |event, text| event.patient.patient_id = crate::booking::PatientId::from(text.as_str()).into(),
        |event, text| event.patient.healthflow_patient_id = Some(text.into()),
        |event, text| event.patient.given_name = text.into(),
        |event, text| event.patient.family_name = text.into(),
        |event, text| event.patient.postal_code = text.into(),
        |event, text| event.patient.phone = Some(text.into()),
        |event, text| event.patient.email = Some(text.into()),
        |event, text| event.visit.provider_id = text.into(),
        |event, text| event.visit.operatory_id = Some(text.into()),
        |event, text| event.visit.note = Some(text.into()),
    ];
    let mut largest = event();
    largest.visit.time_zone = "America/Argentina/ComodRivadavia".into();
    for fill in fills {
        // The longest that is possible, to the letter.
        let (mut fits, mut fits_not) = (1, 1 << 20);
        while fits_not - fits > 1 {
            let middle = usize::midpoint(fits, fits_not);
            let mut tried = largest.clone();
            fill(&mut tried, "😀".repeat(middle));
            *if tried.into_booking(NOW).is_ok() { &mut fits } else { &mut fits_not } = middle;
        }
        fill(&mut largest, "😀".repeat(fits));
    }
    let codes = |count: usize, length: usize| vec!["😀".repeat(length); count];
    while possible(&largest, codes(largest.visit.procedure_codes.len() + 1, 1)) {
        largest.visit.procedure_codes = codes(largest.visit.procedure_codes.len() + 1, 1);
    }
    let count = largest.visit.procedure_codes.len();
    let length = (1..1000).take_while(|length| possible(&largest, codes(count, *length))).last();
    largest.visit.procedure_codes = codes(count, length.expect("one letter at least"));
    largest.version = i64::MAX;
    largest
}

fn possible(event: &AppointmentRequested, procedure_codes: Vec<String>) -> bool {
    let mut event = event.clone();
    event.visit.procedure_codes = procedure_codes;
    event.into_booking(NOW).is_ok()
}

fn letter(content: DeadContent, identity: Option<Identity>) -> Outgoing {
    Outgoing::Failed(Box::new(DeadLetter {
        content,
        identity,
        reason: FailureReason::Rejected,
        disposition: Disposition::Rejected,
        detail: "d".repeat(1_000).into(),
        placed_ids: PlacedIds {
            patient_id: Some("p".repeat(200).into()),
            appointment_id: Some("a".repeat(200).into()),
        },
        attempts: u32::MAX,
        generation: u32::MAX,
        origin: Some(ORIGIN),
        finished_at: NOW,
    }))
}

/// Everything that can be written of a booking.
fn results(booking: &Booking) -> Vec<Outgoing> {
    let identity = Identity::from(booking);
    let id: Arc<str> = "i".repeat(200).into();
    let evidence = Evidence {
        healthflow_patient_id: Some(id.to_string()),
        given_name: Agreement::Missing,
        family_name: Agreement::Missing,
        date_of_birth: Agreement::Missing,
        postal_code: Agreement::Missing,
        given_name_without_marks: Agreement::Missing,
        family_name_without_marks: Agreement::Missing,
        sex: Agreement::Missing,
    };
    let schedule = Schedule {
        attempts: u32::MAX,
        not_before: NOW,
        first_failed_at: Some(NOW),
        last_failed_at: Some(NOW),
        last_error: "e".repeat(200).into(),
        slot_since: Some(NOW),
    };
    vec![
        Outgoing::Retry(Box::new(RetryEntry {
            booking: booking.clone().into(),
            schedule,
            generation: u32::MAX,
        })),
        Outgoing::Review(Box::new(ReviewCase {
            booking: booking.clone().into(),
            generation: u32::MAX,
            reason: ReviewReason::CrashSuspect,
            evidence: vec![evidence; 10 * EVIDENCE_MAX],
            waits_for: Some(booking.key.booking.clone()),
            attempts: u32::MAX,
            order: i64::MAX,
            since: NOW,
        })),
        Outgoing::Synced(Finished {
            identity: identity.clone(),
            outcome: SyncedOutcome::Superseded,
            healthflow_patient_id: Some(id.clone()),
            healthflow_appointment_id: Some(id.clone()),
            attempts: u32::MAX,
            generation: u32::MAX,
            finished_at: NOW,
        }),
        letter(DeadContent::Booking(Arc::new(booking.clone())), Some(identity)),
        Outgoing::State(Box::new(StateRecord::Booking(booking.key.clone(), state(booking, &id)))),
    ]
}

fn state(booking: &Booking, id: &Arc<str>) -> BookingState {
    let span = Span::wanted(booking).unwrap_or(Span { provider_id: id.clone(), start: NOW, minutes: 30 });
    let wish = Some(Box::new(Wish { order: i64::MAX, span: Some(span.clone()) }));
    BookingState {
        placement: Some(Placement {
            appointment_id: id.clone(),
            patient_id: id.clone(),
            patient: None,
            incarnation: u32::MAX,
            version: Some(u64::MAX >> 1),
            status: BookingStatus::Cancelled,
            fingerprint: Some(i64::MIN),
            revision: Some(id.to_string().as_str().into()),
            spans: vec![span.clone(); 16],
        }),
        answered: VersionSet::new(4, (10..).take(ANSWERED_ABOVE_MAX).collect()),
        intent: Some(Box::new(WriteIntent {
            operation: WriteOperation::Update,
            incarnation: u32::MAX,
            first_version: u64::MAX >> 1,
            since: NOW,
            slot: Some(Slot { patient_id: id.clone(), start: NOW, provider_id: span.provider_id.clone() }),
            if_match: Some(id.to_string().as_str().into()),
            asked: vec![span; 8],
        })),
        parked: vec![Parked { version: 9, place: ParkingPlace::Retry, generation: 1, wish }; 32],
        ..BookingState::default()
    }
}

#[test]
fn every_result_of_the_largest_possible_booking_fits_under_the_least_limit() {
    let booking = largest_booking().into_booking(NOW).expect("possible");
    assert!(booking.visit.note.as_ref().is_some_and(|note| note.reveal().len() >= 16_000), "it is large");
    for record in results(&booking) {
        let bytes = written(&record);
        assert!(bytes <= *RECORD_BYTES_RANGE.start(), "{bytes} bytes of {record:?}");
    }
    let arrived = requested_bytes(&largest_booking()).len();
    assert!(arrived <= input_bytes_max(*RECORD_BYTES_RANGE.start()), "{arrived} bytes are admitted");
}

#[test]
fn the_largest_admissible_record_fits_into_its_dead_letter_and_into_its_own_topic_again() {
    let identity = Identity { event_id: "e".repeat(200).into(), ..Identity::from(&booking()) };
    for record_bytes_max in [*RECORD_BYTES_RANGE.start(), RECORD_BYTES_MAX, *RECORD_BYTES_RANGE.end()] {
        let bytes = input_bytes_max(record_bytes_max);
        for key_bytes in [10, bytes / 2, bytes - 10] {
            let (key, value) = (vec![b'k'; key_bytes], vec![0xff; bytes - key_bytes]);
            assert_eq!(TooLarge::check(Some(&key), Some(&value), bytes), None);
            let unusable = Unusable {
                raw_key: Some(key.clone()),
                raw_value: Some(value.clone()),
                reason: FailureReason::Impossible,
                detail: "d".into(),
                identity: Some(identity.clone()),
                named: Default::default(),
                decision_id: None,
            };
            let letter = letter(DeadContent::Record(Box::new(unusable)), Some(identity.clone()));
            assert!(written(&letter) <= record_bytes_max, "{record_bytes_max}");
            let forwarded = Outgoing::Forwarded(Box::new(Misrouted { home: 0, key, value }), ORIGIN);
            assert!(written(&forwarded) <= input_topic_bytes(record_bytes_max), "{record_bytes_max}");
        }
    }
}

/// An id of megabytes is kept once, with the record, and not a second time as the name of its version.
#[test]
fn a_name_of_megabytes_is_no_name() {
    let mut event = event();
    event.event_id = "e".repeat(1_900_000).into();
    let value = requested_bytes(&event);
    let read = arrival::read(
        Lane::Requested,
        Some(b"practice-1"),
        Some(&value),
        Some(&decoder(topics::REQUESTED)),
        NOW,
    );
    let Arrival::Unusable(unusable) = read else { panic!("{read:?}") };
    assert_eq!(
        (unusable.reason, &*unusable.detail),
        (FailureReason::Impossible, "event_id must not be longer than 200 characters")
    );
    let identity = unusable.identity.clone();
    assert_eq!(identity.as_ref().map(|identity| (identity.version, &*identity.event_id)), Some((3, "")));
    assert!(written(&letter(DeadContent::Record(unusable), identity)) < value.len() + FRAMING_BYTES_MAX);
}

fn too_large(lane: Lane, key: &[u8], value: &[u8]) -> Unusable {
    let sizes = TooLarge::check(Some(key), Some(value), input_bytes_max(RECORD_BYTES_MAX));
    let decoder = decoder(lane.topic());
    match arrival::too_large(lane, Some(key), Some(value), Some(&decoder), sizes.expect("too large")) {
        Arrival::Unusable(unusable) => *unusable,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_too_large_keeps_its_name_its_sizes_and_the_beginning_of_its_bytes() {
    let mut event = event();
    event.visit.note = Some("n".repeat(4_190_000).into());
    let named = Some(Identity {
        key: BookingKey { practice: "practice-1".into(), booking: "b-1".into() },
        version: 3,
        event_id: "event-1".into(),
        requested_at: event.requested_at,
    });
    let value = requested_bytes(&event);
    let refused = too_large(Lane::Requested, b"practice-1", &value);
    assert_eq!((refused.reason, &refused.identity), (FailureReason::TooLarge, &named));
    assert_eq!(refused.raw_value.as_deref(), Some(&value[..PART_BYTES_MAX]));
    let expected = format!(
        "it has a key of 10 bytes and a value of {} bytes, uncompressed; at most 2093056 can be written again",
        value.len()
    );
    assert_eq!(&*refused.detail, expected);

    let mut booking = booking();
    booking.visit.note = event.visit.note.clone();
    let entry = RetryEntry { booking: booking.into(), schedule: Schedule::default(), generation: 1 };
    let mut retry = Vec::new();
    let entry = crate::event::retry::AppointmentRetry::from(&entry);
    encoder(topics::RETRY).encode(&entry, &mut retry).expect("fits its schema");
    assert_eq!(too_large(Lane::Retry, b"practice-1", &retry).identity, named);
}

#[test]
fn what_is_too_large_and_names_nobody_ends_without_a_name() {
    let mut event = event();
    event.visit.note = Some("n".repeat(4_190_000).into());
    let value = requested_bytes(&event);
    assert_eq!(
        too_large(Lane::Requested, b"practice-2", &value).identity,
        None,
        "the key says something else"
    );
    let nonsense = vec![0xff; 4_190_000];
    let refused = too_large(Lane::Requested, &nonsense, &nonsense);
    assert_eq!((refused.reason, refused.identity), (FailureReason::TooLarge, None));
    assert_eq!(refused.raw_key.map(|key| key.len()), Some(PART_BYTES_MAX));
}
