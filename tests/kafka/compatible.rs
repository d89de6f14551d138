//! Whatever a real registry accepts as compatible with our schema is decoded, but for what would change its meaning.
//! Every primitive with every logical type, on one field of each kind: the registry compares types and looks at no
//! logical type, so a producer's annotation of the same bytes reaches us.

use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use healthflow_core::event::avro::{Decoder, Encoder, contract};
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::topics;
use healthflow_sync::registry::{RegistrySettings, RetryPolicy, SchemaRegistry};
use serde_json::{Value as Json, json};

use crate::world::{requested, world};
use healthflow_testkit::stack::Stack;

const SUBJECT: &str = "compatible-value";

/// A field of each kind that we read, with what the sample has there.
const FIELDS: [&str; 6] = [
    "event_id",
    "patient.phone",
    "version",
    "requested_at",
    "visit.duration_minutes",
    "visit.procedure_codes",
];

const LOGICAL: [&str; 15] = [
    "",
    "uuid",
    "decimal",
    "big-decimal",
    "date",
    "time-millis",
    "time-micros",
    "timestamp-millis",
    "timestamp-micros",
    "timestamp-nanos",
    "local-timestamp-millis",
    "local-timestamp-micros",
    "local-timestamp-nanos",
    "duration",
    "unheard-of",
];

/// A type of a producer's with a value of it.
struct Kind {
    json: Json,
    logical: &'static str,
    value: Value,
}

/// Every primitive that could carry the field's value.
fn kinds(field: &str) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let (text, number) = match field {
        "visit.procedure_codes" => ("D0120", 0),
        "version" => ("event", 3),
        "requested_at" => ("event", 1_767_614_400_000),
        "visit.duration_minutes" => ("event", 45),
        _ => ("event", 0),
    };
    let small = i32::try_from(number).unwrap_or(0);
    let values = [
        (json!("null"), Value::Null),
        (json!("boolean"), Value::Boolean(true)),
        (json!("int"), Value::Int(small)),
        (json!("long"), Value::Long(number)),
        (json!("float"), Value::Float(1.0)),
        (json!("double"), Value::Double(1.0)),
        (json!("string"), Value::String(text.into())),
        (json!("bytes"), Value::Bytes(text.into())),
        (json!({"type": "fixed", "name": "F12", "size": 12}), Value::Fixed(12, vec![7; 12])),
        (json!({"type": "fixed", "name": "F16", "size": 16}), Value::Fixed(16, vec![7; 16])),
        (json!({"type": "enum", "name": "E", "symbols": ["event"]}), Value::Enum(0, "event".into())),
    ];
    for (plain, value) in values {
        for logical in LOGICAL {
            let mut json = if plain.is_object() { plain.clone() } else { json!({ "type": plain }) };
            if !logical.is_empty() {
                json["logicalType"] = json!(logical);
            }
            if logical == "decimal" {
                (json["precision"], json["scale"]) = (json!(9), json!(2));
            }
            kinds.push(Kind { json, logical, value: value.clone() });
        }
    }
    kinds
}

/// The value of `field` in `record`.
fn at<'a>(record: &'a mut Json, field: &str) -> &'a mut Json {
    let (outer, inner) = field.split_once('.').unwrap_or((field, ""));
    let fields = record["fields"].as_array_mut().unwrap().iter_mut();
    let kind = &mut fields.into_iter().find(|of| of["name"] == outer).unwrap()["type"];
    if inner.is_empty() { kind } else { at(kind, inner) }
}

fn value_at<'a>(record: &'a mut Value, field: &str) -> &'a mut Value {
    let Value::Record(fields) = record else { panic!("a record") };
    let (outer, inner) = field.split_once('.').unwrap_or((field, ""));
    let value = &mut fields.iter_mut().find(|of| of.0 == outer).unwrap().1;
    if inner.is_empty() { value } else { value_at(value, inner) }
}

fn without_logical_types(json: &mut Json) {
    match json {
        Json::Object(object) => {
            object.remove("logicalType");
            object.values_mut().for_each(without_logical_types);
        }
        Json::Array(items) => items.iter_mut().for_each(without_logical_types),
        _ => {}
    }
}

fn sample() -> AppointmentRequested {
    let mut event = requested("b-1", 3);
    event.event_id = "event".into();
    event.patient.phone = Some("event".into());
    event
}

/// The sample as the producer writes it.
fn written(schema: &Json, field: &str, value: Value) -> Vec<u8> {
    let mut plain = schema.clone();
    without_logical_types(&mut plain);
    let schema = Schema::parse_str(&plain.to_string()).unwrap();
    let ours = contract(topics::REQUESTED).unwrap();
    let mut bytes = Vec::new();
    Encoder::new(ours, 1).encode(&sample(), &mut bytes).unwrap();
    let mut record = Decoder::own(ours).decode_value(&bytes).unwrap();
    *value_at(&mut record, field) = value;
    let mut bytes = vec![0, 0, 0, 0, 1];
    GenericDatumWriter::builder(&schema).build().unwrap().write_value(&mut bytes, record).unwrap();
    bytes
}

async fn ask(http: &reqwest::Client, method: reqwest::Method, path: &str, body: Json) -> Json {
    let url = format!("{}/{path}", Stack::shared().registry_url);
    let request = http.request(method, url).header("content-type", "application/vnd.schemaregistry.v1+json");
    serde_json::from_str(&request.body(body.to_string()).send().await.unwrap().text().await.unwrap()).unwrap()
}

/// What is refused although the registry accepts it, since the registry looks at no logical type.
fn means_something_else(field: &str, kind: &Kind) -> bool {
    let local = kind.logical.starts_with("local-timestamp");
    match field {
        "requested_at" => {
            !["", "timestamp-millis", "timestamp-micros", "timestamp-nanos"].contains(&kind.logical)
        }
        "version" | "visit.duration_minutes" => {
            local || kind.logical == "date" || kind.logical.starts_with("time-")
        }
        // Text written as bytes is text; a number or a UUID written as bytes is none.
        _ => kind.json["type"] == "bytes" && !kind.logical.is_empty(),
    }
}

/// Goal and method: see above. One table, so that a registry that begins to accept more is noticed as well.
#[test]
fn what_the_registry_accepts_is_decoded_and_means_the_same() {
    let ours = contract(topics::REQUESTED).unwrap();
    let http = reqwest::Client::new();
    let (mut accepted, mut refused) = (0, 0);
    world().runtime.block_on(async {
        let level = json!({"compatibility": "FULL_TRANSITIVE"});
        let versions = format!("subjects/{SUBJECT}/versions");
        let registered = ask(&http, reqwest::Method::POST, &versions, json!({"schema": ours.json}));
        assert!(registered.await["id"].is_u64());
        ask(&http, reqwest::Method::PUT, &format!("config/{SUBJECT}"), level).await;
        for field in FIELDS {
            let mut plain_is_accepted = false;
            for kind in kinds(field) {
                // Where the plain type is not accepted, one annotated one shows that it makes no difference.
                if !["", "timestamp-micros"].contains(&kind.logical) && !plain_is_accepted {
                    continue;
                }
                let mut schema: Json = serde_json::from_str(ours.json).unwrap();
                let place = at(&mut schema, field);
                let value = kind.value.clone();
                let value = match &place {
                    Json::Array(_) => {
                        *place = json!([kind.json, "null"]);
                        Value::Union(0, Box::new(value))
                    }
                    Json::Object(object) if object["type"] == "array" => {
                        *place = json!({"type": "array", "items": kind.json});
                        Value::Array(vec![value])
                    }
                    _ => {
                        *place = kind.json.clone();
                        value
                    }
                };
                let path = format!("compatibility/subjects/{SUBJECT}/versions/latest");
                let verdict =
                    ask(&http, reqwest::Method::POST, &path, json!({"schema": schema.to_string()})).await;
                let is_accepted = verdict["is_compatible"] == true;
                if kind.logical.is_empty() {
                    plain_is_accepted = is_accepted;
                }
                assert_eq!(is_accepted, plain_is_accepted, "{field}: {} looked at", kind.json);
                if !is_accepted {
                    continue;
                }
                let decoder = Decoder::new(ours, 1, &schema.to_string());
                let read = decoder.decode::<AppointmentRequested>(&written(&schema, field, value));
                let case = format!("{field}: {}", kind.json);
                accepted += 1;
                if means_something_else(field, &kind) {
                    refused += 1;
                    let what = decoder.differences().join(" ");
                    assert!(what.contains(kind.logical) && what.contains(field), "{case}: {what}");
                    assert!(read.is_err(), "{case} is read as {read:?}");
                    continue;
                }
                let mut expected = sample();
                let finer = match kind.logical {
                    "timestamp-micros" => 1_000,
                    "timestamp-nanos" => 1_000_000,
                    _ => 1,
                };
                if field == "requested_at" {
                    expected.requested_at.0 /= finer;
                }
                assert_eq!(read, Ok(expected), "{case}");
            }
        }
    });
    // As many as there are: a table that silently shrinks proves nothing.
    assert_eq!((accepted, refused), (135, 65));
}

/// A schema that refers to others is put together from a real registry's answers.
#[test]
fn a_schema_with_references_is_read() {
    let ours = contract(topics::REQUESTED).unwrap();
    let mut main: Json = serde_json::from_str(ours.json).unwrap();
    let mut take = |field: &str, name: &str| {
        let mut kind = std::mem::replace(at(&mut main, field), json!(name));
        kind["namespace"] = json!("com.dentscheduler");
        kind
    };
    let status = take("status", "com.dentscheduler.Status");
    let patient = take("patient", "com.dentscheduler.Patient");
    let reference = |subject: &str, name: &str| json!({"name": name, "subject": subject, "version": 1});
    let id = world().runtime.block_on(async {
        let http = reqwest::Client::new();
        for (subject, schema) in [("refers-status", &status), ("refers-patient", &patient)] {
            let body = json!({ "schema": schema.to_string() });
            let path = format!("subjects/{subject}/versions");
            assert!(ask(&http, reqwest::Method::POST, &path, body).await["id"].is_u64());
        }
        let references = json!([
            reference("refers-status", "com.dentscheduler.Status"),
            reference("refers-patient", "com.dentscheduler.Patient"),
        ]);
        let body = json!({ "schema": main.to_string(), "references": references });
        let answer = ask(&http, reqwest::Method::POST, "subjects/refers-value/versions", body).await;
        u32::try_from(answer["id"].as_u64().unwrap_or_else(|| panic!("{answer}"))).unwrap()
    });
    let mut bytes = Vec::new();
    Encoder::new(ours, id).encode(&sample(), &mut bytes).unwrap();
    let registry = Arc::new(
        SchemaRegistry::new(RegistrySettings::at(&Stack::shared().registry_url), RetryPolicy::default())
            .unwrap(),
    );
    let schema = world().runtime.block_on(registry.schema(id));
    assert_eq!(schema.decoder(ours).decode(&bytes), Ok(sample()));
}
