//! The whole of it in small, as a user sees it: the real programs, a real Kafka and registry, a HealthFlow that fails,
//! a worker that is killed, and an audit that must find nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use healthflow_testkit::wait::wait_for;

/// Each of these keeps a small machine busy for itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder for the run");
    folder
}

fn demo(arguments: &[&str], out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(arguments).arg("--out").arg(out).stdin(Stdio::null());
    command
}

fn text_of(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn numbers(file: &Path) -> Value {
    let text = fs::read_to_string(file).expect("the numbers were written");
    serde_json::from_str(&text).expect("the numbers are JSON")
}

/// Goal: every promise holds while things break. Method: the demo with 20 practices and 300 bookings, and its audit.
fn a_small_morning_is_clean(guard: &str) {
    let _alone = alone();
    let out = folder(guard);
    let arguments = ["run", "--practices", "20", "--bookings", "300", "--guard", guard];
    let output = demo(&arguments, &out).output().expect("the demo runs");
    assert!(output.status.success(), "{} (logs in {})", text_of(&output), out.display());
    let audit = numbers(&out.join("audit.json"));
    for key in [
        "waiting",
        "review",
        "open_reviews",
        "duplicate_appointments",
        "duplicate_patients",
        "orphans",
        "missing",
        "duplicate_results",
        "wrong_content",
        "wrong_outcome",
    ] {
        assert_eq!(audit[key], 0, "{key}: {audit}");
    }
    assert!(audit["asked"].as_u64() >= Some(300) && audit["synced"].as_u64() > Some(280), "{audit}");
    assert_eq!(audit["failed"], 9, "eight poisoned records, and what a person rejected: {audit}");
    let reviews = json!({"asked": 5, "linked": 1, "new": 1, "rejected": 1, "by_newer_version": 2});
    assert_eq!(audit["reviews"], reviews, "{audit}");
    assert!(audit["confirm_seconds_p50"].as_f64() > Some(0.0), "{audit}");
    assert!(audit["confirm_seconds_p99"].as_f64() >= audit["confirm_seconds_p50"].as_f64(), "{audit}");
    assert!(audit["writes_unanswered"].as_u64() > Some(0), "nothing was broken: {audit}");
    assert!(text_of(&output).contains("The trace of one booking that was hit"), "{}", text_of(&output));
    fs::remove_dir_all(&out).expect("nothing runs in there any more");
}

#[test]
fn a_small_morning_is_clean_where_healthflow_honours_idempotency_keys() {
    a_small_morning_is_clean("idempotency_key");
}

#[test]
fn a_small_morning_is_clean_where_healthflow_can_only_be_searched() {
    a_small_morning_is_clean("reference");
}

#[test]
fn an_interrupted_demo_leaves_no_process_behind() {
    let _alone = alone();
    let out = folder("interrupted");
    let mut child = demo(&["run", "--bookings", "300", "--no-chaos"], &out)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    // The test reads it to its end: no process may get a broken pipe.
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let works = lines.any(|line| line.starts_with("worker-2 works"));
    assert!(works, "worker-2 did not get to work; logs in {}", out.display());
    let descendants = descendants(child.id());
    // Two workers, the simulator, and the stack with Kafka and the registry.
    assert!(descendants.len() >= 6, "{descendants:?}");

    let pid = Pid::from_raw(child.id().cast_signed()).expect("a child has an id");
    kill_process(pid, Signal::INT).expect("it can be interrupted");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    drop(lines);
    let gone = || (!descendants.iter().any(|pid| runs(*pid))).then_some(());
    assert!(wait_for(Duration::from_secs(5), gone).is_some(), "of {descendants:?} some were left behind");
    fs::remove_dir_all(&out).expect("nothing runs in there any more");
}

#[test]
fn the_benchmark_fills_its_table() {
    let _alone = alone();
    let out = folder("bench");
    let text = "bench --bookings 400 --in-flight 8 --latency-ms 5 --paced-s 1 --rates 50 --rate-s 4";
    let arguments: Vec<&str> = text.split(' ').collect();
    let output = demo(&arguments, &out).output().expect("the benchmark runs");
    assert!(output.status.success(), "{}", text_of(&output));
    let bench = numbers(&out.join("bench.json"));
    let rows = bench["rows"].as_array().expect("there are rows");
    let [backlog, fixed] = &rows[..] else { panic!("a row of 8 in flight and one of 50 a second: {bench}") };
    assert_eq!((&backlog["in_flight"], &backlog["rate_in"]), (&json!(8), &Value::Null), "{bench}");
    assert_eq!((&fixed["in_flight"], &fixed["rate_in"]), (&json!(64), &json!(50)), "{bench}");
    for key in [
        "bookings_per_second",
        "cpu_seconds_per_1000",
        "broker_cpu_seconds_per_1000",
        "transactions_per_1000",
        "peak_rss_mb",
        "visible_ms_p50",
        "visible_ms_p99",
        "confirm_ms_p50",
        "confirm_ms_p99",
    ] {
        assert!(rows.iter().all(|row| row[key].as_f64() > Some(0.0)), "{key}: {bench}");
    }
    for key in ["percent_of_nominal", "percent_of_bare_loop", "bare_loop_per_second"] {
        assert!(backlog[key].as_f64() > Some(0.0), "{key}: {bench}");
    }
    let calls = fixed["calls_per_1000"].as_f64().expect("calls were counted");
    assert!((1_000.0..1_500.0).contains(&calls), "one call each, since every patient is known: {bench}");
    assert_eq!(fixed["visible_samples"], 200, "four seconds at 50: {bench}");
    assert!(fixed["visible_ms_p50"].as_f64() >= Some(5.0), "HealthFlow alone takes 5 ms: {bench}");
    let tables = fs::read_to_string(out.join("bench.md")).expect("the tables were written");
    assert!(tables.contains("| 8 | ") && tables.contains("| 50 | "), "{tables}");
    fs::remove_dir_all(&out).expect("nothing runs in there any more");
}

/// Every process that descends from `ancestor` and runs now.
fn descendants(ancestor: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("Linux has /proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut found = vec![ancestor];
    let mut next = 0;
    while next < found.len() {
        let children = parents.iter().filter(|(_, parent)| *parent == found[next]).map(|(pid, _)| *pid);
        let children: Vec<u32> = children.collect();
        found.extend(children);
        next += 1;
    }
    found.split_off(1)
}

fn stat(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

/// Whether a process runs; a zombie process does not.
fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|rest| !rest.starts_with(['Z', 'X']))
}
