//! One transaction: all of it or nothing, once, and by the owner only (rules T1–T3).

use std::time::{Duration, Instant};

use healthflow_core::appointment::PlacedIds;
use healthflow_core::event::avro::{Decoder, contract};
use healthflow_core::event::failed::{AppointmentFailed, DeadContent, DeadLetter};
use healthflow_core::event::review::ReviewCase;
use healthflow_core::event::{Outgoing, Unusable};
use healthflow_core::processor::CommitEnded;
use healthflow_core::sync::{Disposition, FailureReason, ReviewReason};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{self, Lane};
use healthflow_sync::kafka::{CommitLoss, CommitOutcome, KafkaSettings, Membership, TaskProducer};
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

use crate::world::{LIMIT, Member, PARTITIONS, batch, committed, read, requested, settings, watchdog, world};

fn producer(name: &str, partition: i32) -> TaskProducer {
    TaskProducer::new(&settings(name), partition, watchdog(), world().now.clone()).unwrap()
}

/// Goal: results, state and offsets become visible together, and the next owner begins where they end. Method: a first
/// start, a commit, and a second life of the same task.
#[test]
fn results_state_and_offsets_are_one_and_the_next_life_goes_on_from_them() {
    let (name, partition) = ("atomic", 0);
    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let (task, acquired) = member.acquire(partition, 1);
    assert_eq!(
        acquired.start.next_offsets,
        Lane::ALL.map(|lane| lane.at(0)),
        "a first start begins at the beginning"
    );
    assert!(acquired.state.is_empty());

    task.commit(1, Box::new(batch("b-1", &Lane::ALL.map(|lane| lane.at(0)))));
    assert!(
        matches!(member.inbox.wait_committed(1), CommitEnded::Good { started_at, .. } if started_at >= acquired.fenced_at)
    );
    assert_eq!(read(topics::SYNCED, partition, "read_committed").len(), 1);
    assert_eq!(committed(name, Lane::Retry, partition), Some(0), "a real offset from the start");

    drop(task);
    let (_task, again) = member.acquire(partition, 2);
    assert_eq!(again.start.next_offsets, Lane::ALL.map(|lane| lane.at(0)));
    // The booking, the copy of the offsets, and the fleet's record, which lies in partition 0 too and is passed over.
    assert_eq!((again.state.bookings.len(), again.restored_records), (1, 3));
}

/// Goal: an aborted batch is committed again as it was, once. Method: the broker refuses one of its records, until
/// readers of uncommitted records have seen the first attempt.
#[test]
fn an_aborted_batch_is_committed_again() {
    let (name, partition) = ("aborted", 1);
    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let producer = producer(name, partition);
    producer.fence().unwrap();
    limit(topics::REVIEW, "2000");
    let mut batch = batch("b-1", &[Lane::Requested.at(7)]);
    batch.records.push(large_review());
    let membership = member.group.membership();
    let committing = std::thread::spawn(move || producer.commit(&batch, &world().translator, &membership));
    let until = Instant::now() + LIMIT;
    while read(topics::SYNCED, partition, "read_uncommitted").is_empty() {
        assert!(Instant::now() < until, "no attempt was made");
    }
    limit(topics::REVIEW, "1000000");
    let outcome = committing.join().unwrap();
    assert!(matches!(outcome, CommitOutcome::Good { aborts: 1.., .. }), "{outcome:?}");
    // With the state of the booking goes the copy of the offsets.
    for (topic, records) in [(topics::SYNCED, 1), (topics::APPOINTMENT_STATE, 2), (topics::REVIEW, 1)] {
        assert_eq!(read(topic, partition, "read_committed").len(), records, "{topic}");
    }
    assert_eq!(committed(name, Lane::Requested, partition), Some(7));
}

/// Goal: a topic whose limit was lowered costs a dead letter its bytes, never its task its commits (T3). Method: the
/// broker refuses 10 kB that do not compress, and with them a small letter that went in the same request; that one
/// keeps its bytes.
#[test]
fn a_dead_letter_that_its_topic_refuses_for_its_size_is_written_without_its_bytes() {
    let (name, partition) = ("refused", 42);
    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let producer = producer(name, partition);
    producer.fence().unwrap();
    limit(topics::FAILED, "2000");
    let mut batch = batch("b-1", &[Lane::Requested.at(7)]);
    batch.records.extend([dead_letter(noise(100)), dead_letter(noise(10_000)), dead_letter(noise(100))]);
    let outcome = producer.commit(&batch, &world().translator, &member.group.membership());
    limit(topics::FAILED, "1000000");
    assert!(matches!(outcome, CommitOutcome::Good { aborts: 1.., .. }), "{outcome:?}");
    let decoder = Decoder::own(contract(topics::FAILED).unwrap());
    let letters = read(topics::FAILED, partition, "read_committed");
    let mut kept: Vec<(Option<String>, usize)> = letters
        .iter()
        .map(|value| decoder.decode::<AppointmentFailed>(value).unwrap())
        .map(|letter| {
            (letter.result.reason.map(|reason| reason.to_string()), letter.raw_value.unwrap().len())
        })
        .collect();
    kept.sort();
    let (as_it_was, cut) = ((Some("UNDECODABLE".to_owned()), 100), (Some("TOO_LARGE".to_owned()), 0));
    assert_eq!(kept, [cut, as_it_was.clone(), as_it_was]);
    assert_eq!(committed(name, Lane::Requested, partition), Some(7));
}

fn limit(topic: &str, bytes: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", bytes);
    let altered =
        world().runtime.block_on(world().admin.alter_configs([&change], &AdminOptions::new())).unwrap();
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut seed = 1_u32;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    });
    noise.take(bytes).collect()
}

/// A review of about 10 kB.
fn large_review() -> Outgoing {
    let mut event = requested("b-1", 1);
    event.visit.note = Some(
        noise(4_000)
            .iter()
            .map(|byte| char::from_u32(0x4e00 + u32::from(*byte)).unwrap())
            .collect::<String>()
            .into(),
    );
    Outgoing::Review(Box::new(ReviewCase {
        booking: event.into_booking((world().now)()).unwrap().into(),
        generation: 1,
        reason: ReviewReason::AmbiguousPatient,
        evidence: Vec::new(),
        waits_for: None,
        attempts: 1,
        order: 0,
        since: Timestamp(1_767_614_401_000),
    }))
}

fn dead_letter(bytes: Vec<u8>) -> Outgoing {
    let record = Unusable {
        raw_key: None,
        raw_value: Some(bytes),
        reason: FailureReason::Undecodable,
        detail: "noise".into(),
        identity: None,
        named: Default::default(),
        decision_id: None,
    };
    Outgoing::Failed(Box::new(DeadLetter {
        content: DeadContent::Record(Box::new(record)),
        identity: None,
        reason: FailureReason::Undecodable,
        disposition: Disposition::Poison,
        detail: "noise".into(),
        placed_ids: PlacedIds::default(),
        attempts: 1,
        generation: 0,
        origin: None,
        finished_at: Timestamp(1_767_614_401_000),
    }))
}

/// Goal: a second owner ends the first one's commits, and nothing of those is seen, whether or not they carry offsets: the
/// lease runs from commits of both kinds (rule W2).
#[test]
fn the_second_fence_wins() {
    let name = "fenced";
    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let membership = member.group.membership();
    let with_offsets = [Lane::Requested.at(0)];
    for (partition, offsets) in [(2, &with_offsets[..]), (31, &[])] {
        let (old, new) = (producer(name, partition), producer(name, partition));
        let commit = |producer: &TaskProducer, booking| {
            producer.commit(&batch(booking, offsets), &world().translator, &membership)
        };
        old.fence().unwrap();
        assert!(matches!(commit(&old, "b-1"), CommitOutcome::Good { aborts: 0, .. }));
        new.fence().unwrap();
        let outcome = commit(&old, "b-2");
        assert!(matches!(outcome, CommitOutcome::Lost(CommitLoss::Fenced { .. })), "{outcome:?}");
        assert!(matches!(commit(&new, "b-3"), CommitOutcome::Good { aborts: 0, .. }));
        assert_eq!(read(topics::SYNCED, partition, "read_committed").len(), 2);
        assert_eq!(committed(name, Lane::Requested, partition), offsets.first().map(|at| at.offset));
    }
}

/// Goal: a non-member commits nothing (the broker would accept it).
#[test]
fn without_membership_nothing_is_committed() {
    let (name, partition) = ("left", 3);
    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let membership: Membership = member.group.membership();
    let producer = producer(name, partition);
    producer.fence().unwrap();
    drop(member);
    let outcome = producer.commit(&batch("b-1", &[Lane::Requested.at(0)]), &world().translator, &membership);
    assert!(matches!(outcome, CommitOutcome::Lost(CommitLoss::NoMembership)), "{outcome:?}");
    assert_eq!(committed(name, Lane::Requested, partition), None);
    assert!(read(topics::SYNCED, partition, "read_committed").is_empty());
}

/// Goal: a worker whose place in the group was taken by one of the same name loses its tasks at its next commit, not
/// after many aborts, during which it would take them for its own.
#[test]
fn a_worker_whose_place_its_namesake_took_loses_its_task_at_once() {
    let settings = KafkaSettings { group_instance_id: Some("worker-1".into()), ..settings("namesake") };
    let partition = 21;
    let first = Member::join(&settings);
    first.inbox.wait_assigned(PARTITIONS as usize);
    let producer = producer("namesake", partition);
    producer.fence().unwrap();
    let second = Member::join(&settings);
    second.inbox.wait_assigned(PARTITIONS as usize);
    let membership = first.group.membership();
    let outcome = producer.commit(&batch("b-1", &[Lane::Requested.at(0)]), &world().translator, &membership);
    assert!(matches!(outcome, CommitOutcome::Lost(CommitLoss::PlaceTaken { .. })), "{outcome:?}");
    assert_eq!(committed("namesake", Lane::Requested, partition), None);
}

/// Goal: no commit waits for one of rdkafka's 100 ms slices. Method: the fastest of many, for with a slice none would
/// be faster, however busy the machine is. Four tasks take turns, as in a worker: right after a commit of the same task
/// its markers are still being written, and the broker says "later".
#[test]
fn no_commit_waits_for_a_slice_of_100_ms() {
    let name = "quick";
    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let membership = member.group.membership();
    let producers = [4, 12, 13, 14].map(|partition| producer(name, partition));
    for producer in &producers {
        producer.fence().unwrap();
    }
    let mut took: Vec<Duration> = (0..50)
        .zip(producers.iter().cycle())
        .map(|(number, producer)| {
            let batch = batch(&format!("b-{number}"), &[Lane::Requested.at(number)]);
            let started = Instant::now();
            let outcome = producer.commit(&batch, &world().translator, &membership);
            assert!(matches!(outcome, CommitOutcome::Good { .. }), "{outcome:?}");
            started.elapsed()
        })
        .collect();
    took.sort();
    println!("commit: fastest {:?}, median {:?}, slowest {:?}", took[0], took[25], took[49]);
    assert!(took[0] < Duration::from_millis(100), "fastest {:?}", took[0]);
}
