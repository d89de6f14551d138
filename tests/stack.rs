//! The local stack itself: it starts, it answers, it comes back, and it leaves nothing behind.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use healthflow_testkit::stack::Stack;
use healthflow_testkit::wait::wait_for;

#[test]
fn starts_answers_restarts_and_leaves_nothing_behind() {
    let stack = Stack::start();
    let registry = authority(&stack.registry_url).to_owned();
    assert!(TcpStream::connect(&stack.brokers).is_ok(), "Kafka answers");
    assert_eq!(get_status(&registry, "/apis/ccompat/v7/subjects"), 200, "the registry answers");

    let before = stack.server_pids();
    stack.kill_kafka();
    assert!(TcpStream::connect(&stack.brokers).is_ok(), "Kafka is back on its port");
    let after = stack.server_pids();
    assert!(
        before[0] != after[0] && before[1] == after[1],
        "only Kafka is another process: {before:?} {after:?}"
    );

    let (brokers, data) = (stack.brokers.clone(), stack.data.clone());
    drop(stack);
    assert!(TcpStream::connect(brokers).is_err(), "Kafka's port is closed");
    assert!(TcpStream::connect(registry).is_err(), "the registry's port is closed");
    assert!(!before.into_iter().chain(after).any(runs), "a server outlived the stack");
    assert!(!data.exists(), "its data were left behind");
}

/// Goal: a stack can have replicas. Method: three brokers, each killed and restarted by its number, and the registry
/// too.
#[test]
fn three_brokers_are_one_cluster_and_come_back_one_by_one() {
    let stack = Stack::start_with(&["--brokers", "3", "--heap", "320m"]);
    let settings = [("kafka.brokers", &stack.brokers), ("schema_registry.url", &stack.registry_url)];
    let settings = settings.map(|(key, value)| format!("{key}={value}"));
    let mut topics = Command::new(env!("CARGO_BIN_EXE_healthflow-sync"));
    let topics = topics.args(["topics", "--set", &settings[0], "--set", &settings[1]]).output();
    let made = String::from_utf8(topics.expect("it runs").stdout).expect("text");
    assert!(made.contains("appointments.synced: created, 12 partitions, 3 replicas"), "{made}");

    let before = stack.server_pids();
    assert_eq!(before.len(), 4, "three brokers and the registry");
    stack.restart("restart-kafka", &["--node", "2", "--kill"]);
    stack.restart("restart-registry", &["--kill"]);
    let after = stack.server_pids();
    let is_same: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
    assert_eq!(is_same, [true, false, true, false]);
    assert_eq!(get_status(authority(&stack.registry_url), "/apis/ccompat/v7/subjects"), 200);
    for broker in stack.brokers.split(',') {
        assert!(TcpStream::connect(broker).is_ok(), "{broker} answers");
    }
}

#[test]
fn nothing_outlives_a_killed_supervisor() {
    let mut stack = Stack::start();
    let pids = stack.server_pids();
    assert!(pids.len() == 2 && pids.iter().all(|&pid| runs(pid)));

    stack.kill_supervisor();
    let gone = wait_for(Duration::from_secs(5), || (!pids.iter().any(|&pid| runs(pid))).then_some(()));
    assert!(gone.is_some(), "a server outlived its supervisor: {pids:?}");
}

fn authority(url: &str) -> &str {
    url.trim_start_matches("http://").split('/').next().expect("split gives at least one part")
}

fn get_status(authority: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect(authority).expect("the port is open");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
}

/// Whether a process runs; a zombie process does not.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
