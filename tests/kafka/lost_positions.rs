//! Positions that are lost on a real Kafka: topics that are deleted and recreated, before a worker starts and under one
//! at work, records that are deleted, offsets that the group forgot (rule K9). No other test runs meanwhile.

use healthflow_core::event::Outgoing;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::event::result::{ResultEnvelope, ResultOutcome};
use healthflow_core::state::{StateRecord, TaskPositions};
use healthflow_core::topics::{APPOINTMENT_STATE, Lane, PATIENT_STATE, REQUESTED, RETRY};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::rig::{PARTITIONS, Rig};
use crate::world::{LIMIT, world};
use healthflow_testkit::wait::wait_for;

const KEYED: [(&str, &str); 1] = [("healthflow.duplicate_guard", "idempotency_key")];

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(LIMIT, || condition().then_some(())).unwrap_or_else(|| panic!("waited in vain for {what}"));
}

/// So many bookings in a practice of each partition, under names that begin with `prefix`.
fn everywhere(rig: &Rig, prefix: &str, each: usize) -> Vec<AppointmentRequested> {
    let practices = (0..PARTITIONS).map(|partition| rig.practice(partition));
    let of = |practice: String| {
        (0..each).map(move |number| rig.event(&practice, &format!("{prefix}-{number}"), 1))
    };
    practices.flat_map(of).collect()
}

fn signal(rig: &Rig, worker: usize, signal: Signal) {
    let pid = i32::try_from(rig.workers[worker].pid().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Deletes a topic and creates it again with our settings.
fn recreate(rig: &Rig, topic: &str) {
    delete_topic(rig, topic);
    let made = || {
        let partitions = PARTITIONS.to_string();
        rig.try_to_operate(&["topics", "--partitions", &partitions]).is_ok().then_some(())
    };
    wait_for(LIMIT, made).unwrap_or_else(|| panic!("{topic} cannot be recreated"));
}

/// Deletes a topic behind the worker's back.
fn delete_topic(rig: &Rig, topic: &str) {
    let admin = admin(rig);
    let deleted = world().runtime.block_on(admin.delete_topics(&[topic], &AdminOptions::new())).unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    let has_it = || {
        let all = admin.inner().fetch_metadata(None, LIMIT).unwrap();
        all.topics().iter().any(|one| one.name() == topic)
    };
    wait_for(LIMIT, || (!has_it()).then_some(())).unwrap_or_else(|| panic!("{topic} stays"));
}

/// Deletes every present record of a partition.
fn delete_records(rig: &Rig, topic: &str, partition: i32) {
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, partition, Offset::End).unwrap();
    world().runtime.block_on(admin(rig).delete_records(&before, &AdminOptions::new())).unwrap();
}

/// The brokers forget a group, once it has no member.
fn delete_group(rig: &Rig, group: &str) {
    let admin = admin(rig);
    let deleted = || {
        let deleted = world().runtime.block_on(admin.delete_groups(&[group], &AdminOptions::new()));
        deleted.unwrap().iter().all(Result::is_ok).then_some(())
    };
    wait_for(LIMIT, deleted).unwrap_or_else(|| panic!("{group} stays"));
}

fn admin(rig: &Rig) -> AdminClient<DefaultClientContext> {
    rdkafka::ClientConfig::new().set("bootstrap.servers", &rig.kafka().brokers).create().unwrap()
}

/// Goal: what is published to a topic that was recreated is read, all of it, wherever the task had come to in the old
/// one: while no worker runs, with and without the group's offsets, and under one at work. Method: fewer and more
/// records than before, so that the old position lies within the new topic and past its end.
#[test]
fn a_topic_that_is_recreated_is_read_from_its_beginning() {
    let mut rig = Rig::open("recreated", &KEYED);
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let mut expected = 0;
    let mut publish = |rig: &Rig, prefix: &str, each: usize| {
        let events = everywhere(rig, prefix, each);
        rig.publish(&events);
        expected += events.len();
        expected
    };
    let first = publish(&rig, "first", 10);
    wait_until("the first results", || rig.results().len() == first);

    rig.workers.clear();
    recreate(&rig, REQUESTED);
    let second = publish(&rig, "second", 33);
    rig.start_workers();
    wait_until("the results of the topic recreated while no worker ran", || rig.results().len() == second);

    rig.workers.clear();
    recreate(&rig, REQUESTED);
    delete_group(&rig, "healthflow-sync");
    let third = publish(&rig, "third", 40);
    rig.start_workers();
    wait_until("the results without the group's offsets", || rig.results().len() == third);

    for (prefix, each) in [("fewer", 5), ("more", 60)] {
        recreate(&rig, REQUESTED);
        let so_many = publish(&rig, prefix, each);
        wait_until("the results of the topic recreated under a worker", || rig.results().len() == so_many);
        rig.wait_live(0, PARTITIONS as usize);
    }
    let log = rig.log(0);
    assert!(log.contains("the topic was recreated, its records are gone"), "{log}");
    let all = expected;
    let closed = rig.close_after(all);
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
    assert_eq!(closed.appointments.len(), all);
}

/// Goal: a lane whose records are deleted under a worker goes on with what comes then, and the loss is reported.
/// Method: the worker is stopped while records are published and deleted that it has not fetched.
#[test]
fn records_deleted_under_a_worker_are_told_and_the_lane_goes_on() {
    let mut rig = Rig::open("deleted-records", &KEYED);
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let practice = rig.practice(4);
    rig.publish(&[rig.event(&practice, "read", 1)]);
    wait_until("the first result", || rig.results().len() == 1);
    signal(&rig, 0, Signal::STOP);
    let unread: Vec<_> = (0..50).map(|number| rig.event(&practice, &format!("unread-{number}"), 1)).collect();
    // The fetch that waits at the broker takes the first one; there is no other while the worker is stopped.
    rig.publish(&unread[..1]);
    rig.publish(&unread[1..]);
    delete_records(&rig, REQUESTED, 4);
    signal(&rig, 0, Signal::CONT);
    rig.publish(&[rig.event(&practice, "later", 1)]);
    wait_until("a word about it", || rig.log(0).contains("records were deleted before they were read"));
    let is_later =
        |result: &ResultEnvelope| result.booking_id.as_ref().is_some_and(|id| id.as_str() == "later");
    wait_until("a result of what came later", || rig.results().iter().any(is_later));
    wait_until("a worker that is ready", || rig.is_ready(0));
    // What a fetch under way brought was read.
    let found = rig.results().len();
    rig.close_after(found);
}

/// Writes the state as a version left it that does not read the retry lane, and lets the group forget it.
fn forget_the_retry_lane(rig: &Rig) {
    delete_group(rig, "healthflow-sync");
    let translator = rig.translator();
    let producer: ThreadedProducer<DefaultProducerContext> = rig.kafka().client().create().unwrap();
    for partition in 0..PARTITIONS {
        let (_, end) = producer.client().fetch_watermarks(REQUESTED, partition, LIMIT).unwrap();
        let positions = TaskPositions {
            partition_count: PARTITIONS.cast_unsigned(),
            next_offsets: vec![Lane::Requested.at(end)],
            ..TaskPositions::default()
        };
        let (mut buffer, record) = (Vec::new(), Outgoing::State(Box::new(StateRecord::Task(positions))));
        let encoded = translator.encode(&record, &mut buffer).unwrap();
        let (key, value) = (encoded.key.unwrap(), encoded.value.unwrap());
        producer.send(BaseRecord::to(encoded.topic).partition(partition).key(&key).payload(value)).unwrap();
    }
    producer.flush(LIMIT).unwrap();
}

/// Goal: a lane that did not exist yet can be rolled out: its tasks go live, by themselves and after `repartition`,
/// read it from its beginning, and double nothing. Method: state is rewritten as a version left it that did not read
/// the retry lane.
#[test]
fn a_lane_that_no_owner_has_read_yet_can_be_rolled_out() {
    let mut rig = Rig::open_with_own_kafka("new-lane", &KEYED);
    let mut asked = 0;
    for step in ["before", "with-the-lane", "after-repartition"] {
        if asked > 0 {
            rig.workers.clear();
            forget_the_retry_lane(&rig);
        }
        if step == "after-repartition" {
            let done = || rig.try_to_operate(&["repartition"]).is_ok().then_some(());
            wait_for(LIMIT, done).expect("no worker runs");
        }
        rig.start_workers();
        rig.wait_live(rig.workers.len() - 1, PARTITIONS as usize);
        let events = everywhere(&rig, step, 3);
        rig.publish(&events);
        asked += events.len();
        wait_until(step, || rig.results().len() == asked);
    }
    let closed = rig.close_after(asked);
    assert_eq!(closed.appointments.len(), asked);
}

/// Goal: every version that waits in a retry topic that was recreated gets its dead letter, once, also over a crash,
/// and nothing else of its booking is lost. Method: HealthFlow is away until all bookings are parked; the worker that
/// finds the topic recreated is killed as soon as the first letter is there.
#[test]
fn each_version_that_waited_in_a_retry_topic_recreated_gets_one_dead_letter() {
    let late = [KEYED[0], ("retry.backoff_min_ms", "600000"), ("retry.backoff_max_ms", "600000")];
    let mut rig = Rig::open("retry-anew", &late);
    rig.set_faults(&json!({"down": "unavailable"}));
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let events = everywhere(&rig, "b", 5);
    rig.publish(&events);
    let parked = || rig.counter(0, "healthflow_sync_bookings_parked_total") as usize;
    wait_until("parked bookings", || parked() >= events.len());
    wait_until("commits", || rig.waiting(0) >= events.len());
    rig.workers[0].kill().unwrap();
    recreate(&rig, RETRY);
    rig.set_faults(&json!({"down": "no"}));
    rig.start_workers();
    wait_until("a dead letter", || !rig.results().is_empty());
    rig.workers[1].kill().unwrap();
    rig.start_workers();
    wait_until("all dead letters", || rig.results().len() >= events.len());
    let again: Vec<_> =
        events.iter().map(|event| AppointmentRequested { version: 2, ..event.clone() }).collect();
    rig.publish(&again);
    let closed = rig.close_after(2 * events.len());
    for result in &closed.results {
        let outcome = (result.version, result.outcome, result.reason.as_deref());
        let expected = match result.version {
            Some(1) => (Some(1), ResultOutcome::Failed, Some("RECORD_LOST")),
            _ => (Some(2), ResultOutcome::Created, None),
        };
        assert_eq!(outcome, expected);
    }
}

/// Goal: state that is gone, or that is another topic's, is not gone on from: one line names the topic and the remedy,
/// and an operator accepts a copy on purpose.
#[test]
fn a_state_topic_recreated_is_refused_until_it_is_accepted_or_restored() {
    let mut rig = Rig::open_with_own_kafka("state-anew", &KEYED);
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let first = everywhere(&rig, "first", 2);
    rig.publish(&first);
    wait_until("results", || rig.results().len() == first.len());

    // Under the worker, and the next one is refused as well.
    recreate(&rig, PATIENT_STATE);
    let refused = "patients.state was recreated since task";
    wait_until("a worker that is not ready", || !rig.is_ready(0) && rig.log(0).contains(refused));
    rig.workers.clear();
    // A static member is missed only after a while.
    let listed = wait_for(LIMIT, || rig.try_to_operate(&["accept-topics"]).ok()).expect("no worker runs");
    assert!(listed.contains("patients.state was replaced"), "{listed}");
    assert!(listed.contains("nothing is changed; add --yes"), "{listed}");
    rig.operate(&["accept-topics", "--yes"]);
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let refused = rig.try_to_operate(&["accept-topics", "--yes"]).unwrap_err().to_string();
    assert!(refused.contains("stop every worker"), "{refused}");
    let second = everywhere(&rig, "second", 2);
    rig.publish(&second);
    wait_until("results after it was accepted", || rig.results().len() == first.len() + second.len());

    rig.workers.clear();
    recreate(&rig, APPOINTMENT_STATE);
    rig.start_workers();
    wait_until("a refusal", || rig.log(0).contains("appointments.state/0 holds nothing of task 0"));
    assert_eq!(rig.live(0), 0);
    let all = first.len() + second.len();
    rig.close_after(all);
}
