//! Goal: what a producer's schema means is what is read: logical types change no bytes, units of time are converted or
//! refused, and what a schema can unfold to has a limit. Method: our schema with one thing changed, its records written by
//! Avro's own dynamic values. Every combination that a real registry accepts is tried in `tests/kafka/compatible.rs`.

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::json;

use crate::event::avro::{Contract, Decoder, Undecodable, contract};
use crate::event::requested::AppointmentRequested;
use crate::event::sample::*;
use crate::topics;

fn ours() -> &'static Contract {
    contract(topics::REQUESTED).expect("one of ours")
}

/// Our schema, with another type of one field of the visit or of the record.
fn with_type(name: &str, kind: serde_json::Value) -> serde_json::Value {
    let mut json: serde_json::Value = serde_json::from_str(ours().json).expect("JSON");
    let visit = json["fields"].as_array().expect("fields").iter().position(|field| field["name"] == "visit");
    let record = match name.strip_prefix("visit.") {
        Some(_) => &mut json["fields"][visit.expect("is there")]["type"],
        None => &mut json,
    };
    let name = name.trim_start_matches("visit.");
    let field = record["fields"].as_array_mut().expect("fields").iter_mut();
    field.into_iter().find(|field| field["name"] == name).expect("a field of ours")["type"] = kind;
    json
}

fn without_logical_types(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(object) => {
            object.remove("logicalType");
            object.values_mut().for_each(without_logical_types);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_logical_types),
        _ => {}
    }
}

/// The sample, with that value in one field, as a producer with the schema writes it.
fn written(schema: &serde_json::Value, name: &str, value: Value) -> Vec<u8> {
    let mut plain = schema.clone();
    without_logical_types(&mut plain);
    let schema = Schema::parse_str(&plain.to_string()).expect("a schema");
    let mut record = Decoder::own(ours()).decode_value(&requested_bytes(&event())).expect("decodes");
    let of = |record: &mut Value, name: &str, value: Value| {
        let Value::Record(fields) = record else { panic!("a record") };
        fields.iter_mut().find(|field| field.0 == name).expect("a field").1 = value;
    };
    match name.strip_prefix("visit.") {
        Some(inner) => {
            let Value::Record(fields) = &mut record else { panic!("a record") };
            of(&mut fields.iter_mut().find(|field| field.0 == "visit").expect("a field").1, inner, value);
        }
        None => of(&mut record, name, value),
    }
    let mut bytes = vec![0, 1, 2, 3, 4];
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value(&mut bytes, record).expect("the value fits the schema");
    bytes
}

fn read(name: &str, kind: serde_json::Value, value: Value) -> Result<AppointmentRequested, String> {
    let schema = with_type(name, kind);
    let bytes = written(&schema, name, value);
    Decoder::new(ours(), ID, &schema.to_string()).decode(&bytes).map_err(|why: Undecodable| why.to_string())
}

fn long(logical: &str) -> serde_json::Value {
    json!({"type": "long", "logicalType": logical})
}

#[test]
fn units_of_time_are_converted_or_refused() {
    let start = event().visit.start;
    for (logical, factor) in
        [("timestamp-millis", 1), ("timestamp-micros", 1_000), ("timestamp-nanos", 1_000_000)]
    {
        // What is finer than a millisecond is dropped, before 1970 too.
        let value = Value::Long(start.0 * factor + factor / 2);
        let event =
            read("visit.start", long(logical), value).unwrap_or_else(|why| panic!("{logical}: {why}"));
        assert_eq!(event.visit.start, start, "{logical}");
        let early = read("visit.start", long(logical), Value::Long(-factor)).expect("reads");
        assert_eq!(early.visit.start.0, -1, "{logical}");
    }
    assert_eq!(
        read("visit.start", json!("long"), Value::Long(start.0)),
        Ok(event()),
        "our text names the unit"
    );
    for logical in [
        "local-timestamp-millis",
        "local-timestamp-micros",
        "local-timestamp-nanos",
        "time-micros",
        "seconds",
    ] {
        let refused = read("visit.start", long(logical), Value::Long(start.0)).expect_err("is no instant");
        let expected = format!("visit.start is a long of the logical type {logical}, which is no instant");
        assert!(refused.ends_with(&expected), "{refused}");
    }
    let connect = json!({"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"});
    assert!(read("visit.start", connect, Value::Long(start.0)).is_err(), "a local time of another tool");
    let minutes = json!({"type": "int", "logicalType": "time-millis"});
    let refused = read("visit.duration_minutes", minutes, Value::Int(45)).expect_err("is no length");
    assert!(
        refused.contains("visit.duration_minutes is an int of the logical type time-millis"),
        "{refused}"
    );
    let mut expected = event();
    expected.version = 1_767_614_400_000_123;
    let version = read("version", long("timestamp-micros"), Value::Long(expected.version));
    assert_eq!(version, Ok(expected), "a version may be taken from a clock");
}

#[test]
fn text_stays_text_whatever_it_is_called() {
    let uuid = "0f8c2c8e-51a0-4f5e-9a55-0d5a8d1f4c1e";
    let expected = AppointmentRequested { event_id: uuid.into(), ..event() };
    for logical in ["uuid", "email", "decimal"] {
        let kind = json!({"type": "string", "logicalType": logical});
        let value = Value::String(uuid.into());
        assert_eq!(read("event_id", kind, value).as_ref(), Ok(&expected), "{logical}");
    }
    assert_eq!(read("event_id", json!("bytes"), Value::Bytes(uuid.into())), Ok(expected));
    let not_text = read("event_id", json!("bytes"), Value::Bytes(vec![0xff, 0xfe]));
    assert_eq!(not_text, Err("the value is not a datum of its schema".to_owned()));
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2});
    let refused = read("event_id", decimal, Value::Bytes(vec![1])).expect_err("is a number");
    assert!(refused.contains("event_id is bytes of the logical type decimal, which is no text"), "{refused}");
}

#[test]
fn a_branch_that_we_cannot_read_fails_its_own_records_only() {
    let name = "visit.note";
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 9});
    let branches = json!([decimal, "string", "null"]);
    let text = || Box::new(Value::String("prefers mornings".into()));
    assert_eq!(read(name, branches.clone(), Value::Union(1, text())), Ok(event()));
    let bytes = Value::Union(0, Box::new(Value::Bytes("prefers mornings".into())));
    assert_eq!(read(name, json!(["bytes", "null"]), bytes.clone()), Ok(event()));
    assert!(read(name, branches.clone(), bytes).is_err());
    let mut expected = event();
    expected.visit.note = None;
    assert_eq!(read(name, branches.clone(), Value::Union(2, Box::new(Value::Null))), Ok(expected));
    let decoder = Decoder::new(ours(), ID, &with_type(name, branches).to_string());
    assert_eq!(decoder.refusal(), None);
    let told = decoder.differences();
    assert!(
        told.len() == 1 && told[0].contains("visit.note is bytes of the logical type decimal"),
        "{told:?}"
    );
}

#[test]
fn namespaces_and_the_order_of_fields_are_the_producers_own() {
    let mut json: serde_json::Value = serde_json::from_str(ours().json).expect("JSON");
    json["namespace"] = json!("com.dentscheduler.events");
    json["fields"].as_array_mut().expect("fields").reverse();
    let schema = Schema::parse_str(&json.to_string()).expect("a schema");
    let own = Decoder::own(ours()).decode_value(&requested_bytes(&event())).expect("decodes");
    let Value::Record(mut fields) = own else { panic!("a record") };
    fields.reverse();
    let mut bytes = vec![0, 1, 2, 3, 4];
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value(&mut bytes, Value::Record(fields)).expect("fits");
    assert_eq!(Decoder::new(ours(), ID, &json.to_string()).decode(&bytes), Ok(event()));
}

/// Schemas that refer to others, one of which refers to a third.
#[test]
fn types_of_other_schemas_are_known_by_their_names() {
    let mut json: serde_json::Value = serde_json::from_str(ours().json).expect("JSON");
    let take = |json: &mut serde_json::Value, name: &str, by: &str| {
        let fields = json["fields"].as_array_mut().expect("fields");
        let field = fields.iter_mut().find(|field| field["name"] == name).expect("a field");
        let mut taken = std::mem::replace(&mut field["type"], json!(by));
        taken["namespace"] = json!("com.dentscheduler.common");
        taken
    };
    let mut patient = take(&mut json, "patient", "com.dentscheduler.common.Patient");
    let fields = patient["fields"].as_array_mut().expect("fields");
    let sex = fields.iter_mut().find(|field| field["name"] == "sex").expect("a field");
    let sex_type = std::mem::replace(&mut sex["type"][1], json!("Sex"));
    let status = take(&mut json, "status", "com.dentscheduler.common.Status");
    let mut sex = sex_type;
    sex["namespace"] = json!("com.dentscheduler.common");
    let references = [sex.to_string(), patient.to_string(), status.to_string()];
    let decoder = Decoder::with_references(ours(), ID, &json.to_string(), &references);
    assert_eq!(decoder.refusal(), None);
    assert_eq!(decoder.decode(&requested_bytes(&event())), Ok(event()));
    let without = Decoder::with_references(ours(), ID, &json.to_string(), &references[1..]);
    assert!(
        without.differences()[0].contains("names the type Sex, which it does not define"),
        "{:?}",
        without.differences()
    );
    let twice = [&references[..], &references[..1]].concat();
    let twice = Decoder::with_references(ours(), ID, &json.to_string(), &twice);
    assert!(twice.differences()[0].contains("defines com.dentscheduler.common.Sex twice"));
}

/// A schema that the registry calls compatible and a few bytes that unfold to gigabytes: nulls take no byte.
#[test]
fn what_takes_no_bytes_has_a_budget_also_where_it_is_skipped() {
    let mut json: serde_json::Value = serde_json::from_str(ours().json).expect("JSON");
    let nulls = json!({"type": "array", "items": {"type": "array", "items": "null"}});
    json["fields"]
        .as_array_mut()
        .expect("fields")
        .push(json!({"name": "padding", "type": nulls, "default": []}));
    let decoder = Decoder::new(ours(), ID, &json.to_string());
    let with = |outer: u8, inner: &[u8]| {
        let array = [inner, &[0]].concat();
        [requested_bytes(&event()), vec![outer * 2], array.repeat(outer.into()), vec![0]].concat()
    };
    assert_eq!(decoder.decode(&with(3, &[8])), Ok(event()), "12 nulls are no harm");
    let million = [0x80, 0x89, 0x7a];
    for bytes in [with(20, &million), with(1, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])]
    {
        assert_eq!(decoder.decode::<AppointmentRequested>(&bytes), Err(Undecodable::TooMany));
        assert_eq!(decoder.decode_value(&bytes), Err(Undecodable::TooMany));
    }
}

/// A type that contains itself, in a field that is new: skipped as deep as it is, but not deeper than a stack bears.
#[test]
fn a_type_that_contains_itself_is_skipped_up_to_a_depth() {
    let mut json: serde_json::Value = serde_json::from_str(ours().json).expect("JSON");
    let node =
        json!({"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]});
    json["fields"]
        .as_array_mut()
        .expect("fields")
        .push(json!({"name": "node", "type": ["null", node], "default": null}));
    let decoder = Decoder::new(ours(), ID, &json.to_string());
    let deep = |depth: usize| [requested_bytes(&event()), vec![2; depth], vec![0]].concat();
    assert_eq!(decoder.decode(&deep(20)), Ok(event()));
    assert_eq!(decoder.decode::<AppointmentRequested>(&deep(1_000_000)), Err(Undecodable::TooMany));
}
