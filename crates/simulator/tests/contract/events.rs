//! What other teams read of our topics: every topic, schema and header of the program is in `asyncapi.yaml`, and every
//! field of every schema is documented.

use healthflow_core::event::avro::contracts;
use healthflow_core::event::headers;
use serde_json::Value;

const ASYNCAPI: &str = include_str!("../../../../schemas/asyncapi.yaml");

#[test]
fn every_topic_is_described() {
    for contract in contracts() {
        let address = format!("    address: {}\n", contract.topic);
        assert!(ASYNCAPI.contains(&address), "asyncapi.yaml has no channel for {}", contract.topic);
        let schema: Value = serde_json::from_str(contract.json).expect("JSON");
        let name = schema["name"].as_str().expect("a name");
        assert!(
            ASYNCAPI.contains(&format!("#/components/schemas/{name}\"")),
            "asyncapi.yaml does not use {name}"
        );
    }
    assert_eq!(ASYNCAPI.matches("    address: ").count(), contracts().len());
}

#[test]
fn every_header_is_described() {
    use headers::{DELIVERY_COUNT, DISPOSITION, GROUP, MESSAGE, OFFSET, PARTITION, REASON, TOPIC};
    for name in [TOPIC, PARTITION, OFFSET, GROUP, DELIVERY_COUNT, MESSAGE, REASON, DISPOSITION] {
        assert!(
            ASYNCAPI.contains(&format!("        {name}: {{ type: string")),
            "asyncapi.yaml has no header {name}"
        );
    }
}

#[test]
fn every_field_says_what_it_means() {
    for contract in contracts() {
        let schema: Value = serde_json::from_str(contract.json).expect("JSON");
        assert_eq!(schema["namespace"], "com.healthflowsync");
        assert!(documented(&schema, contract.topic) > 0);
    }
}

/// How many fields there are in `schema`, each with an explanation and, unless it is a record or bytes, an example or
/// a list of what may be in it.
fn documented(schema: &Value, topic: &str) -> usize {
    match schema {
        Value::Array(parts) => parts.iter().map(|part| documented(part, topic)).sum(),
        Value::Object(object) => {
            let fields = object.get("fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for field in fields {
                let doc = field["doc"].as_str().unwrap_or_default();
                let kind = field["type"].to_string();
                let has_value = !kind.contains("\"record\"") && !kind.contains("\"bytes\"");
                assert!(doc.len() > 10, "{topic}: {} has no doc", field["name"]);
                assert!(!has_value || doc.contains("Example: "), "{topic}: {} has no example", field["name"]);
                let default = kind.starts_with("[\"null\"");
                assert!(
                    !default || field["default"].is_null(),
                    "{topic}: {} defaults to null",
                    field["name"]
                );
                assert!(
                    !default || field.get("default").is_some(),
                    "{topic}: {} has no default",
                    field["name"]
                );
            }
            let nested = fields.iter().map(|field| &field["type"]).chain(object.get("items"));
            let inner = object.get("type").filter(|kind| !kind.is_string());
            fields.len() + nested.chain(inner).map(|part| documented(part, topic)).sum::<usize>()
        }
        _ => 0,
    }
}
