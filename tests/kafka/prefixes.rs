//! Two fleets with everything alike but `kafka.name_prefix`, on one cluster and one registry.

use serde_json::Value;

use crate::rig::{PARTITIONS, Rig};
use crate::world::LIMIT;
use healthflow_testkit::wait::wait_for;

const BLUE: &str = "kafka.name_prefix=blue.";
const GREEN: &str = "kafka.name_prefix=green.";

/// What `healthflow-sync` says to `words` under a prefix.
fn operate(rig: &Rig, prefix: &str, words: &[&str]) -> String {
    rig.operate(&[words, &["--set", prefix]].concat())
}

/// Sends version 1 of a booking to a fleet.
fn send(rig: &Rig, prefix: &str, practice: &str, booking: &str) {
    let text = serde_json::to_string(&rig.event(practice, booking, 1)).unwrap();
    let file = rig.file(&format!("{practice}-{booking}.json"), &text);
    operate(rig, prefix, &["send", &file]);
}

/// The practice and the booking of the first results of a fleet, once so many are there.
fn synced(rig: &Rig, prefix: &str, count: &str) -> Vec<(String, String)> {
    let words = ["tail", "appointments.synced", "--from-beginning", "--limit", count];
    let lines = operate(rig, prefix, &words);
    let lines =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["value"]["result"].clone());
    let field = |result: &Value, name: &str| result[name].as_str().unwrap().to_owned();
    let mut found: Vec<_> =
        lines.map(|result| (field(&result, "practice_id"), field(&result, "booking_id"))).collect();
    found.sort();
    found
}

/// Goal: test and production share a cluster, and neither reads, fences or moves what is the other's. Method: two fleets of
/// the same group, application and instance names. Each has all partitions; each syncs its own booking; then every task of one
/// is fenced by a command, and the other goes on. Last, a dead letter of one is tried again by name.
#[test]
fn fleets_under_different_prefixes_share_a_cluster_and_do_not_meet() {
    let mut rig = Rig::open("prefixed", &[]);
    let count = PARTITIONS.to_string();
    for prefix in [BLUE, GREEN] {
        operate(&rig, prefix, &["topics", "--partitions", &count]);
    }
    rig.start_workers_with(&[("kafka.name_prefix", "blue."), ("kafka.group_instance_id", "one")]);
    rig.start_workers_with(&[("kafka.name_prefix", "green."), ("kafka.group_instance_id", "one")]);
    let all = usize::try_from(PARTITIONS).unwrap();
    (0..2).for_each(|worker| rig.wait_live(worker, all));
    let practice = rig.practice(3);
    send(&rig, BLUE, &practice, "blue-1");
    send(&rig, GREEN, &practice, "green-1");
    assert_eq!(synced(&rig, BLUE, "1"), [(practice.clone(), "blue-1".to_owned())]);
    assert_eq!(synced(&rig, GREEN, "1"), [(practice.clone(), "green-1".to_owned())]);
    rig.workers.pop();
    let grown = (PARTITIONS + 2).to_string();
    let repartition = ["repartition", "--partitions", &grown, "--set", GREEN];
    wait_for(LIMIT, || rig.try_to_operate(&repartition).ok()).expect("green's worker is gone");
    send(&rig, BLUE, &practice, "blue-2");
    let both = ["blue-1", "blue-2"].map(|booking| (practice.clone(), booking.to_owned()));
    assert_eq!(synced(&rig, BLUE, "2"), both);
    assert_eq!(rig.live(0), all);
    let log = rig.log(0);
    for trouble in ["\"WARN\"", "\"ERROR\"", "fenced"] {
        assert!(!log.contains(trouble), "blue was disturbed: {log}");
    }
    assert!(operate(&rig, BLUE, &["topics", "--check"]).contains("as required"));
    let differs = rig.operate_in_vain(&["topics", "--check", "--partitions", &count, "--set", GREEN]);
    assert!(differs.contains("failed"), "{differs}");
    let redrive = ["redrive", "--practice", &practice, "--dry-run"];
    assert!(operate(&rig, BLUE, &redrive).contains("0 would be redriven"));
    assert!(operate(&rig, BLUE, &["review", "list"]).len() < 1_000);
}
