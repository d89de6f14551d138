//! Goal: the memory for a datum stays within its budget, whatever its schema and its bytes are. Method: the budget spent
//! shows what was built; no test measures the process's memory.

use serde_json::{Value as Json, json};

use super::*;
use crate::event::avro::resolve::resolve;

fn schema(json: &Json) -> Schema {
    Schema::parse(&json.to_string(), &[]).expect("a schema")
}

/// 12 kB of arrays of a million nulls each, in a field that is skipped and in one that is built; and a thousand records
/// without a byte, whose only field has a long name.
#[test]
fn a_datum_that_unfolds_spends_its_budget_and_no_more() {
    let nulls = json!({"type": "array", "items": {"type": "array", "items": "null"}});
    let field = json!({"name": "n".repeat(100_000), "type": "null"});
    let named = json!({"type": "array", "items": {"type": "record", "name": "R", "fields": [field]}});
    let unfolding = [&[0xf0, 0x2e][..], &[0x80, 0x89, 0x7a, 0].repeat(3_000), &[0]].concat();
    let records = [0xd0, 0x0f, 0];
    assert!(unfolding.len() < 12_500);
    let too_many = Some(Misfit::TooMany);
    for (json, bytes, builds) in
        [(&nulls, &unfolding[..], false), (&nulls, &unfolding, true), (&named, &records, true)]
    {
        let (writer, bytes_max) = (schema(json), BYTES_MAX + 2 * bytes.len());
        let mut datum = Datum::new(bytes);
        assert_eq!(datum.written(&writer, writer.root(), builds).err(), too_many);
        let (items, built) = (ITEMS_MAX - datum.items_left, bytes_max - datum.bytes_left);
        assert!(items <= ITEMS_MAX && built <= bytes_max, "{items} items, {built} bytes");
        assert!(builds || built == 0, "what is skipped is not built");
        let way = resolve(&writer, &writer).expect("the same schema");
        assert_eq!(Datum::new(bytes).value(&way.step, &writer).err(), too_many);
        // A thousand values, and nothing is built of their names.
        assert_eq!(Datum::measure(bytes, &writer).err(), too_many.clone().filter(|_| json != &named));
    }
}

/// A default takes memory and no bytes, and there may be many of it.
#[test]
fn what_a_writer_does_not_have_counts_too() {
    let array = |fields: Json| {
        schema(&json!({"type": "array", "items": {"type": "record", "name": "R", "fields": fields}}))
    };
    let field = |number| json!({"name": format!("f{number}"), "type": "string", "default": "d"});
    let (writer, ours) = (array(json!([])), array((0..100).map(field).collect::<Vec<_>>().into()));
    let way = resolve(&writer, &ours).expect("everything has a default");
    let records = [0x80, 0x89, 0x0f, 0];
    let read = Datum::new(&records).value(&way.step, &writer);
    assert_eq!(read.err(), Some(Misfit::TooMany), "125,000 records of 100 fields each");
}
