//! A real Kafka and a real schema registry for tests, started by `stack/stack.sh` (`make setup` comes first).
//!
//! The stack ends with whoever started it: `stack.sh` holds the read end of a pipe whose write end only this
//! process has, so even a test process that is killed takes its stack along.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{project, scratch};

/// How long a stack may take to answer: longer than `stack.sh`'s own limit, which says more about the cause.
const START_LIMIT: Duration = Duration::from_secs(190);
/// How long it may take to stop: `stack.sh` gives both servers 10 s before it kills them.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// A stack that a test owns, or shares with the others of its binary.
pub struct Stack {
    /// Kafka's address, as `bootstrap.servers` wants it.
    pub brokers: String,
    /// The registry's Confluent-compatible API, without a slash at the end.
    pub registry_url: String,
    /// Kafka's data, the registry's data, `logs/`, `stack.env`. Removed when the stack is dropped.
    pub data: PathBuf,
    supervisor: Child,
}

impl Stack {
    /// Starts a stack of its own, for a test that breaks it.
    ///
    /// # Panics
    /// When it does not answer in time: with the ends of its logs.
    pub fn start() -> Stack {
        Stack::start_with(&[])
    }

    /// The same, with options of `stack.sh run`.
    ///
    /// # Panics
    /// As [`Stack::start`].
    pub fn start_with(options: &[&str]) -> Stack {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("stack-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let data = scratch().join(name);
        // What a killed process with our id may have left.
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(data.join("logs")).expect("a data folder for the stack");

        let mut supervisor = Command::new(script())
            .args(["run", "--remove", "--data"])
            .arg(&data)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(data.join("logs/stack.log")).expect("a log file for the stack"))
            // Ctrl-C is for the tests. The stack follows when its standard input ends.
            .process_group(0)
            .spawn()
            .expect("stack/stack.sh starts");

        let (lines, ready) = mpsc::channel();
        let stdout = supervisor.stdout.take().expect("stdout is piped");
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
        });

        let (brokers, registry_url) = match ready.recv_timeout(START_LIMIT).map(|line| addresses(&line)) {
            Ok(Some(addresses)) => addresses,
            failure => {
                let why = match failure {
                    Ok(_) => "said something else than its addresses",
                    Err(RecvTimeoutError::Timeout) => "did not answer in time",
                    Err(RecvTimeoutError::Disconnected) => "ended before it answered",
                };
                // Its data stay, for whoever looks into it.
                drop(supervisor.stdin.take());
                wait(&mut supervisor, STOP_LIMIT);
                panic!("the local stack {why}\n{}", log_tails(&data));
            }
        };
        Stack { brokers, registry_url, data, supervisor }
    }

    /// One stack for all tests of a binary, which must then keep out of each other's topics. A static is never
    /// dropped: this stack ends when the process does, and removes its data itself.
    pub fn shared() -> &'static Stack {
        static SHARED: OnceLock<Stack> = OnceLock::new();
        SHARED.get_or_init(|| Stack::start_with(&["--proxied"]))
    }

    /// Restarts Kafka on the same port and data, and waits until it answers.
    pub fn restart_kafka(&self) {
        self.restart("restart-kafka", &[]);
    }

    /// Kills Kafka with SIGKILL, starts it again on the same port and data, and waits until it answers.
    pub fn kill_kafka(&self) {
        self.restart("restart-kafka", &["--kill"]);
    }

    /// Has `stack.sh` do `what` (`restart-kafka` or `restart-registry`) with `options`, and waits until that is done.
    pub fn restart(&self, what: &str, options: &[&str]) {
        let status = Command::new(script())
            .args([what, "--data"])
            .arg(&self.data)
            .args(options)
            .status()
            .expect("stack/stack.sh starts");
        assert!(status.success(), "{what} {options:?} failed\n{}", log_tails(&self.data));
    }

    /// A value of `stack.env`.
    pub fn env(&self, name: &str) -> String {
        let env = fs::read_to_string(self.data.join("stack.env")).expect("a running stack has its stack.env");
        let value = env.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name);
        value.unwrap_or_else(|| panic!("no {name} in stack.env")).1.to_owned()
    }

    /// The process ids of the brokers in their order, and last the registry's.
    pub fn server_pids(&self) -> Vec<u32> {
        let env = fs::read_to_string(self.data.join("stack.env")).expect("a running stack has its stack.env");
        env.lines()
            .filter_map(|line| line.split_once("_PID="))
            .filter_map(|(_, pid)| pid.parse().ok())
            .collect()
    }

    /// Kills the process that looks after the stack, as the OOM killer would. Nothing of the stack survives.
    pub fn kill_supervisor(&mut self) {
        self.supervisor.kill().expect("the supervisor can be killed");
        self.supervisor.wait().expect("the supervisor is our child");
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        if wait(&mut self.supervisor, STOP_LIMIT).is_none() {
            // The servers die with it.
            let _ = self.supervisor.kill();
            let _ = self.supervisor.wait();
        }
        // It removed them itself unless it failed; and then only a failing test has a use for the logs.
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.data);
        }
    }
}

fn script() -> PathBuf {
    project("stack/stack.sh")
}

/// Reads `ready kafka=HOST:PORT registry=URL`.
fn addresses(line: &str) -> Option<(String, String)> {
    let (brokers, registry_url) = line.strip_prefix("ready kafka=")?.split_once(" registry=")?;
    Some((brokers.to_owned(), registry_url.to_owned()))
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        let status = child.try_wait().expect("the supervisor is our child");
        if status.is_some() || Instant::now() >= deadline {
            return status;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The last lines of every log of a stack.
fn log_tails(data: &Path) -> String {
    const LINES: usize = 20;
    let mut logs: Vec<PathBuf> = fs::read_dir(data.join("logs"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    logs.sort();
    let tail = |log: &PathBuf| {
        let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        format!("---- {}\n{}\n", log.display(), lines[lines.len().saturating_sub(LINES)..].join("\n"))
    };
    logs.iter().map(tail).collect()
}
