//! Goal: a producer one compatible version older or newer is understood, and one that is not is refused at the door.
//! Method: its schema made from ours, its records written by Avro's own dynamic values.

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::json;

use crate::event::avro::{Contract, Decoder, FRAME_BYTES, Undecodable, WriterSchema, contract};
use crate::event::requested::{AppointmentRequested, RequestedStatus};
use crate::event::review::AppointmentReview;
use crate::event::tests::sample::*;
use crate::event::topics;
use crate::event::{Outgoing, codec::Codec};
use crate::patient::decide::{Agreement, Evidence};

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

/// The evidence's fields that came after the first reviews were written.
const LATER_EVIDENCE: [&str; 3] = ["given_name_without_marks", "family_name_without_marks", "sex"];

/// The schema of `appointments.review` without them, and a record's value without them.
fn older_review(value: Value) -> (String, Value) {
    let contract = contract(topics::REVIEW).expect("one of ours");
    let mut json: serde_json::Value = serde_json::from_str(contract.json).expect("JSON");
    let evidence = &mut field(&mut json, "evidence")["type"]["items"];
    fields(evidence).retain(|field| LATER_EVIDENCE.iter().all(|name| field["name"] != *name));
    let Value::Record(mut record) = value else { panic!("a record") };
    for (_, value) in record.iter_mut().filter(|(name, _)| name == "evidence") {
        let Value::Array(candidates) = value else { panic!("an array") };
        for candidate in candidates {
            let Value::Record(candidate) = candidate else { panic!("a record") };
            candidate.retain(|(name, _)| !LATER_EVIDENCE.contains(&name.as_str()));
        }
    }
    (json.to_string(), Value::Record(record))
}

/// Goal: reviews are read by whoever is one version older or newer. Method: one case, written with either schema and
/// read with the other.
#[test]
fn evidence_gains_fields_and_is_read_both_ways() {
    let evidence = Evidence {
        healthflow_patient_id: "hf-2".into(),
        given_name: Agreement::Differs,
        family_name: Agreement::Equal,
        date_of_birth: Agreement::Equal,
        postal_code: Agreement::Missing,
        given_name_without_marks: Agreement::Equal,
        family_name_without_marks: Agreement::Equal,
        sex: Agreement::Differs,
    };
    let case = case(vec![evidence.clone()]);
    let mut buffer = Vec::new();
    let outgoing = Outgoing::Review(Box::new(case));
    let encoded = Codec::new("healthflow-sync", |_| ID).encode(&outgoing, &mut buffer).expect("fits");
    let newer_bytes = encoded.value.expect("a value").to_vec();
    let ours = contract(topics::REVIEW).expect("one of ours");
    let (older_json, older_value) =
        older_review(Decoder::own(ours).decode_value(&newer_bytes).expect("decodes"));
    let older_schema = Schema::parse_str(&older_json).expect("a schema");
    let mut older_bytes = newer_bytes[..5].to_vec();
    let writer = GenericDatumWriter::builder(&older_schema).build().expect("a writer");
    writer.write_value(&mut older_bytes, older_value.clone()).expect("the value fits the schema");

    let read: AppointmentReview =
        Decoder::new(ours, ID, &older_json).decode(&older_bytes).expect("an older record is read");
    let unknown = Evidence {
        given_name_without_marks: Agreement::Missing,
        family_name_without_marks: Agreement::Missing,
        sex: Agreement::Missing,
        ..evidence
    };
    assert_eq!(read.evidence, [unknown]);

    let newer_schema = Schema::parse_str(ours.json).expect("a schema");
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&newer_schema)
        .reader_schema(&older_schema)
        .build()
        .expect("the older reader resolves the newer schema");
    let newer_value = reader.read_value(&mut &newer_bytes[5..]).expect("a newer record is read");
    let evidence = |value: Value| match value {
        Value::Record(fields) => fields.into_iter().find(|(name, _)| name == "evidence"),
        _ => None,
    };
    assert!(evidence(older_value.clone()).is_some());
    assert_eq!(evidence(newer_value), evidence(older_value));
}
