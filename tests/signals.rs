//! A worker before it has begun to work: how it is stopped, and what it asks of the system.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A worker that is stopped, whatever becomes of its test.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A worker whose start waits for a server at `address`, and what it logged until then; few files may be open until it raises that limit itself.
fn waiting_for(address: &str) -> (Worker, Vec<String>) {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 200 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_healthflow-sync")]);
    command.args(["run", "--set=admin.listen=127.0.0.1:0", "--set=schema_registry.timeout_ms=1000"]);
    command.arg(format!("--set=kafka.brokers={address}"));
    command.arg(format!("--set=schema_registry.url=http://{address}"));
    let mut worker = Worker(command.stderr(Stdio::piped()).spawn().expect("the program starts"));
    let log = worker.0.stderr.take().expect("its log is ours to read");
    let mut logged = Vec::new();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        logged.push(line);
        if logged.last().is_some_and(|line| line.contains("the start waits")) {
            return (worker, logged);
        }
    }
    panic!("the worker does not wait for {address}: {logged:?}");
}

/// The exit status of a worker that gets the signal while its start waits for a server at `address`.
fn stopped_while_it_waits_for(address: &str) -> Option<i32> {
    let (mut worker, _) = waiting_for(address);
    let pid = Pid::from_raw(worker.0.id().cast_signed()).expect("it has a process id");
    kill_process(pid, Signal::TERM).expect("it still runs");
    // It ends: the test run's own limit is the limit here, and `Drop` stops it in any case.
    worker.0.wait().expect("it ends").code()
}

/// Goal: SIGTERM ends a worker with status 0, as documented, also while it waits for Kafka and the registry. Method:
/// no server listens there, or one that never answers.
#[test]
fn a_worker_that_is_stopped_before_it_has_joined_ends_well() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("an address").to_string();
    std::thread::scope(|scope| {
        let both = [silent.as_str(), "127.0.0.1:1"].map(|at| scope.spawn(|| stopped_while_it_waits_for(at)));
        assert_eq!(both.map(|one| one.join().expect("no panic")), [Some(0); 2]);
    });
}

/// Goal: the usual soft limit of open files does not hold a worker back that may raise it.
#[test]
fn a_worker_raises_its_limit_of_open_files() {
    let (worker, _) = waiting_for("127.0.0.1:1");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.0.id())).expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line for files");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard limit: {line}");
    assert_ne!(words[3], "200", "{line}");
}

/// Goal: the first line answers what an operator asks first, and a start that waits says for what and why.
#[test]
fn a_start_says_who_starts_and_what_it_waits_for() {
    let (_worker, logged) = waiting_for("127.0.0.1:1");
    let first = logged.iter().find(|line| line.contains("the worker starts")).expect("it says who starts");
    let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
    for shown in [
        version,
        "brokers=\"127.0.0.1:1\"",
        "registry=\"http://127.0.0.1:1\"",
        "healthflow=\"http://127.0.0.1:8089\"",
        "guard=\"reference\"",
        "requests_per_second=100.0",
        "group=\"healthflow-sync\"",
        "instance=\"",
    ] {
        assert!(first.contains(shown), "{shown}: {first}");
    }
    let waits = logged.last().expect("a line");
    assert!(waits.contains("127.0.0.1:1, refuses the connection"), "{waits}");
}
