//! Bytes as people read them. As a list of numbers, which JSON makes of them, nobody sees that a dead letter holds JSON where
//! Avro belongs.

use apache_avro::types::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What precedes bytes that are no text.
const BASE64: &str = "base64:";

/// `bytes` as they are if they are text, else `base64:` and their Base64.
pub fn bytes(bytes: &[u8]) -> String {
    let is_shown = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_shown) => text.to_owned(),
        _ => format!("{BASE64}{}", STANDARD.encode(bytes)),
    }
}

/// `value` with [`bytes`] as texts, all through.
pub(super) fn in_texts(value: Value) -> Value {
    let boxed = |value: Box<Value>| Box::new(in_texts(*value));
    match value {
        Value::Bytes(of) | Value::Fixed(_, of) => Value::String(bytes(&of)),
        Value::Union(branch, value) => Value::Union(branch, boxed(value)),
        Value::Array(values) => Value::Array(values.into_iter().map(in_texts).collect()),
        Value::Map(values) => {
            Value::Map(values.into_iter().map(|(key, value)| (key, in_texts(value))).collect())
        }
        Value::Record(fields) => {
            Value::Record(fields.into_iter().map(|(name, value)| (name, in_texts(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_where_they_can_be_and_base64_elsewhere() {
        assert_eq!(bytes(b"{\"json\":\t1}\n"), "{\"json\":\t1}\n");
        assert_eq!(bytes("Zoë".as_bytes()), "Zoë");
        assert_eq!(bytes(&[0, 1, 2, 255]), "base64:AAEC/w==");
        assert_eq!(bytes(b"a\0b"), "base64:YQBi");
        assert_eq!(bytes(b""), "");
    }

    #[test]
    fn bytes_within_a_value_are_texts_wherever_they_are() {
        let raw = || Value::Bytes(b"raw".to_vec());
        let value = Value::Record(vec![
            ("one".into(), Value::Union(1, Box::new(raw()))),
            ("many".into(), Value::Array(vec![raw(), Value::Fixed(1, vec![9])])),
            ("by_name".into(), Value::Map([("a".to_owned(), raw())].into())),
            ("number".into(), Value::Long(7)),
        ]);
        let json = serde_json::Value::try_from(in_texts(value)).expect("JSON");
        let expected =
            serde_json::json!({"one": "raw", "many": ["raw", "\t"], "by_name": {"a": "raw"}, "number": 7});
        assert_eq!(json, expected);
    }
}
