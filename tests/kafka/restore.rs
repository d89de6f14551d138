//! What a new owner finds (rule K1).

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use healthflow_core::booking::BookingId;
use healthflow_core::event::Outgoing;
use healthflow_core::event::sample::NOW;
use healthflow_core::processor::CommitEnded;
use healthflow_core::state::StateRecord;
use healthflow_core::topics::{self, Lane};
use healthflow_sync::kafka::{CommitOutcome, KafkaSettings, TaskProducer, restore};
use healthflow_testkit::wait::wait_for;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use crate::world::{LIMIT, Member, PARTITIONS, batch, committed, settings, watchdog, world};

/// Encodes the state record of a batch as a worker would.
fn state_of(booking: &str) -> (String, Vec<u8>) {
    let mut buffer = Vec::new();
    let batch = batch(booking, &[]);
    let state = batch.records.iter().find(|record| matches!(record, Outgoing::State(_))).unwrap();
    let encoded = world().translator.encode(state, &mut buffer).unwrap();
    (String::from_utf8(encoded.key.unwrap()).unwrap(), encoded.value.unwrap().to_vec())
}

/// Goal: a dead owner's open transaction hides nothing that is committed above it, and nothing of it is believed.
/// Method: an open transaction below a good one; the restore must wait until the first one is ended.
#[test]
fn an_open_transaction_of_a_dead_owner_is_waited_out() {
    let (name, partition) = ("open-transaction", 5);
    let dead: ThreadedProducer<rdkafka::producer::DefaultProducerContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &world().brokers)
        .set("transactional.id", "dead")
        .set("transaction.timeout.ms", "60000")
        .create()
        .unwrap();
    dead.init_transactions(Duration::from_secs(30)).unwrap();
    dead.begin_transaction().unwrap();
    let (key, value) = state_of("of-the-dead");
    dead.send(BaseRecord::to(topics::APPOINTMENT_STATE).partition(partition).key(&key).payload(&value))
        .unwrap();
    dead.flush(Duration::from_secs(30)).unwrap();

    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let producer = TaskProducer::new(&settings(name), partition, watchdog(), world().now.clone()).unwrap();
    producer.fence().unwrap();
    let outcome = producer.commit(
        &batch("above", &[Lane::Requested.at(0)]),
        &world().translator,
        &member.group.membership(),
    );
    assert!(matches!(outcome, CommitOutcome::Good { .. }), "{outcome:?}");

    let restoring = std::thread::spawn(move || {
        let restored =
            restore(&settings(name), partition, &world().translator, &AtomicBool::new(false), NOW).unwrap();
        (restored, Instant::now())
    });
    // Too short a look can only miss a defect, not invent one.
    let finished = wait_for(Duration::from_millis(700), || restoring.is_finished().then_some(()));
    assert!(finished.is_none(), "the restore did not wait");
    let ended_at = Instant::now();
    dead.abort_transaction(Duration::from_secs(30)).unwrap();
    let (restored, restored_at) = restoring.join().unwrap();
    assert!(restored_at > ended_at);
    let found: Vec<BookingId> = restored.state.bookings.iter().map(|(key, _)| key.booking).collect();
    assert_eq!((found, restored.records), (vec!["above".into()], 2));
}

/// Goal: a restore that cannot go on fails with the cause, so that its task can be acquired again (K1). Method: a
/// transaction that stays open for longer than a restore may make no progress.
#[test]
fn a_restore_that_stands_still_ends_and_says_why() {
    let (name, partition) = ("stands-still", 4);
    let open: ThreadedProducer<rdkafka::producer::DefaultProducerContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &world().brokers)
        .set("transactional.id", name)
        .set("transaction.timeout.ms", "60000")
        .create()
        .unwrap();
    open.init_transactions(LIMIT).unwrap();
    open.begin_transaction().unwrap();
    let (key, value) = state_of("b-1");
    open.send(BaseRecord::to(topics::APPOINTMENT_STATE).partition(partition).key(&key).payload(&value))
        .unwrap();
    open.flush(LIMIT).unwrap();
    let hasty = KafkaSettings { restore_no_progress_ms: 200, transaction_timeout_ms: 300, ..settings(name) };
    let why = restore(&hasty, partition, &world().translator, &AtomicBool::new(false), NOW)
        .unwrap_err()
        .to_string();
    assert!(why.contains("of appointments.state/4 stays open") && why.contains("find-hanging"), "{why}");
    open.abort_transaction(LIMIT).unwrap();
    restore(&hasty, partition, &world().translator, &AtomicBool::new(false), NOW).unwrap();
}

/// Goal: the newest record of a key counts, what is forgotten stays forgotten (K9), and a last control record does not
/// stop the end.
#[test]
fn the_newest_record_counts_and_a_forgotten_booking_stays_forgotten() {
    let (name, partition) = ("tombstone", 6);
    let member = Member::join(&settings(name));
    member.inbox.wait_assigned(PARTITIONS as usize);
    let (task, _) = member.acquire(partition, 1);
    let (kept, forgotten) = (batch("kept", &[Lane::Requested.at(0)]), batch("forgotten", &[]));
    let tombstone = |record: &Outgoing| match record {
        Outgoing::State(state) => match &**state {
            StateRecord::Booking(key, _) => Some(Outgoing::Forgotten(key.clone())),
            _ => None,
        },
        _ => None,
    };
    let mut last = kept.clone();
    last.records.extend(forgotten.records.iter().filter_map(tombstone));
    for (sequence, batch) in [(1, kept), (2, forgotten), (3, last)] {
        task.commit(sequence, Box::new(batch));
        assert!(matches!(member.inbox.wait_committed(sequence), CommitEnded::Good { .. }));
    }
    let restored =
        restore(&settings(name), partition, &world().translator, &AtomicBool::new(false), NOW).unwrap();
    let found: Vec<BookingId> = restored.state.bookings.iter().map(|(key, _)| key.booking).collect();
    assert_eq!((found, restored.records), (vec!["kept".into()], 6));
}

/// Goal: a group whose offsets the brokers forgot goes on from the copy in state. Method: the group is deleted as they
/// would delete it.
#[test]
fn a_task_whose_offsets_the_broker_forgot_goes_on_from_its_state() {
    let (name, partition) = ("forgotten", 15);
    let settings = settings(name);
    let member = Member::join(&settings);
    member.inbox.wait_assigned(PARTITIONS as usize);
    let (task, _) = member.acquire(partition, 1);
    let next_offsets = Lane::ALL.map(|lane| lane.at(0));
    task.commit(1, Box::new(batch("b", &next_offsets)));
    assert!(matches!(member.inbox.wait_committed(1), CommitEnded::Good { .. }));
    drop((task, member));
    let deleted = || {
        let deleted = world().runtime.block_on(world().admin.delete_groups(&[name], &AdminOptions::new()));
        deleted.unwrap().into_iter().all(|group| group.is_ok()).then_some(())
    };
    wait_for(LIMIT, deleted).expect("the group is empty once its member has left");
    assert_eq!(committed(name, Lane::Requested, partition), None);
    let member = Member::join(&settings);
    member.inbox.wait_assigned(PARTITIONS as usize);
    let (_task, acquired) = member.acquire(partition, 1);
    assert_eq!(acquired.start.next_offsets, next_offsets);
}
