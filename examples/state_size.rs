//! Prints what the state of one booking and one patient's link weigh in memory, restored as a task restores them; a field
//! that grows shows here first. `cargo run --release --example state_size`

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

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

static HELD_BYTES: AtomicI64 = AtomicI64::new(0);

struct Counting;

// SAFETY: everything is the system's allocator; beside it only a number is kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
    let before = HELD_BYTES.load(Ordering::Relaxed);
    let mut state = TaskState::default();
    for number in 0..count {
        let outgoing = Outgoing::State(Box::new(record(number)));
        let encoded = codec.encode(&outgoing, &mut buffer).expect("fits");
        state.apply(restore(topic, encoded.value, &decoder).expect("was written a moment ago"));
    }
    let held = HELD_BYTES.load(Ordering::Relaxed) - before - buffer.capacity() as i64;
    drop(state);
    held as f64 / f64::from(count)
}

fn main() {
    for (name, record) in [("booking", booking as fn(u32) -> StateRecord), ("link", patient)] {
        for count in COUNTS {
            println!("{name:8} {count:>8} records {:6.0} bytes each", weigh(count, record));
        }
    }
}
