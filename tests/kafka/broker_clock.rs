//! The brokers' time, by their stamps.

use healthflow_core::time::DAY_MS;
use std::collections::HashMap;
use std::sync::Arc;

use healthflow_core::event::size::RECORD_BYTES_MAX;
use healthflow_core::topics::CLOCK;
use healthflow_sync::kafka::{BrokerClock, ClockFault, Now};
use healthflow_sync::kafka_admin::topics::settings as wanted;
use rdkafka::admin::{AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};

use crate::world::{LIMIT, settings, world};
use healthflow_testkit::wait::wait_for;

/// Our clock, off by so much.
fn off_by(ms: i64) -> Now {
    Arc::new(move || (world().now)().plus_ms(ms))
}

fn set(name: &str, value: &str) {
    let change =
        AlterConfig { specifier: ResourceSpecifier::Topic(CLOCK), entries: HashMap::from([(name, value)]) };
    let done = world().runtime.block_on(world().admin.alter_configs([&change], &AdminOptions::new()));
    assert!(done.expect("Kafka answers").iter().all(Result::is_ok));
}

/// Goal: a worker that starts with a wrong clock ends with one line that says so, and one with a right clock starts
/// (K9, deadlines). Method: the same brokers are asked with clocks that are right, ahead and behind; then their topic
/// stamps nothing any more.
#[test]
fn a_worker_with_another_clock_than_the_brokers_is_refused() {
    let stamps = wanted(CLOCK, 1, RECORD_BYTES_MAX);
    let new = NewTopic::new(CLOCK, 3, TopicReplication::Fixed(1));
    let new = stamps.iter().fold(new, |new, setting| new.set(setting.name, &setting.value));
    let made = world().runtime.block_on(world().admin.create_topics([&new], &AdminOptions::new()));
    assert!(made.expect("Kafka answers").iter().all(Result::is_ok));
    let clock = BrokerClock::new(&settings("clock")).unwrap();
    let answer = wait_for(LIMIT, || clock.ask(&world().now).ok()).expect("the brokers tell their time");
    assert!(answer.asked_at <= answer.answered_at);
    assert_eq!(clock.check(&world().now, 60_000), Ok(()));

    for days in [20, -20] {
        let why = clock.check(&off_by(days * DAY_MS), 60_000).expect_err("it is 20 days off");
        let ClockFault::Apart { time, .. } = &why else { panic!("{why}") };
        assert!((time.ahead_ms() - days * DAY_MS).abs() < 60_000, "{time:?}");
        let line = why.to_string();
        assert!(line.contains("this worker's clock says") && line.contains("NTP"), "{line}");
    }

    set("message.timestamp.type", "CreateTime");
    let why = wait_for(LIMIT, || clock.check(&off_by(0), 60_000).err()).expect("its stamps are ours now");
    assert!(why.to_string().contains("message.timestamp.type of healthflow.clock"), "{why}");
    set("message.timestamp.type", "LogAppendTime");
}
