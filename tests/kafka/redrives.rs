//! Redrives by an operator, as others see them afterwards: who did it and why, how often, and where it ends.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::json;
use std::time::Duration;

use crate::rig::{PARTITIONS, Rig};
use crate::world::LIMIT;
use healthflow_core::event::headers::{REDRIVEN_BY, REDRIVEN_TIMES, REDRIVEN_WHY};
use healthflow_testkit::wait::wait_for;

/// What the redrives of this practice say of themselves: how often, who, why.
fn signatures(rig: &Rig, partition: i32, practice: &str, count: usize) -> Vec<[String; 3]> {
    let mut settings = rig.connection().kafka;
    let consumer: BaseConsumer = settings.set("group.id", "reads-headers").create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("appointments.retry", partition, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let header = |message: &BorrowedMessage<'_>, name: &str| {
        let found = message.headers()?.iter().find(|header| header.key == name)?.value?;
        Some(String::from_utf8_lossy(found).into_owned())
    };
    let mut found = Vec::new();
    let read = || {
        let message = consumer.poll(Duration::from_millis(100))?.unwrap();
        let names = [REDRIVEN_TIMES, REDRIVEN_BY, REDRIVEN_WHY].map(|name| header(&message, name));
        if message.key() == Some(practice.as_bytes())
            && let [Some(times), Some(by), Some(why)] = names
        {
            found.push([times, by, why]);
        }
        (found.len() >= count).then_some(())
    };
    let mut read = read;
    wait_for(LIMIT, &mut read).expect("every redrive has its headers");
    found
}

/// Goal: nobody redrives for ever what fails for ever, and each redrive says who and why. Method: a slot that stays taken; three
/// redrives that fail, a fourth that is left out, and one that is forced.
#[test]
fn what_fails_each_time_is_not_redriven_for_ever() {
    let mut rig = Rig::open("redriven-in-vain", &[("healthflow.duplicate_guard", "idempotency_key")]);
    rig.set_faults(&json!({"slot_conflicts": true}));
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let practice = rig.practice(1);
    let wait_results = |rig: &Rig, count: usize| {
        wait_for(LIMIT, || (rig.results().len() >= count).then_some(())).expect("a result");
    };
    for (booking, results) in [("b-1", 1), ("b-2", 2)] {
        rig.publish(&[rig.event(&practice, booking, 1)]);
        wait_results(&rig, results);
    }
    let redrive =
        ["redrive", "--practice", &practice, "--by", "ops-2", "--why", "to see", "--per-second", "50"];
    let nothing = rig.operate(&[&redrive[..], &["--until", "2020-01-01"]].concat());
    assert_eq!(nothing, "0 redriven\n");
    for results in 3..6 {
        let done = rig.operate(&redrive);
        assert!(done.ends_with(": redriven\n1 redriven\n"), "{done}");
        wait_results(&rig, results);
    }
    let left_out = rig.operate(&redrive);
    assert!(left_out.contains("was redriven three times already"), "{left_out}");
    assert!(left_out.ends_with("\n0 redriven\n"), "{left_out}");
    let forced = rig.operate(&[&redrive[..], &["--force"]].concat());
    assert!(forced.ends_with("\n1 redriven\n"), "{forced}");
    let signatures = signatures(&rig, 1, &practice, 4);
    let expected = ["1", "2", "3", "4"].map(|times| [times, "ops-2", "to see"].map(str::to_owned));
    assert_eq!(signatures, expected);
    rig.close_after(6);
}
