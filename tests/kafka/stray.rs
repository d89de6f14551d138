//! Records in a state topic that no worker wrote: they stop their task, and no other one, until an operator removes
//! them.

use std::sync::atomic::AtomicBool;

use healthflow_core::event::Outgoing;
use healthflow_core::event::sample::NOW;
use healthflow_core::processor::{CommitEnded, Input};
use healthflow_core::topics::{APPOINTMENT_STATE, Lane, PATIENT_STATE};
use healthflow_sync::kafka::{RecordName, restore};
use healthflow_sync::kafka_admin::stray;
use rdkafka::message::ToBytes;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::world::{LIMIT, Member, PARTITIONS, batch, settings, world};

const PARTITION: i32 = 10;
const NEIGHBOUR: i32 = 11;
const GOOD: i32 = 9;

/// Writes another program's record into a state topic; returns its position.
fn write(topic: &str, key: &str, value: &(impl ToBytes + ?Sized)) -> i64 {
    let producer: ThreadedProducer<DefaultProducerContext> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world().brokers).create().unwrap();
    let record = BaseRecord::to(topic).partition(PARTITION).key(key).payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(LIMIT).unwrap();
    let (_, end) = producer.client().fetch_watermarks(topic, PARTITION, LIMIT).unwrap();
    end - 1
}

/// The state record that a worker would write for a booking.
fn state_of(booking: &str) -> Vec<u8> {
    let mut buffer = Vec::new();
    let batch = batch(booking, &[]);
    let state = batch.records.iter().find(|record| matches!(record, Outgoing::State(_))).unwrap();
    world().translator.encode(state, &mut buffer).unwrap().value.unwrap().to_vec()
}

/// Goal: an unusable record stops its task with a line that names the remedy, its neighbours live on, and the remedy
/// helps without taking what a worker remembered. Method: garbage under the key of a booking that is remembered,
/// garbage under no booking's key, and a booking's state under another's; each is removed as the line says.
#[test]
fn a_stray_record_stops_its_own_task_only_and_is_removed_as_its_line_says() {
    let name = "stray";
    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let (task, _) = member.acquire(PARTITION, 1);
    task.commit(1, Box::new(batch("kept", &[Lane::Requested.at(0), Lane::Retry.at(0)])));
    assert!(matches!(member.inbox.wait_committed(1), CommitEnded::Good { .. }));
    drop(task);
    let first = write(APPOINTMENT_STATE, "practice-1/kept", "garbage");
    write(PATIENT_STATE, "x", &b"\x00\x7f\xff\xff\xff and more"[..]);
    write(APPOINTMENT_STATE, "practice-1/other", &state_of("kept"));

    let _stopped = member.spawner.acquire(PARTITION, 2, (world().now)()).unwrap();
    let (_neighbour, _) = member.acquire(NEIGHBOUR, 1);
    member.inbox.wait("the task that is not acquired", |inputs| {
        let failed = |input: &Input| matches!(input, Input::AcquireFailed { partition: PARTITION, .. });
        inputs.iter().position(failed).map(|at| inputs.remove(at))
    });

    let mut removed = Vec::new();
    let restored = loop {
        let why = match restore(&settings(name), PARTITION, &world().translator, &AtomicBool::new(false), NOW)
        {
            Ok(restored) => break restored,
            Err(why) => why.to_string(),
        };
        let (_, command) = why.split_once("`healthflow-sync drop-record ").expect("it names the remedy");
        let words: Vec<&str> = command.split_once('`').unwrap().0.split(' ').collect();
        let topic = if words[1] == PATIENT_STATE { PATIENT_STATE } else { APPOINTMENT_STATE };
        let place =
            RecordName { topic, partition: words[3].parse().unwrap(), offset: words[5].parse().unwrap() };
        assert!(!removed.contains(&why), "it helps: {why}");
        let stray = stray::remove(&settings(name), &world().translator, place).unwrap();
        assert!(stray.head.len() <= 10, "no content is shown");
        removed.push(why);
    };
    assert_eq!(removed.len(), 3, "{removed:?}");
    let known: Vec<_> = restored.state.bookings.iter().map(|(key, _)| key.booking).collect();
    assert_eq!(known, ["kept".into()], "what a worker remembered is as it was");
    let again = RecordName { topic: APPOINTMENT_STATE, partition: PARTITION, offset: first };
    let why = stray::find(&settings(name), &world().translator, again).err().expect("it is replaced");
    assert!(why.to_string().contains("is replaced by record"), "{why}");
    let (_task, _) = member.acquire(PARTITION, 3);
}

/// Goal: what a worker wrote is not dropped by a slip. Method: the offset of a good record.
#[test]
fn a_record_that_a_worker_can_use_is_not_removed() {
    let name = "no-stray";
    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let (task, _) = member.acquire(GOOD, 1);
    task.commit(1, Box::new(batch("good", &[Lane::Requested.at(0)])));
    assert!(matches!(member.inbox.wait_committed(1), CommitEnded::Good { .. }));
    let mut place = RecordName { topic: APPOINTMENT_STATE, partition: GOOD, offset: 0 };
    let why = stray::find(&settings(name), &world().translator, place).err().expect("it is a worker's");
    assert!(why.to_string().contains("can be used"), "{why}");
    place.offset = 1_000_000;
    let why = stray::find(&settings(name), &world().translator, place).err().expect("there is none");
    assert!(why.to_string().contains("does not exist"), "{why}");
}
