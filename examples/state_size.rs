//! Prints what the state of one booking and one patient's link weigh in memory, restored as a task restores them; a field
//! that grows shows here first. `cargo run --release --example state_size`

use healthflow_sync::appointment::Placement;
use healthflow_sync::booking::{BookingKey, BookingStatus, PatientKey};
use healthflow_sync::event::avro::Decoder;
use healthflow_sync::event::codec::{Codec, restore};
use healthflow_sync::event::{Outgoing, topics};
use healthflow_sync::patient::LinkOrigin;
use healthflow_sync::state::{BookingState, Link, PatientState, StateRecord, TaskState, VersionSet};

/// Practices that the records belong to.
const PRACTICES: u32 = 40;
/// How many records: just above and just below a doubling of the map, and in between.
const COUNTS: [u32; 3] = [115_000, 229_000, 230_000];

/// Memory of this process that is really there, in bytes (the second field of `/proc/self/statm`, in pages).
fn resident_bytes() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).expect("a number") * 4096.0
}

fn booking(number: u32) -> StateRecord {
    let key = BookingKey {
        practice: format!("practice-{}", number % PRACTICES).as_str().into(),
        booking: format!("b-{number}").as_str().into(),
    };
    let placement = Placement {
        appointment_id: format!("hf-apt-{number}").into(),
        patient_id: format!("hf-pat-{}", number / 4).into(),
        incarnation: 0,
        version: 2,
        status: BookingStatus::Scheduled,
        fingerprint: Some(i64::from(number) << 20),
        revision: None,
    };
    let state = BookingState {
        placement: Some(placement),
        answered: VersionSet::new(2, Vec::new()),
        newest: 2,
        ..BookingState::default()
    };
    StateRecord::Booking(key, state)
}

fn patient(number: u32) -> StateRecord {
    let key = PatientKey {
        practice: format!("practice-{}", number % PRACTICES).as_str().into(),
        patient: format!("p-{number}").as_str().into(),
    };
    let link = Link {
        healthflow_patient_id: format!("hf-pat-{number}").as_str().into(),
        origin: LinkOrigin::Created,
    };
    StateRecord::Patient(key, PatientState { link: Some(link), ..PatientState::default() })
}

/// Bytes a record, when `count` of them were written, read and taken in.
fn weigh(count: u32, record: fn(u32) -> StateRecord) -> f64 {
    let codec = Codec::new("group", |_| 1);
    let topic = match record(0) {
        StateRecord::Patient(..) => topics::PATIENT_STATE,
        _ => topics::APPOINTMENT_STATE,
    };
    let decoder = Decoder::own(healthflow_sync::event::avro::contract(topic).expect("one of ours"));
    let mut buffer = Vec::new();
    let before = resident_bytes();
    let mut state = TaskState::default();
    for number in 0..count {
        let outgoing = Outgoing::State(Box::new(record(number)));
        let encoded = codec.encode(&outgoing, &mut buffer).expect("fits");
        state.apply(restore(topic, encoded.value, &decoder).expect("was written a moment ago"));
    }
    let held = resident_bytes() - before;
    // Kept, or the next one would move into its memory.
    std::mem::forget(state);
    held / f64::from(count)
}

fn main() {
    for (name, record) in [("booking", booking as fn(u32) -> StateRecord), ("link", patient)] {
        for count in COUNTS {
            println!("{name:8} {count:>8} records {:6.0} bytes each", weigh(count, record));
        }
    }
}
