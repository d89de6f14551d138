//! Goal: a producer one compatible version older or newer is understood, and one that is not is refused at the door.
//! Method: its schema made from ours, its records written by Avro's own dynamic values.

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::json;

use crate::event::avro::{Contract, Decoder, FRAME_BYTES, Undecodable, WriterSchema, contract};
use crate::event::requested::{AppointmentRequested, RequestedStatus};
use crate::event::review::{AppointmentReview, CandidateEvidence, Level};
use crate::event::sample::*;
use crate::event::{Outgoing, codec::Codec};
use crate::topics;

fn ours() -> &'static Contract {
    contract(topics::REQUESTED).expect("one of ours")
}

/// Our schema, changed.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut json: serde_json::Value = serde_json::from_str(ours().json).expect("JSON");
    change(&mut json);
    json.to_string()
}

fn fields(record: &mut serde_json::Value) -> &mut Vec<serde_json::Value> {
    record["fields"].as_array_mut().expect("a record")
}

fn field<'a>(record: &'a mut serde_json::Value, name: &str) -> &'a mut serde_json::Value {
    fields(record).iter_mut().find(|field| field["name"] == name).expect("a field of that name")
}

/// The sample as a producer with the schema `json` would write it: fields it has and we do not from `extra`, fields
/// that we have and it does not left out.
fn written_with(json: &str, extra: &[(&str, Value)]) -> Vec<u8> {
    let schema = Schema::parse_str(json).expect("a schema");
    let Schema::Record(record) = &schema else { panic!("a record") };
    let ours = Decoder::own(ours()).decode_value(&requested_bytes(&event())).expect("the sample decodes");
    let Value::Record(mut values) = ours else { panic!("a record") };
    let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    values.splice(0..0, extra);
    let value = |name: &str| {
        values.iter().find(|(field, _)| field == name).cloned().expect("every field has a value")
    };
    let value = Value::Record(record.fields.iter().map(|field| value(&field.name)).collect());
    let mut bytes = vec![0, 1, 2, 3, 4];
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value(&mut bytes, value).expect("the value fits the schema");
    bytes
}

fn decode(json: &str, bytes: &[u8]) -> Result<AppointmentRequested, Undecodable> {
    Decoder::new(ours(), ID, json).decode(bytes)
}

/// Our schema with more fields, of the kinds that are hard to skip.
fn newer() -> String {
    changed(|record| {
        let fields = fields(record);
        let channel =
            json!({"type": "enum", "name": "Channel", "symbols": ["WEB", "DESK"], "default": "WEB"});
        fields.insert(0, json!({"name": "channel", "type": channel, "default": "WEB"}));
        fields.insert(3, json!({"name": "fee", "type": ["null", "double", "string"], "default": null}));
        let guardian =
            json!({"type": "record", "name": "Guardian", "fields": [{"name": "name", "type": "string"}]});
        fields.push(json!({"name": "guardian", "type": ["null", guardian], "default": null}));
        fields.push(json!({"name": "tags", "type": {"type": "map", "values": "long"}, "default": {}}));
    })
}

/// Values for those fields.
fn newer_values() -> [(&'static str, Value); 4] {
    let guardian = Value::Record(vec![("name".into(), Value::String("Ada".into()))]);
    [
        ("channel", Value::Enum(1, "DESK".into())),
        ("fee", Value::Union(2, Box::new(Value::String("12".into())))),
        ("guardian", Value::Union(1, Box::new(guardian))),
        ("tags", Value::Map([("a".to_owned(), Value::Long(1))].into())),
    ]
}

#[test]
fn a_newer_producer_may_add_fields_of_any_kind() {
    let json = newer();
    let bytes = written_with(&json, &newer_values());
    assert_eq!(decode(&json, &bytes), Ok(event()));
    // Its bytes are held to the last one too, and people see what it wrote.
    let decoder = Decoder::new(ours(), ID, &json);
    assert_eq!(decoder.decode_json(&bytes).expect("decodes")["channel"], "DESK");
    for end in 5..bytes.len() {
        assert_eq!(decoder.decode::<AppointmentRequested>(&bytes[..end]), Err(Undecodable::Malformed));
    }
    let longer = [&bytes[..], &[7, 7]].concat();
    assert_eq!(decoder.decode::<AppointmentRequested>(&longer), Err(Undecodable::TrailingBytes(2)));
}

#[test]
fn a_newer_symbol_is_read_as_the_default() {
    let json = changed(|record| {
        let symbols = field(record, "status")["type"]["symbols"].as_array_mut().expect("symbols");
        symbols.insert(0, json!("TENTATIVE"));
    });
    assert_eq!(
        decode(&json, &written_with(&json, &[("status", Value::Enum(1, "SCHEDULED".into()))])),
        Ok(event())
    );
    let bytes = written_with(&json, &[("status", Value::Enum(0, "TENTATIVE".into()))]);
    let read = decode(&json, &bytes).expect("decodes");
    assert_eq!(read.status, RequestedStatus::Unknown);
    assert_eq!(read.into_booking(NOW).expect_err("not known to us").field, "status");
}

#[test]
fn an_older_producer_may_lack_fields_that_have_a_default() {
    let json = changed(|record| {
        fields(record).retain(|field| field["name"] != "source");
    });
    let mut expected = event();
    expected.source = crate::booking::Source::Live;
    assert_eq!(decode(&json, &written_with(&json, &[])), Ok(expected));
}

#[test]
fn narrower_numbers_are_widened() {
    let json = changed(|record| field(record, "version")["type"] = json!("int"));
    let bytes = written_with(&json, &[("version", Value::Int(3))]);
    assert_eq!(decode(&json, &bytes), Ok(event()));
}

#[test]
fn other_docs_and_order_of_attributes_are_the_same_schema() {
    let json = changed(|record| record["doc"] = json!("another text"));
    assert_eq!(decode(&json, &requested_bytes(&event())), Ok(event()));
    let shared = WriterSchema::new(ID, json, Vec::new());
    let backfill = contract(topics::BACKFILL).expect("one of ours");
    assert_eq!(shared.decoder(backfill).decode(&requested_bytes(&event())), Ok(event()));
}

#[test]
fn what_cannot_be_resolved_is_refused_whole() {
    let foreign = [
        changed(|record| fields(record).retain(|field| field["name"] != "booking_id")),
        changed(|record| field(record, "version")["type"] = json!("string")),
        r#""string""#.to_owned(),
        "syntax = \"proto3\";".to_owned(),
        contract(topics::SYNCED).expect("one of ours").json.to_owned(),
    ];
    for json in foreign {
        let refused = decode(&json, &requested_bytes(&event()));
        let is_foreign = matches!(&refused, Err(Undecodable::ForeignSchema(ID, topics::REQUESTED, _)));
        assert!(is_foreign, "{refused:?} {json}");
    }
}

proptest! {
    /// Values that are resolved are as untrustworthy as those that are not.
    #[test]
    fn damaged_records_of_a_newer_schema_never_panic(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let json = newer();
        let mut bytes = written_with(&json, &newer_values());
        for (index, byte) in damage {
            let index = index.index(bytes.len() - FRAME_BYTES);
            bytes[FRAME_BYTES + index] = byte;
        }
        let decoder = Decoder::new(ours(), ID, &json);
        let decoded = decoder.decode::<AppointmentRequested>(&bytes);
        prop_assert_eq!(&decoded, &decoder.decode::<AppointmentRequested>(&bytes));
        let _ = decoder.decode_json(&bytes);
    }
}

/// The schema of `appointments.review` of a writer that compares by more levels, and says more about each field.
fn newer_review() -> String {
    let contract = contract(topics::REVIEW).expect("one of ours");
    let mut json: serde_json::Value = serde_json::from_str(contract.json).expect("JSON");
    let candidate = &mut field(&mut json, "evidence")["type"]["items"];
    let of_field = &mut field(candidate, "fields")["type"]["items"];
    field(of_field, "level")["type"]["symbols"]
        .as_array_mut()
        .expect("symbols")
        .insert(1, json!("SOUNDS_EQUAL"));
    fields(of_field).insert(0, json!({"name": "frequency", "type": ["null", "double"], "default": null}));
    json.to_string()
}

/// Goal: we, and any reader with our schema, can read reviews of a writer that compares otherwise. Method: one more level, one
/// more property of a field, and fields with unknown names.
#[test]
fn evidence_of_a_newer_rule_is_read() {
    let mut buffer = Vec::new();
    let outgoing = Outgoing::Review(Box::new(case(Vec::new())));
    let encoded = Codec::new("healthflow-sync", |_| ID).encode(&outgoing, &mut buffer).expect("fits");
    let bytes = encoded.value.expect("a value").to_vec();
    let ours = contract(topics::REVIEW).expect("one of ours");
    let Value::Record(mut record) = Decoder::own(ours).decode_value(&bytes).expect("decodes") else {
        panic!("a record")
    };
    let some = |value: f64| Value::Union(1, Box::new(Value::Double(value)));
    let of_field = |name: &str, level: Value| {
        Value::Record(vec![
            ("frequency".into(), some(0.01)),
            ("field".into(), Value::String(name.into())),
            ("level".into(), level),
            ("weight".into(), some(6.5)),
        ])
    };
    let candidate = Value::Record(vec![
        ("healthflow_patient_id".into(), Value::Union(1, Box::new(Value::String("hf-2".into())))),
        (
            "fields".into(),
            Value::Array(vec![
                of_field("given_name", Value::Enum(1, "SOUNDS_EQUAL".into())),
                of_field("phone", Value::Enum(0, "EQUAL".into())),
            ]),
        ),
    ]);
    for (_, value) in record.iter_mut().filter(|(name, _)| name == "evidence") {
        *value = Value::Array(vec![candidate.clone()]);
    }
    let newer_json = newer_review();
    let newer_schema = Schema::parse_str(&newer_json).expect("a schema");
    let mut newer_bytes = bytes[..FRAME_BYTES].to_vec();
    let writer = GenericDatumWriter::builder(&newer_schema).build().expect("a writer");
    writer.write_value(&mut newer_bytes, Value::Record(record)).expect("the value fits the schema");
    let read: AppointmentReview =
        Decoder::new(ours, ID, &newer_json).decode(&newer_bytes).expect("a newer record is read");
    let [CandidateEvidence { fields, .. }] = &read.evidence[..] else { panic!("one candidate") };
    let levels: Vec<_> = fields.iter().map(|of| (of.field.as_str(), of.level, of.weight)).collect();
    assert_eq!(levels, [("given_name", Level::Unknown, Some(6.5)), ("phone", Level::Equal, Some(6.5))]);
}
