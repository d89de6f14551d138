//! Commits whose requests or answers get lost, late or doubled on their way (rules T1, T3). librdkafka speaks version 1
//! of transactions, in which an end of a transaction names no transaction, only its producer's epoch.

use healthflow_core::partition::start::Acquired;
use healthflow_core::processor::{CommitEnded, Input};
use healthflow_core::topics::{self, Lane, Position};
use healthflow_sync::kafka::{CommitOutcome, KafkaSettings, TaskProducer, TaskThread};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::world::{
    LIMIT, Member, PARTITIONS, batch, committed, is_held_back, proxied, proxy, read, settings, spawner,
    watchdog, world,
};
use healthflow_testkit::processes::kafka_proxy::{END_TXN, KafkaProxy};
use healthflow_testkit::wait::wait_for;

/// The api key of TxnOffsetCommit.
pub const TXN_OFFSET_COMMIT: i16 = 28;
/// Short enough to wait for, long enough for a busy machine to commit within.
const SHORT_MS: u64 = 5_000;

const OFFSETS: [Position; 2] = [Lane::Requested.at(0), Lane::Retry.at(0)];

/// A member of the group whose transactions alone go through the proxy.
fn member(settings: &KafkaSettings) -> Member {
    let mut member = Member::join(settings);
    member.inbox.wait_assigned(PARTITIONS as usize);
    member.spawner = spawner(&proxied(settings), member.group.membership(), member.inbox.clone());
    member
}

fn short(name: &str) -> KafkaSettings {
    KafkaSettings { transaction_timeout_ms: SHORT_MS, message_timeout_ms: SHORT_MS - 1_000, ..settings(name) }
}

/// The next life of the task, with time enough for a transaction that a test keeps open.
fn next_life(member: &mut Member, settings: &KafkaSettings, partition: i32) -> (TaskThread, Acquired) {
    let slow = KafkaSettings { transaction_timeout_ms: 60_000, ..proxied(settings) };
    member.inbox.clear();
    member.spawner = spawner(&slow, member.group.membership(), member.inbox.clone());
    member.acquire(partition, 2)
}

fn wait_held(proxy: &KafkaProxy, count: usize) {
    wait_for(LIMIT, || (proxy.delayed() >= count).then_some(())).expect("the request comes to the proxy");
}

fn wait_answered(proxy: &KafkaProxy, before: u64) {
    wait_for(LIMIT, || (proxy.answered(END_TXN) > before).then_some(())).expect("the broker answers");
}

fn visible(partition: i32) -> usize {
    read(topics::SYNCED, partition, "read_committed").len()
}

/// Lets the copy through that the client sends after its connection broke, while the first one stays delayed, and any
/// other that it sent because it got no answer in time.
fn let_only_the_copy_through(proxy: &KafkaProxy) {
    wait_held(proxy, 1);
    proxy.delay_no_more();
    proxy.cut();
}

/// Goal: a commit of which we hear that it is good, but perhaps for the second time, costs the task its memory (T3).
/// Method: the answer gets lost and the connection with it; librdkafka asks again and gets a good answer.
#[test]
fn a_commit_that_is_good_over_a_broken_connection_drops_the_task() {
    let proxy = proxy();
    let partition = 16;
    let member = member(&settings("good-but-broken"));
    let (task, _) = member.acquire(partition, 1);
    proxy.lose_answers(END_TXN);
    let lost = proxy.lost();
    task.commit(1, Box::new(batch("b-1", &OFFSETS)));
    wait_for(LIMIT, || (proxy.lost() > lost).then_some(())).expect("an answer gets lost");
    proxy.lose_no_more();
    proxy.cut();
    assert_eq!(member.inbox.wait_committed(1), CommitEnded::TaskLost);
    assert_eq!(visible(partition), 1, "it was good");

    drop(task);
    let (_task, acquired) = member.acquire(partition, 2);
    assert_eq!(acquired.state.bookings.len(), 1, "the next life knows what was committed");
}

/// Goal: what a commit left on its way when its time was over, and its task was dropped, ends nothing of the next life.
/// Method: the broker aborts the transaction while its end is delayed, which then lands in the middle of the next one.
#[test]
fn an_end_of_transaction_held_past_the_timeout_does_not_touch_the_next_transaction() {
    let proxy = proxy();
    let (settings, partition) = (short("held-past"), 17);
    let mut member = member(&settings);
    let (task, _) = member.acquire(partition, 1);
    proxy.delay(END_TXN);
    task.commit(1, Box::new(batch("b-1", &OFFSETS)));
    wait_held(&proxy, 1);
    wait_for(LIMIT, || (!is_held_back(topics::SYNCED, partition)).then_some(()))
        .expect("the broker aborts the transaction");
    let_only_the_copy_through(&proxy);
    assert_eq!(member.inbox.wait_committed(1), CommitEnded::TaskLost);
    drop(task);

    let (task, acquired) = next_life(&mut member, &settings, partition);
    assert!(acquired.state.is_empty(), "nothing was committed");
    the_late_one_touches_nothing(&proxy, &member, &task, partition, 0);
}

/// Goal: the same for the second copy of a commit that was good.
#[test]
fn a_late_copy_of_an_end_of_transaction_does_not_touch_the_next_transaction() {
    let proxy = proxy();
    let (settings, partition) = (settings("late-copy"), 18);
    let mut member = member(&settings);
    let (task, _) = member.acquire(partition, 1);
    proxy.delay(END_TXN);
    task.commit(1, Box::new(batch("b-1", &OFFSETS)));
    let_only_the_copy_through(&proxy);
    assert_eq!(member.inbox.wait_committed(1), CommitEnded::TaskLost);
    drop(task);

    let (task, acquired) = next_life(&mut member, &settings, partition);
    assert_eq!(acquired.state.bookings.len(), 1);
    the_late_one_touches_nothing(&proxy, &member, &task, partition, 1);
}

/// Goal: the same for an abort that was sent twice: its late copy would take the records of the next transaction away,
/// and let its offsets stand. Method: a rebalance makes the commit end in an abort, which is delayed while its
/// connection breaks.
#[test]
fn an_abort_over_a_broken_connection_drops_the_task() {
    let proxy = proxy();
    let (settings, partition) = (settings("torn-abort"), 21);
    let mut member = member(&settings);
    let (task, _) = member.acquire(partition, 1);
    proxy.delay(TXN_OFFSET_COMMIT);
    task.commit(1, Box::new(batch("b-1", &OFFSETS)));
    wait_held(&proxy, 1);
    let second = Member::join(&settings);
    member.inbox.wait("TaskRevoked", |inputs| {
        inputs.iter().any(|input| matches!(input, Input::TaskRevoked { .. })).then_some(())
    });
    proxy.delay_no_more();
    proxy.delay(END_TXN);
    let answered = proxy.answered(TXN_OFFSET_COMMIT);
    proxy.release();
    wait_for(LIMIT, || (proxy.answered(TXN_OFFSET_COMMIT) > answered).then_some(())).expect("it is refused");
    let_only_the_copy_through(&proxy);
    assert_eq!(member.inbox.wait_committed(1), CommitEnded::TaskLost);
    drop((task, second));

    let (task, acquired) = next_life(&mut member, &settings, partition);
    assert!(acquired.state.is_empty(), "nothing was committed");
    the_late_one_touches_nothing(&proxy, &member, &task, partition, 0);
}

/// What is delayed lands while a transaction of this task is open, which then ends as its task wants.
fn the_late_one_touches_nothing(
    proxy: &KafkaProxy,
    member: &Member,
    task: &TaskThread,
    partition: i32,
    before: usize,
) {
    let late = proxy.delayed();
    proxy.delay(END_TXN);
    task.commit(1, Box::new(batch("b-2", &OFFSETS)));
    wait_held(proxy, late + 1);
    for _ in 0..late {
        let answered = proxy.answered(END_TXN);
        proxy.release_oldest();
        wait_answered(proxy, answered);
    }
    assert_eq!(visible(partition), before, "the late one committed what it was not meant for");
    assert!(is_held_back(topics::SYNCED, partition), "the late one ended what it was not meant for");
    proxy.release();
    assert!(matches!(member.inbox.wait_committed(1), CommitEnded::Good { aborts: 0, .. }));
    assert_eq!(visible(partition), before + 1);
}

/// Goal: to know that the last two tests test something. Method: a producer that goes on after a broken connection, as
/// rule T3 forbids: the late copy commits the half of its next transaction. Once librdkafka speaks version 2 of
/// transactions this fails, and T3 can be milder.
#[test]
fn a_producer_that_goes_on_has_its_next_transaction_ended_by_a_late_copy() {
    let proxy = proxy();
    let (name, partition) = ("goes-on", 19);
    let producer: ThreadedProducer<DefaultProducerContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &proxied(&settings(name)).brokers)
        .set("transactional.id", name)
        .create()
        .unwrap();
    let send = |value: &str| {
        producer.send(BaseRecord::<(), _>::to(topics::SYNCED).partition(partition).payload(value)).unwrap();
        producer.flush(LIMIT).unwrap();
    };
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    send("first");
    proxy.delay(END_TXN);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| producer.commit_transaction(LIMIT));
        let_only_the_copy_through(&proxy);
        committing.join().unwrap().unwrap();
    });
    producer.begin_transaction().unwrap();
    send("half of the second");
    let answered = proxy.answered(END_TXN);
    proxy.release();
    wait_answered(&proxy, answered);
    wait_for(LIMIT, || (visible(partition) == 2).then_some(())).expect("the late copy commits the half");
}

/// Goal: a transaction that its owner began before it lost the task, and ends when it wakes up, is void (T1).
/// Method: the old owner's end of the transaction is on its way while the new one fences it and commits.
#[test]
fn a_zombies_late_transaction_is_fenced() {
    let proxy = proxy();
    let (settings, partition) = (settings("zombie"), 20);
    let member = member(&settings);
    let (zombie, _) = member.acquire(partition, 1);
    proxy.delay(END_TXN);
    zombie.commit(1, Box::new(batch("of-the-zombie", &[Lane::Requested.at(7), Lane::Retry.at(7)])));
    wait_held(&proxy, 1);

    let owner = TaskProducer::new(&settings, partition, watchdog(), world().now.clone()).unwrap();
    owner.fence().unwrap();
    let outcome = owner.commit(&batch("b-1", &OFFSETS), &world().translator, &member.group.membership());
    assert!(matches!(outcome, CommitOutcome::Good { aborts: 0, .. }), "{outcome:?}");
    proxy.calm();
    assert_eq!(member.inbox.wait_committed(1), CommitEnded::TaskLost);
    assert_eq!((visible(partition), committed("zombie", Lane::Requested, partition)), (1, Some(0)));
}

/// Goal: a rebalance in the middle of a commit costs an abort and nothing else: the same batch is committed, once.
/// Method: the offsets are on their way while a second member joins, so they quote a generation that is over.
#[test]
fn a_commit_that_a_rebalance_interrupts_is_committed_again() {
    let proxy = proxy();
    let settings = settings("rebalance-in-commit");
    let member = member(&settings);
    let tasks: Vec<(i32, TaskThread)> =
        [22, 23].map(|partition| (partition, member.acquire(partition, 1).0)).into();
    proxy.delay(TXN_OFFSET_COMMIT);
    for (partition, task) in &tasks {
        task.commit(*partition as u64, Box::new(batch("b-1", &OFFSETS)));
    }
    wait_held(&proxy, tasks.len());
    let _second = Member::join(&settings);
    member.inbox.wait("TaskRevoked", |inputs| {
        inputs.iter().any(|input| matches!(input, Input::TaskRevoked { .. })).then_some(())
    });
    proxy.calm();
    for (partition, _) in &tasks {
        let ended = member.inbox.wait_committed(*partition as u64);
        assert!(matches!(ended, CommitEnded::Good { aborts: 1.., .. }), "{ended:?}");
        assert_eq!(visible(*partition), 1);
        assert_eq!(committed("rebalance-in-commit", Lane::Requested, *partition), Some(0));
    }
}
