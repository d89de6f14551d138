//! Prints what the state of one booking and of one patient's link costs: bytes in memory, how fast one core takes in its
//! records when a task is restored, and how long a look at one takes; a field that grows shows here first.
//! `cargo run --release -p healthflow-core --example state_cost`

use std::time::Instant;

use healthflow_core::appointment::{Placement, Span};
use healthflow_core::booking::{BookingKey, BookingStatus, PatientKey};
use healthflow_core::event::Outgoing;
use healthflow_core::event::avro::Decoder;
use healthflow_core::event::codec::{Codec, restore};
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::event::sample;
use healthflow_core::patient::digests::PersonDigests;
use healthflow_core::patient::{Link, LinkOrigin};
use healthflow_core::state::{
    Asks, BookingState, Held, Packable, PackedMap, PatientState, StateRecord, TaskState, VersionSet,
};
use healthflow_core::sync::ReviewReason;
use healthflow_core::time::Timestamp;
use healthflow_core::topics;

/// Practices that the records belong to.
const PRACTICES: u32 = 40;
/// How many records: as many as just fit, one a practice more, for which every table doubles, and in between.
const COUNTS: [u32; 3] = [143_360, 143_400, 200_000];

/// How many held versions.
const HELD: u32 = 50_000;

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
        patient: Some(number.wrapping_mul(2_654_435_761)),
        incarnation: 0,
        version: Some(2),
        status: BookingStatus::Scheduled,
        fingerprint: Some(i64::from(number) << 20),
        revision: None,
        spans: vec![Span {
            provider_id: format!("provider-{}", number % 5).into(),
            start: Timestamp(1_767_600_000_000 + i64::from(number) * 900_000),
            minutes: 30,
        }],
    };
    let state = BookingState {
        last_day: 20_000,
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
        // A birthday and three words of a name.
        digests: Some(PersonDigests { born: Some(number), name_words: vec![number / 3, number / 2, number] }),
        outranks: None,
        decided: None,
    };
    StateRecord::Patient(key, PatientState { link: Some(link), ..PatientState::default() })
}

/// Nanoseconds that one look takes, and one change: opened, and packed again.
fn times<V: Packable>(map: &mut PackedMap<V>) -> [f64; 2] {
    let keys: Vec<V::Key> = map.iter().map(|(key, _)| key).collect();
    // Not in the order in which they lie in memory.
    let mixed = || (0..keys.len()).map(|index| &keys[index * 7_919 % keys.len()]);
    let each_ns = |began: Instant| began.elapsed().as_nanos() as f64 / keys.len() as f64;
    let began = Instant::now();
    assert!(mixed().all(|key| map.get(key).is_some()));
    let look_ns = each_ns(began);
    let began = Instant::now();
    for key in mixed() {
        map.entry_mut(key);
        map.pack(key);
    }
    [look_ns, each_ns(began)]
}

/// What `count` records cost when they are read and taken in.
fn weigh(count: u32, record: fn(u32) -> StateRecord) -> String {
    let codec = Codec::new("group", |_| 1);
    let topic = match record(0) {
        StateRecord::Patient(..) => topics::PATIENT_STATE,
        _ => topics::APPOINTMENT_STATE,
    };
    let decoder = Decoder::own(healthflow_core::event::avro::contract(topic).expect("one of ours"));
    let encode = |number| {
        let mut buffer = Vec::new();
        codec.encode(&Outgoing::State(Box::new(record(number))), &mut buffer).expect("fits");
        buffer
    };
    let written: Vec<Vec<u8>> = (0..count).map(encode).collect();
    let (before, started) = (resident_bytes(), Instant::now());
    let mut state = TaskState::default();
    for value in &written {
        state.apply(restore(topic, value, &decoder).expect("was written a moment ago"));
    }
    let (seconds, held) = (started.elapsed().as_secs_f64(), resident_bytes() - before);
    let is_booking = topic == topics::APPOINTMENT_STATE;
    let [look, change] = if is_booking { times(&mut state.bookings) } else { times(&mut state.patients) };
    // Kept, or the next one would move into its memory.
    std::mem::forget((state, written));
    let (bytes, rate) = (held / f64::from(count), f64::from(count) / seconds);
    format!("{bytes:4.0} bytes each, {rate:9.0} records/s, a look {look:4.0} ns, a change {change:4.0} ns")
}

/// What a version costs that waits for a person: with its content, or with what a task keeps of it past `review.contents_max`.
fn weigh_held(count: u32, has_content: bool) -> String {
    let held = |number: u32| {
        let mut booking = sample::booking();
        booking.key.practice = format!("practice-{}", number % PRACTICES).as_str().into();
        booking.key.booking = format!("b-{number}").as_str().into();
        booking.patient.id = format!("p-{number}").as_str().into();
        // Each text of its own, as from the topic.
        let event = AppointmentRequested::from(&booking);
        let booking = event.into_booking(sample::NOW).expect("the sample is possible");
        let candidates = vec![format!("hf-pat-{number}").as_str().into()];
        let asks = Asks::Person { reason: ReviewReason::AmbiguousPatient, candidates };
        let mut held = Held::new(booking.into(), 1, i64::from(number), Timestamp(0), asks);
        held.content.take_if(|_| !has_content);
        held
    };
    let before = resident_bytes();
    let mut state = TaskState::default();
    (0..count).for_each(|number| state.apply_held(held(number)));
    let bytes = (resident_bytes() - before) / f64::from(count);
    std::mem::forget(state);
    format!("{bytes:4.0} bytes each")
}

fn main() {
    for (name, record) in [("booking", booking as fn(u32) -> StateRecord), ("link", patient)] {
        for count in COUNTS {
            println!("{name:8} {count:>8} records {}", weigh(count, record));
        }
    }
    for (name, has_content) in [("with content", true), ("without content", false)] {
        println!("held {name:16} {:>8} versions {}", HELD, weigh_held(HELD, has_content));
    }
}
