//! Goal: a dead letter names its booking as far as its record can be read, and is never taken for the result of a version that
//! it does not answer. Method: records that are wrong in each way, by our schema and by others'.

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::json;

use crate::appointment::PlacedIds;
use crate::event::avro::{Decoder, contract};
use crate::event::failed::{AppointmentFailed, DeadContent};
use crate::event::requested::{AppointmentRequested, RequestedStatus};
use crate::event::sample::*;
use crate::event::unusable_names::practice_of;
use crate::event::{Arrival, DeadLetter, Misrouted, Unusable, arrival};
use crate::sync::{Disposition, FailureReason};
use crate::topics::{self, Lane};

/// The letter that a record becomes.
fn letter(key: Option<&[u8]>, value: &[u8], decoder: Option<&Decoder>) -> AppointmentFailed {
    let arrived = arrival::read(Lane::Requested, key, Some(value), decoder, NOW);
    let Arrival::Unusable(unusable) = arrived else { panic!("it is refused, not {arrived:?}") };
    let Unusable { identity, reason, detail, .. } = (*unusable).clone();
    AppointmentFailed::from(&DeadLetter {
        content: DeadContent::Record(unusable),
        identity,
        reason,
        disposition: Disposition::Poison,
        detail,
        placed_ids: PlacedIds::default(),
        attempts: 1,
        generation: 0,
        origin: None,
        finished_at: NOW,
    })
}

/// Reason, event, booking, practice and version, as a reader sees them, and the detail.
fn told(letter: &AppointmentFailed) -> (String, [Option<&str>; 3], Option<i64>, &str) {
    let result = &letter.result;
    let names = [
        result.event_id.as_deref(),
        result.booking_id.as_ref().map(|id| id.as_str()),
        result.practice_id.as_ref().map(|id| id.as_str()),
    ];
    (result.reason.as_deref().unwrap_or_default().to_owned(), names, result.version, &letter.detail)
}

fn ours(key: Option<&[u8]>, change: impl FnOnce(&mut AppointmentRequested)) -> AppointmentFailed {
    let mut event = event();
    change(&mut event);
    letter(key, &requested_bytes(&event), Some(&decoder(topics::REQUESTED)))
}

const KEY: Option<&[u8]> = Some(b"practice-1");
const ALL: [Option<&str>; 3] = [Some("event-1"), Some("b-1"), Some("practice-1")];

#[test]
fn a_record_without_identity_is_named_and_is_the_result_of_no_version() {
    let no_key = "the record has no key; it must be the practice_id; the record says version 3";
    let other = "practice_id must equal the key of the record; the record says version 3";
    let no_version = "version must be at least 1; the record says version 0";
    let no_booking = "booking_id must not be empty; the record says version 3";
    let long = "booking_id must not be longer than 200 characters; the record says version 3";
    let [event_id, _, practice] = ALL;
    type Change = fn(&mut AppointmentRequested);
    type Case<'a> = (Option<&'a [u8]>, Change, [Option<&'a str>; 3], &'a str);
    let cases: [Case<'_>; 5] = [
        (None, |_| (), ALL, no_key),
        (Some(b"practice-2"), |_| (), ALL, other),
        (KEY, |event| event.version = 0, ALL, no_version),
        (KEY, |event| event.booking_id = "".into(), [event_id, None, practice], no_booking),
        (KEY, |event| event.booking_id = "b".repeat(201).as_str().into(), [event_id, None, practice], long),
    ];
    for (key, change, names, detail) in cases {
        let letter = ours(key, change);
        let (_, told, version, said) = told(&letter);
        assert_eq!((told, version, said), (names, None, detail));
    }
    let known = ours(KEY, |event| event.visit.duration_minutes = 0);
    let (reason, names, version, _) = told(&known);
    assert_eq!((&*reason, names, version), ("IMPOSSIBLE", ALL, Some(3)), "this one has an identity");
}

/// Our schema, changed, and the sample as a producer with it writes it.
fn foreign(change: impl FnOnce(&mut serde_json::Value), value: &[(&str, Value)]) -> (Decoder, Vec<u8>) {
    let ours = contract(topics::REQUESTED).expect("one of ours");
    let mut json: serde_json::Value = serde_json::from_str(ours.json).expect("JSON");
    change(&mut json);
    let schema = Schema::parse_str(&json.to_string()).expect("a schema");
    let sample = Decoder::own(ours).decode_value(&requested_bytes(&event())).expect("the sample decodes");
    let Value::Record(mut fields) = sample else { panic!("a record") };
    for (name, value) in value {
        fields.iter_mut().find(|(field, _)| field == name).expect("a field of ours").1 = value.clone();
    }
    let mut bytes = vec![0, 1, 2, 3, 4];
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value(&mut bytes, Value::Record(fields)).expect("the value fits the schema");
    (Decoder::new(ours, ID, &json.to_string()), bytes)
}

fn field<'a>(schema: &'a mut serde_json::Value, name: &str) -> &'a mut serde_json::Value {
    let fields = schema["fields"].as_array_mut().expect("a record");
    fields.iter_mut().find(|field| field["name"] == name).expect("a field of that name")
}

#[test]
fn a_record_that_ours_cannot_read_is_named_as_far_as_its_own_schema_says() {
    let (decoder, bytes) = foreign(|schema| schema["name"] = json!("BookingEvent"), &[]);
    let other_name = letter(KEY, &bytes, Some(&decoder));
    let (reason, names, version, detail) = told(&other_name);
    assert_eq!((&*reason, names, version), ("UNDECODABLE", ALL, None));
    assert!(detail.ends_with("where ours is AppointmentRequested; the record says version 3"), "{detail}");
    let text = |schema: &mut serde_json::Value| field(schema, "version")["type"] = json!("string");
    let (decoder, bytes) = foreign(text, &[("version", Value::String("three".into()))]);
    let no_number = letter(KEY, &bytes, Some(&decoder));
    assert_eq!((told(&no_number).1, told(&no_number).2), (ALL, None));
    assert_eq!(told(&letter(KEY, &bytes[..bytes.len() - 1], Some(&decoder))).1, [None; 3], "it is cut off");
}

#[test]
fn json_is_told_from_avro_and_named() {
    let json =
        br#" {"event_id": "e-1", "booking_id": "b-1", "practice_id": 7, "version": 2, "patient": {"x": 1}}"#;
    let letter = letter(KEY, json, None);
    let expected = "the value does not begin with a zero byte and a schema id; it is JSON, where the registry's Avro \
                    serializer belongs; the record says version 2";
    let names = [Some("e-1"), Some("b-1"), None];
    assert_eq!(told(&letter), ("UNDECODABLE".to_owned(), names, None, expected));
}

/// Goal: a symbol that we do not know ends the version, and says which; it is never taken for another one.
#[test]
fn a_status_or_a_source_that_we_do_not_know_is_told() {
    for (name, symbol, expected) in [
        ("status", "NO_SHOW", "status must be SCHEDULED or CANCELLED, not NO_SHOW"),
        ("source", "IMPORT", "source must be LIVE or BACKFILL, not IMPORT"),
    ] {
        let more = |schema: &mut serde_json::Value| {
            field(schema, name)["type"]["symbols"].as_array_mut().expect("symbols").insert(0, json!(symbol));
        };
        let written = [(name, Value::Enum(0, symbol.into()))];
        let (decoder, bytes) = foreign(more, &written);
        let refused = letter(KEY, &bytes, Some(&decoder));
        assert_eq!(told(&refused), ("IMPOSSIBLE".to_owned(), ALL, Some(3), expected));
        let known = if name == "status" { "SCHEDULED" } else { "BACKFILL" };
        let place = if name == "status" { 1 } else { 2 };
        let (decoder, bytes) = foreign(more, &[(name, Value::Enum(place, known.into()))]);
        let read = arrival::read(Lane::Requested, KEY, Some(&bytes), Some(&decoder), NOW);
        assert!(matches!(read, Arrival::Requested(_)), "{known} is known: {read:?}");
    }
    let literal = ours(KEY, |event| event.status = RequestedStatus::Unknown);
    assert_eq!(told(&literal).3, "status must be SCHEDULED or CANCELLED, not UNKNOWN");
    assert_eq!(literal.result.reason.as_deref(), Some(FailureReason::Impossible.code()));
}

/// Goal: the log names the practice whose records go astray, and nothing that could be anything else.
#[test]
fn the_practice_of_a_stray_record_is_told_from_any_other_key() {
    let record = |key: &[u8], value: Vec<u8>| Misrouted { home: 1, key: key.to_vec(), value };
    let told = |record: &Misrouted| practice_of(record).map(|practice| practice.as_str().to_owned());
    let bytes = requested_bytes(&event());
    assert_eq!(told(&record(b"practice-1", bytes.clone())).as_deref(), Some("practice-1"));
    assert_eq!(told(&record(b"patient-1", bytes.clone())), None);
    for end in 0..bytes.len().min(40) {
        let told = told(&record(b"practice-1", bytes[..end].to_vec()));
        assert!(told.is_none() || told.as_deref() == Some("practice-1"));
    }
    assert_eq!(told(&record(b"", vec![0, 0, 0, 0, 1, 0, 0, 0])), None, "an empty one is none");
    assert_eq!(told(&record(b"x", vec![0, 0, 0, 0, 1, 1, 1, 1])), None, "lengths below zero");
}
