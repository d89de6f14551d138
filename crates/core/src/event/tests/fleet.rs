//! Goal: what is on record of the fleet comes back as it was written, beside state of before there was such a record.

use apache_avro::Schema;

use crate::event::avro::{Decoder, contract};
use crate::event::codec::Codec;
use crate::event::sample::*;
use crate::event::state::AppointmentStateRecord;
use crate::state::{FleetRecord, Owner, TaskPositions};
use crate::topics::{self, Lane};

#[test]
fn what_is_on_record_of_the_fleet_comes_back_under_a_key_of_its_own() {
    let owner = |name: &str| Owner { application: name.into(), group_id: "g".into() };
    let plain = FleetRecord::new(owner("a"), 12, NOW);
    let full = FleetRecord { moving_to: Some(24), handing_over_to: Some(owner("b")), ..plain.clone() };
    for record in [plain, full] {
        let mut buffer = vec![9; 9];
        let encoded = Codec::new("g", |_| ID).encode_fleet(&record, &mut buffer).expect("fits");
        assert_eq!((encoded.topic, encoded.partition), (topics::APPOINTMENT_STATE, Some(0)));
        assert_eq!(encoded.key.as_deref(), Some(&b"/fleet"[..]));
        assert_eq!(crate::event::key::practice(b"/fleet"), None, "no practice: it never moves");
        let decoder = decoder(topics::APPOINTMENT_STATE);
        let read: AppointmentStateRecord = decoder.decode(encoded.value.expect("a value")).expect("decodes");
        assert_eq!(read.into_fleet(), Some(record));
    }
}

#[test]
fn state_of_before_there_was_a_fleet_on_record_is_read() {
    let ours = contract(topics::APPOINTMENT_STATE).expect("one of ours");
    let mut older: serde_json::Value = serde_json::from_str(ours.json).expect("JSON");
    older["fields"].as_array_mut().expect("fields").retain(|field| field["name"] != "fleet");
    let schema = older.to_string();
    Schema::parse_str(&schema).expect("a schema");
    let positions = TaskPositions {
        partition_count: 12,
        next_offsets: vec![Lane::Requested.at(17)],
        ..TaskPositions::default()
    };
    let record = AppointmentStateRecord::from(&positions);
    let mut bytes = Vec::new();
    encoder(topics::APPOINTMENT_STATE).encode(&record, &mut bytes).expect("fits");
    // The field comes last, and null is one byte.
    assert_eq!(bytes.pop(), Some(0));
    let read: AppointmentStateRecord = Decoder::new(ours, ID, &schema).decode(&bytes).expect("decodes");
    assert_eq!(read, record);
    assert_eq!(read.into_fleet(), None);
}
