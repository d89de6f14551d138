//! Prints what decoding and encoding one record costs; a lost fast path shows here first.
//! `cargo run --release -p healthflow-core --example codec_speed`

use std::hint::black_box;
use std::time::Instant;

use healthflow_core::event::avro::{Decoder, Encoder, contract};
use healthflow_core::event::codec::Codec;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::event::{Finished, Identity, Outgoing, arrival};
use healthflow_core::sync::SyncedOutcome;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{Lane, REQUESTED};

const NOW: Timestamp = Timestamp(1_767_614_400_000);
const REPEATS: u32 = 200_000;
const BOOKING: &str = r#"{
    "event_id": "0f8c2c8e-51a0-4f5e-9a55-0d5a8d1f4c1e", "booking_id": "b-48213", "practice_id": "practice-17",
    "location_id": "loc-2", "version": 3, "status": "SCHEDULED", "requested_at": 1767600000000,
    "patient": {"patient_id": "p-20931", "given_name": "Maria", "family_name": "Lopez", "date_of_birth": "1987-04-21",
                "postal_code": "60614", "phone": "+1 312 555 0147", "email": "maria@example.org", "sex": "FEMALE"},
    "visit": {"start": 1767623400000, "time_zone": "America/Chicago", "duration_minutes": 45, "provider_id": "dr-12",
              "operatory_id": "op-3", "procedure_codes": ["D0120", "D1110"], "note": "prefers mornings"}
}"#;

fn main() {
    let ours = contract(REQUESTED).expect("one of ours");
    let event: AppointmentRequested = serde_json::from_str(BOOKING).expect("a booking");
    let (encoder, own) = (Encoder::new(ours, 1), Decoder::own(ours));
    let mut bytes = Vec::new();
    encoder.encode(&event, &mut bytes).expect("fits");
    println!("one appointments.requested record: {} bytes", bytes.len());

    let mut buffer = Vec::new();
    measure("encode", || encoder.encode(black_box(&event), &mut buffer).is_ok());
    measure("decode", || own.decode::<AppointmentRequested>(black_box(&bytes)).is_ok());
    measure("decode and check, as it arrives", || {
        let read =
            arrival::read(Lane::Requested, Some(b"practice-17"), Some(black_box(&bytes)), Some(&own), NOW);
        matches!(read, healthflow_core::event::Arrival::Requested(_))
    });
    // A location that is bytes is another schema with the same bytes, so that each value is resolved.
    let mut other: serde_json::Value = serde_json::from_str(ours.json).expect("JSON");
    other["fields"][3]["type"] = "bytes".into();
    let resolving = Decoder::new(ours, 2, &other.to_string());
    measure("decode from another schema", || {
        resolving.decode::<AppointmentRequested>(black_box(&bytes)).is_ok()
    });

    let codec = Codec::new("group", |_| 1);
    let booking = event.into_booking(NOW).expect("possible");
    let outgoing = Outgoing::Synced(Finished {
        identity: Identity::from(&booking),
        outcome: SyncedOutcome::Created,
        healthflow_patient_id: Some("hf-pat-5512".into()),
        healthflow_appointment_id: Some("hf-apt-90017".into()),
        attempts: 1,
        generation: 0,
        finished_at: NOW,
    });
    measure("encode a result", || codec.encode(black_box(&outgoing), &mut buffer).is_ok());
}

fn measure(what: &str, mut once: impl FnMut() -> bool) {
    assert!(once(), "{what} works");
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..REPEATS / 5 {
            black_box(once());
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(REPEATS / 5));
    }
    println!("{what:<36} {:>8.2} µs", best * 1e6);
}
