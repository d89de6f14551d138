//! Goal: a worker that is newer than the state it restores understands it. Method: state as it is written today, written
//! once more with the schema that lacked the fields that came later.

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use crate::appointment::{Placement, Slot, Span};
use crate::booking::{BookingKey, BookingStatus, PatientKey};
use crate::event::avro::{Decoder, contract};
use crate::event::codec::{Codec, restore};
use crate::event::sample::*;
use crate::event::{Arrival, Outgoing, RetryEntry, Schedule, arrival};
use crate::patient::digests::PersonDigests;
use crate::patient::{Decided, Link, LinkOrigin, UnverifiedCreation};
use crate::state::{
    BookingState, OpenOutage, Parked, ParkingPlace, PatientIntent, PatientState, ReadMark, ReadingState,
    StateRecord, Suspicion, TaskPositions, ToldDelay, TopicId, TopicIds, VersionSet, Wish, WriteIntent,
    WriteOperation,
};
use crate::time::Timestamp;
use crate::topics::{self, Lane};

/// The fields that came after the first state was written.
const LATER: [&str; 32] = [
    "unclean_ends",
    "alone",
    "slot",
    "if_match",
    "person",
    "unseen",
    "revision",
    "spans",
    "asked",
    "wish",
    "lost",
    "topic_ids",
    "answered_runs",
    "answered_forgotten",
    "digests",
    "hold",
    "outranks",
    "live_since",
    "reading",
    "suspects",
    "decided_by",
    "decided_at",
    "reference",
    "is_unlinked",
    "rejected",
    "rejected_for",
    "is_new",
    "patient",
    "newest_generation",
    "told_delay",
    "open_outage",
    "quotas",
];

/// The schema without the fields that came later.
fn older_schema(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(object) => {
            if let Some(serde_json::Value::Array(fields)) = object.get_mut("fields") {
                fields.retain(|field| !LATER.iter().any(|name| field["name"] == *name));
            }
            object.values_mut().for_each(older_schema);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(older_schema),
        _ => {}
    }
}

/// The value without them.
fn older_value(value: Value) -> Value {
    match value {
        Value::Record(fields) => Value::Record(
            fields
                .into_iter()
                .filter(|(name, _)| !LATER.contains(&name.as_str()))
                .map(|(name, value)| (name, older_value(value)))
                .collect(),
        ),
        Value::Union(branch, value) => Value::Union(branch, Box::new(older_value(*value))),
        Value::Array(items) => Value::Array(items.into_iter().map(older_value).collect()),
        other => other,
    }
}

/// What is restored of `record` if an earlier worker wrote it.
fn restored(record: StateRecord) -> StateRecord {
    let mut buffer = Vec::new();
    let outgoing = Outgoing::State(Box::new(record));
    let encoded =
        Codec::new("healthflow-sync", |_| ID).encode(&outgoing, &mut buffer).expect("it can be written");
    let contract = contract(encoded.topic).expect("one of ours");
    let mut json = serde_json::from_str(contract.json).expect("JSON");
    older_schema(&mut json);
    let json = json.to_string();
    assert!(LATER.iter().all(|name| !json.contains(&format!("\"{name}\""))), "{json}");
    let schema = Schema::parse_str(&json).expect("a schema");
    let value =
        older_value(Decoder::own(contract).decode_value(encoded.value.expect("a value")).expect("decodes"));
    let mut bytes = encoded.value.expect("a value")[..5].to_vec();
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value(&mut bytes, value).expect("the value fits the schema");
    restore(encoded.topic, &bytes, &Decoder::new(contract, ID, &json)).expect("is understood")
}

#[test]
fn a_booking_that_an_earlier_worker_wrote_is_restored() {
    let key = BookingKey { practice: "practice-1".into(), booking: "b".into() };
    let span = Span { provider_id: "dr-1".into(), start: NOW, minutes: 30 };
    let wish = Some(Box::new(Wish { order: 17, span: None }));
    let mut state = BookingState {
        placement: Some(Placement {
            appointment_id: "hf-a".into(),
            patient_id: "hf-p".into(),
            patient: Some(u32::MAX),
            incarnation: 1,
            version: Some(2),
            status: BookingStatus::Scheduled,
            fingerprint: Some(7),
            revision: Some("3".into()),
            spans: vec![span.clone()],
        }),
        answered: VersionSet::new(2, vec![5, 9]),
        newest: 3,
        newest_generation: 4,
        lost: vec![2],
        suspicion: Suspicion { unclean_ends: 1, alone: true },
        intent: Some(Box::new(WriteIntent {
            operation: WriteOperation::Create,
            incarnation: 1,
            first_version: 3,
            since: NOW,
            slot: Some(Slot { patient_id: "hf-p".into(), start: NOW, provider_id: "dr-1".into() }),
            if_match: Some("3".into()),
            asked: vec![span],
        })),
        parked: vec![Parked { version: 4, place: ParkingPlace::Retry, generation: 2, wish }],
        told_delay: Some(Box::new(ToldDelay { version: 4, promised_at: NOW, at_earliest: true })),
        ..BookingState::default()
    };
    let read = restored(StateRecord::Booking(key.clone(), state.clone()));
    let intent = state.intent.as_mut().expect("is there");
    (intent.slot, intent.if_match, intent.asked) = (None, None, Vec::new());
    state.parked[0].wish = None;
    state.lost.clear();
    (state.newest_generation, state.told_delay) = (0, None);
    state.suspicion = Suspicion::default();
    let placement = state.placement.as_mut().expect("is there");
    (placement.revision, placement.spans, placement.patient) = (None, Vec::new(), None);
    assert_eq!(read, StateRecord::Booking(key, state));
}

/// A retry record of an earlier worker does not say when it failed last.
#[test]
fn a_retry_that_an_earlier_worker_parked_comes_back() {
    let schedule = Schedule {
        attempts: 2,
        not_before: NOW,
        first_failed_at: Some(NOW.plus_ms(-5)),
        last_error: "timeout".into(),
        ..Schedule::default()
    };
    let newer = Schedule { last_failed_at: Some(NOW), ..schedule.clone() };
    let entry = |schedule| RetryEntry { booking: booking().into(), schedule, generation: 2 };
    let mut buffer = Vec::new();
    let outgoing = Outgoing::Retry(Box::new(entry(newer)));
    let encoded = Codec::new("healthflow-sync", |_| ID).encode(&outgoing, &mut buffer).expect("fits");
    let contract = contract(topics::RETRY).expect("one of ours");
    let mut json: serde_json::Value = serde_json::from_str(contract.json).expect("JSON");
    let fields = json["fields"].as_array_mut().expect("fields");
    fields.retain(|field| field["name"] != "last_failed_at");
    let json = json.to_string();
    let value = Decoder::own(contract).decode_value(encoded.value.expect("a value")).expect("decodes");
    let Value::Record(mut values) = value else { panic!("a record") };
    values.retain(|(name, _)| name != "last_failed_at");
    let mut bytes = encoded.value.expect("a value")[..5].to_vec();
    let schema = Schema::parse_str(&json).expect("a schema");
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value(&mut bytes, Value::Record(values)).expect("the value fits the schema");
    let decoder = Decoder::new(contract, ID, &json);
    let arrival = arrival::read(Lane::Retry, Some(b"practice-1"), Some(&bytes), Some(&decoder), NOW);
    assert_eq!(arrival, Arrival::Retry(Box::new(entry(schedule))));
}

#[test]
fn a_patient_that_an_earlier_worker_wrote_is_restored() {
    let key = PatientKey { practice: "practice-1".into(), patient: "p".into() };
    let mut state = PatientState {
        incarnation: 1,
        link: Some(Link {
            healthflow_patient_id: "hf-p".into(),
            origin: LinkOrigin::Provided,
            digests: Some(PersonDigests { born: Some(7), name_words: vec![8, 9] }),
            outranks: Some("hf-q".into()),
            decided: Some(Box::new(Decided { by: "d".into(), at: NOW })),
        }),
        intent: Some(Box::new(PatientIntent {
            incarnation: 1,
            reference: 3,
            since: NOW,
            person: Some(7),
            digests: Some(PersonDigests::default()),
        })),
        suspicion: Suspicion { unclean_ends: 1, alone: true },
        held_by: Some("b".into()),
        unverified_creation: Some(UnverifiedCreation::Person(8)),
        ..PatientState::default()
    };
    let read = restored(StateRecord::Patient(key.clone(), state.clone()));
    let link = state.link.as_mut().expect("is there");
    (link.digests, link.outranks, link.decided) = (None, None, None);
    let intent = state.intent.as_mut().expect("is there");
    (intent.digests, intent.reference) = (None, 0);
    (intent.person, state.suspicion, state.unverified_creation) = (None, Suspicion::default(), None);
    assert_eq!(read, StateRecord::Patient(key, state));
}

#[test]
fn positions_that_an_earlier_worker_wrote_are_restored_without_the_ids_of_their_topics() {
    let mut topic_ids = TopicIds::default();
    topic_ids.note(topics::RETRY, TopicId("6iTlRQgCQjKHGPgzlsnk1w".into()));
    let next_offsets = vec![Lane::Retry.at(3)];
    let mark =
        ReadMark { lane: Lane::Retry, from: 3, to: 3, records: 1, alone: true, ended: vec![Timestamp(7)] };
    let reading =
        ReadingState { live_since: Some(Timestamp(5)), marked: Some(mark.clone()), suspects: vec![mark] };
    let open_outage = Some(OpenOutage { id: "7-5".into(), began_at: NOW, cause: "timeout".into() });
    let mut positions = TaskPositions { partition_count: 6, next_offsets, topic_ids, reading, open_outage };
    let read = restored(StateRecord::Task(positions.clone()));
    (positions.topic_ids, positions.reading) = (TopicIds::default(), ReadingState::default());
    positions.open_outage = None;
    assert_eq!(read, StateRecord::Task(positions));
}
