//! Goal: each record decodes to what was encoded, and its bytes are the schema's. Method: the way out, then the way in.

use crate::appointment::{PlacedIds, Placement, Slot, Span};
use crate::booking::{BookingKey, BookingStatus, PatientKey};
use crate::event::avro::{contract, contracts};
use crate::event::codec::{Codec, restore};
use crate::event::failed::{AppointmentFailed, DeadContent, NotRedrivable};
use crate::event::result::ResultOutcome;
use crate::event::review::{AppointmentReview, Level};
use crate::event::sample::*;
use crate::event::synced::AppointmentSynced;
use crate::event::unusable_names::Named;
use crate::event::{
    Arrival, DeadLetter, Finished, Identity, Origin, Outgoing, RetryEntry, Schedule, Unusable, arrival,
};
use crate::patient::decide::{Agreement, Evidence};
use crate::patient::digests::PersonDigests;
use crate::patient::{Decided, Link, LinkOrigin, Rejected, UnverifiedCreation};
use crate::state::{
    BookingState, Hold, OpenOutage, Parked, ParkingPlace, PatientIntent, PatientState, QuotaCount, ReadMark,
    ReadingState, StateRecord, Suspicion, TaskPositions, ToldDelay, TopicId, TopicIds, VersionSet, Wish,
    WriteIntent, WriteOperation,
};
use crate::sync::{Disposition, FailureReason, SyncedOutcome};
use crate::time::Timestamp;
use crate::topics::{self, Lane};
use std::sync::Arc;

fn codec() -> Codec {
    Codec::new("healthflow-sync", |_| ID)
}

#[test]
fn what_is_forgotten_leaves_a_tombstone_under_its_key() {
    let key = BookingKey { practice: "a/b".into(), booking: "c".into() };
    let mut buffer = vec![9; 9];
    let encoded = codec().encode(&Outgoing::Forgotten(key), &mut buffer).expect("fits");
    assert_eq!((encoded.topic, encoded.value), (topics::APPOINTMENT_STATE, None));
    assert_eq!(encoded.key.as_deref(), Some(&b"a%2Fb/c"[..]));
}

#[test]
fn every_topic_has_its_contract_and_each_can_be_built() {
    let named: Vec<_> = contracts().iter().map(|contract| contract.topic).collect();
    assert_eq!(named, topics::ALL);
    for topic in topics::ALL {
        assert_eq!(decoder(topic).refusal(), None);
        encoder(topic);
    }
}

/// Every record that holds an event defines it alike: a change made in one file only would split the topics.
#[test]
fn embedded_events_and_results_are_the_same_everywhere() {
    fn definition(topic: &str, name: &str) -> Option<serde_json::Value> {
        fn find(json: &serde_json::Value, name: &str) -> Option<serde_json::Value> {
            match json {
                serde_json::Value::Object(object)
                    if object.get("name").is_some_and(|it| it == name) && object.contains_key("fields") =>
                {
                    let mut found = object.clone();
                    found.remove("namespace");
                    Some(found.into())
                }
                serde_json::Value::Object(object) => object.values().find_map(|json| find(json, name)),
                serde_json::Value::Array(items) => items.iter().find_map(|json| find(json, name)),
                _ => None,
            }
        }
        let json = serde_json::from_str(contract(topic).expect("one of ours").json).expect("JSON");
        find(&json, name)
    }
    let event = definition(topics::REQUESTED, "AppointmentRequested");
    assert!(event.is_some());
    for topic in [topics::BACKFILL, topics::RETRY, topics::REVIEW, topics::FAILED] {
        assert_eq!(definition(topic, "AppointmentRequested"), event, "{topic}");
    }
    let result = definition(topics::SYNCED, "ResultEnvelope");
    assert!(result.is_some());
    for topic in [topics::REVIEW, topics::FAILED] {
        assert_eq!(definition(topic, "ResultEnvelope"), result, "{topic}");
    }
}

#[test]
fn a_booking_arrives_as_it_was_sent() {
    let bytes = requested_bytes(&event());
    let arrival = arrival::read(
        Lane::Requested,
        Some(b"practice-1"),
        Some(&bytes),
        Some(&decoder(topics::REQUESTED)),
        NOW,
    );
    assert_eq!(arrival, Arrival::Requested(Arc::new(booking())));
    assert_eq!(&bytes[..5], [0, 1, 2, 3, 4]);
}

#[test]
fn a_retry_comes_back_as_it_was_parked() {
    let entry = RetryEntry {
        booking: booking().into(),
        schedule: Schedule {
            attempts: 4,
            not_before: NOW,
            first_failed_at: Some(NOW.plus_ms(-5)),
            last_failed_at: Some(NOW.plus_ms(-3)),
            last_error: "timeout".into(),
            slot_since: Some(NOW.plus_ms(-3)),
        },
        generation: 7,
    };
    let mut buffer = vec![9; 9];
    let outgoing = Outgoing::Retry(Box::new(entry.clone()));
    let encoded = codec().encode(&outgoing, &mut buffer).expect("fits");
    assert_eq!((encoded.topic, encoded.key.as_deref()), (topics::RETRY, Some(&b"practice-1"[..])));
    let arrival =
        arrival::read(Lane::Retry, Some(b"practice-1"), encoded.value, Some(&decoder(topics::RETRY)), NOW);
    assert_eq!(arrival, Arrival::Retry(Box::new(entry)));
}

#[test]
fn results_say_which_version_and_how_it_ended() {
    let finished = Finished {
        identity: Identity::from(&booking()),
        outcome: SyncedOutcome::Superseded,
        healthflow_patient_id: Some("hf-1".into()),
        healthflow_appointment_id: None,
        attempts: 2,
        generation: 3,
        finished_at: NOW,
    };
    let mut buffer = Vec::new();
    let outgoing = Outgoing::Synced(finished);
    let encoded = codec().encode(&outgoing, &mut buffer).expect("fits");
    assert_eq!((encoded.topic, encoded.key.as_deref()), (topics::SYNCED, Some(&b"practice-1"[..])));
    let read: AppointmentSynced =
        decoder(topics::SYNCED).decode(encoded.value.expect("a value")).expect("decodes");
    assert_eq!((read.result.outcome, read.result.is_final), (ResultOutcome::Superseded, true));
    assert_eq!((read.result.version, read.result.attempts, read.result.generation), (Some(3), 2, 3));
    assert_eq!(read.result.requested_at, Some(NOW.plus_ms(-2_000)));

    let evidence = Evidence {
        healthflow_patient_id: Some("hf-2".into()),
        given_name: Agreement::Differs,
        family_name: Agreement::Differs,
        date_of_birth: Agreement::Missing,
        postal_code: Agreement::Equal,
        given_name_without_marks: Agreement::Equal,
        family_name_without_marks: Agreement::Differs,
        sex: Agreement::Differs,
    };
    let case = case(vec![evidence]);
    let outgoing = Outgoing::Review(Box::new(case));
    let encoded = codec().encode(&outgoing, &mut buffer).expect("fits");
    assert_eq!((encoded.topic, encoded.key.as_deref()), (topics::REVIEW, Some(&b"practice-1/b-1/3"[..])));
    let read: AppointmentReview =
        decoder(topics::REVIEW).decode(encoded.value.expect("a value")).expect("decodes");
    assert_eq!((read.result.outcome, read.result.is_final), (ResultOutcome::Review, false));
    assert_eq!(read.result.generation, 1);
    assert_eq!(read.event, event());
    let [candidate] = &read.evidence[..] else { panic!("one candidate") };
    assert_eq!(candidate.healthflow_patient_id.as_deref(), Some("hf-2"));
    let levels: Vec<_> = candidate.fields.iter().map(|of| (of.field.as_str(), of.level, of.weight)).collect();
    let expected = [
        ("given_name", Level::Similar, None),
        ("family_name", Level::Differs, None),
        ("date_of_birth", Level::Missing, None),
        ("postal_code", Level::Equal, None),
        ("sex", Level::Differs, None),
    ];
    assert_eq!(levels, expected);
}

fn letter(content: DeadContent, identity: Option<Identity>, origin: Option<Origin>) -> Outgoing {
    Outgoing::Failed(Box::new(DeadLetter {
        content,
        identity,
        reason: FailureReason::SlotTaken,
        disposition: Disposition::Rejected,
        detail: "the slot is taken".into(),
        placed_ids: PlacedIds { patient_id: Some("hf-1".into()), appointment_id: None },
        attempts: 2,
        generation: 4,
        origin,
        finished_at: NOW,
    }))
}

#[test]
fn a_dead_letter_keeps_the_bytes_and_says_where_it_came_from() {
    let record = Unusable {
        raw_key: None,
        raw_value: Some(vec![1, 2, 255]),
        reason: FailureReason::Undecodable,
        detail: "".into(),
        identity: None,
        named: Named { booking: Some("b-1".into()), version: Some(3), ..Named::default() },
        decision_id: Some("d-1".into()),
    };
    let origin = Origin { lane: Lane::Retry, partition: 11, offset: 42 };
    let outgoing = letter(DeadContent::Record(Box::new(record)), None, Some(origin));
    let mut buffer = Vec::new();
    let encoded = codec().encode(&outgoing, &mut buffer).expect("fits");
    assert_eq!((encoded.topic, &encoded.key), (topics::FAILED, &None));
    let headers: Vec<_> = encoded.headers.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(
        headers,
        [
            ("__dlq.errors.topic", "appointments.retry"),
            ("__dlq.errors.partition", "11"),
            ("__dlq.errors.offset", "42"),
            ("__dlq.errors.group", "healthflow-sync"),
            ("__dlq.errors.delivery.count", "2"),
            ("__dlq.errors.message", "the slot is taken"),
            ("reason", "SLOT_TAKEN"),
            ("disposition", "REJECTED"),
        ]
    );
    let value = encoded.value.expect("a value");
    let read: AppointmentFailed = decoder(topics::FAILED).decode(value).expect("decodes");
    assert!(read.event.is_none() && read.raw_key.is_none());
    assert_eq!(read.decision_id.as_deref(), Some("d-1"));
    assert_eq!(read.raw_value.as_deref(), Some(&[1, 2, 255][..]));
    assert_eq!(read.into_redrive(NOW), Err(NotRedrivable::NotUnderstood));

    let outgoing = letter(DeadContent::Booking(Arc::new(booking())), Some(Identity::from(&booking())), None);
    let encoded = codec().encode(&outgoing, &mut buffer).expect("fits");
    assert_eq!((encoded.key.as_deref(), encoded.headers.len()), (Some(&b"practice-1"[..]), 5));
    let read: AppointmentFailed =
        decoder(topics::FAILED).decode(encoded.value.expect("a value")).expect("decodes");
    assert_eq!((read.event.as_ref(), read.raw_value.as_ref()), (Some(&event()), None));
    assert_eq!(
        (read.result.outcome, read.result.reason.as_deref()),
        (ResultOutcome::Failed, Some("SLOT_TAKEN"))
    );
    let redrive = read.into_redrive(NOW).expect("a valid booking");
    assert_eq!((redrive.booking, redrive.generation, redrive.schedule.attempts), (booking().into(), 5, 0));
}

/// Positions with the id of every topic that has one.
fn positions() -> TaskPositions {
    let mut topic_ids = TopicIds::default();
    for topic in topics::IDENTIFIED {
        topic_ids.note(topic, TopicId(format!("id of {topic}").into()));
    }
    let next_offsets = vec![Lane::Requested.at(17), Lane::Retry.at(3)];
    let mark = ReadMark { lane: Lane::Retry, from: 3, to: 70, records: 64, alone: false, ended: vec![] };
    let one = ReadMark {
        lane: Lane::Requested,
        from: 17,
        to: 17,
        records: 1,
        alone: true,
        ended: [5, 8].map(Timestamp).to_vec(),
    };
    let reading = ReadingState {
        live_since: Some(Timestamp(9)),
        marked: Some(mark.clone()),
        suspects: vec![one, mark],
    };
    let open_outage = Some(OpenOutage { id: "7-5".into(), began_at: NOW, cause: "timeout".into() });
    TaskPositions { partition_count: 12, next_offsets, topic_ids, reading, open_outage }
}

/// A booking whose versions a clock gave.
fn with_many_versions(bytes_max: usize) -> BookingState {
    let mut state = BookingState::default();
    (0..60).for_each(|minute| state.answered.insert(1_795_521_600_000 + minute * 60_000, bytes_max));
    state
}

#[test]
fn many_answered_versions_come_back_as_they_were_committed() {
    let key = BookingKey { practice: "p".into(), booking: "b".into() };
    for bytes_max in [4_096, 30] {
        let record = StateRecord::Booking(key.clone(), with_many_versions(bytes_max));
        let mut buffer = Vec::new();
        let outgoing = Outgoing::State(Box::new(record.clone()));
        let encoded = codec().encode(&outgoing, &mut buffer).expect("fits");
        let restored = restore(encoded.topic, encoded.value.expect("a value"), &decoder(encoded.topic));
        assert_eq!(restored, Ok(record), "{bytes_max}");
    }
}

#[test]
fn answered_versions_that_nobody_wrote_are_malformed() {
    let key = BookingKey { practice: "p".into(), booking: "b".into() };
    let mut buffer = Vec::new();
    let state = with_many_versions(4_096);
    let runs = state.answered.runs().to_vec();
    let outgoing = Outgoing::State(Box::new(StateRecord::Booking(key, state)));
    let encoded = codec().encode(&outgoing, &mut buffer).expect("fits");
    let mut value = encoded.value.expect("a value").to_vec();
    let begin = value.windows(runs.len()).position(|bytes| bytes == runs).expect("the runs");
    // Numbers without an end.
    value[begin..begin + runs.len()].fill(0xff);
    let restored = restore(encoded.topic, &value, &decoder(encoded.topic));
    assert_eq!(restored, Err(crate::event::avro::Undecodable::Malformed));
}

fn known_patient() -> PatientState {
    PatientState {
        link: Some(Link {
            healthflow_patient_id: "hf-p".into(),
            origin: LinkOrigin::Operator,
            digests: Some(PersonDigests { born: Some(u32::MAX), name_words: vec![0, 7, u32::MAX] }),
            outranks: Some("hf-q".into()),
            decided: Some(Box::new(Decided { by: "frontdesk-2".into(), at: NOW })),
        }),
        incarnation: 1,
        intent: Some(Box::new(PatientIntent {
            incarnation: 1,
            reference: 3,
            since: NOW,
            person: Some(-7),
            digests: Some(PersonDigests { born: None, name_words: Vec::new() }),
        })),
        suspicion: Suspicion { unclean_ends: 1, alone: false },
        held_by: Some("b-1".into()),
        unverified_creation: Some(UnverifiedCreation::Person(i64::MAX)),
        rejected: vec![Rejected { chart: "hf-r".into(), person: Some(PersonDigests::default()) }],
        is_new: true,
        is_unlinked: true,
        reference: 2,
        last_write_at: None,
    }
}

fn counted() -> Vec<QuotaCount> {
    let count = |begin, calls| QuotaCount { limit: "day".into(), begin, calls };
    vec![count(NOW, u32::MAX), count(NOW.plus_ms(86_400_000), 0)]
}

#[test]
fn state_comes_back_as_it_was_committed() {
    let key = BookingKey { practice: "a/b".into(), booking: "c%d".into() };
    let span = Span { provider_id: "dr-1".into(), start: NOW, minutes: 30 };
    let wish = |span| Some(Box::new(Wish { order: 17, span }));
    let full = BookingState {
        placement: Some(Placement {
            appointment_id: "hf-a".into(),
            patient_id: "hf-p".into(),
            patient: Some(u32::MAX),
            incarnation: 2,
            version: Some(5),
            status: BookingStatus::Cancelled,
            fingerprint: Some(i64::MIN),
            revision: Some("7".into()),
            spans: vec![span.clone()],
        }),
        incarnation: 3,
        answered: VersionSet::new(4, vec![6, 9]),
        newest: 9,
        newest_generation: 4,
        intent: Some(Box::new(WriteIntent {
            operation: WriteOperation::Update,
            incarnation: 3,
            first_version: 8,
            since: NOW,
            slot: Some(Slot { patient_id: "hf-p".into(), start: NOW, provider_id: "dr-1".into() }),
            if_match: Some("6".into()),
            asked: vec![span.clone(), Span { minutes: 45, ..span.clone() }],
        })),
        suspicion: Suspicion { unclean_ends: 3, alone: true },
        parked: vec![
            Parked { version: 5, place: ParkingPlace::Retry, generation: 1, wish: wish(Some(span)) },
            Parked { version: 6, place: ParkingPlace::Retry, generation: 1, wish: wish(None) },
            Parked { version: 7, place: ParkingPlace::Review(Hold::Behind), generation: 2, wish: None },
        ],
        lost: vec![5],
        last_day: 20_454,
        last_decision: Some("d-1".into()),
        told_delay: Some(Box::new(ToldDelay { version: 7, promised_at: NOW, at_earliest: true })),
        last_write_at: None,
    };
    let patient = PatientKey { practice: "a".into(), patient: "p".into() };
    let of_patient = "a/148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940";
    let records = [
        (StateRecord::Booking(key.clone(), full), "a%2Fb/c%25d"),
        (StateRecord::Booking(key, BookingState::default()), "a%2Fb/c%25d"),
        (StateRecord::Task(positions()), "/"),
        (StateRecord::Quota(None, counted()), "/quota"),
        (StateRecord::Quota(Some("a/b".into()), counted()), "a%2Fb/"),
        (StateRecord::Patient(patient.clone(), known_patient()), of_patient),
        (StateRecord::Patient(patient, PatientState::default()), of_patient),
    ];
    for (record, expected_key) in records {
        let mut buffer = Vec::new();
        let outgoing = Outgoing::State(Box::new(record.clone()));
        let encoded = codec().encode(&outgoing, &mut buffer).expect("fits");
        assert_eq!(encoded.key.as_deref(), Some(expected_key.as_bytes()));
        assert_eq!(
            restore(encoded.topic, encoded.value.expect("a value"), &decoder(encoded.topic)),
            Ok(record)
        );
    }
}
