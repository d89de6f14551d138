//! A real Kafka and a real schema registry, started by `stack/stack.sh` (`make setup` comes first): one for all tests
//! of a binary, one of its own for a test that breaks it, one for each run of the lab.
//!
//! The stack ends with the process that started it: `stack.sh` holds the read end of a pipe whose write end only this
//! process has, so that the stack ends even if a test process is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::processes::{ChildProcess, StopBy, run, set};
use crate::{project, scratch};

/// How long a stack may take to answer: longer than `stack.sh`'s own limit, which says more about the cause.
const START_LIMIT: Duration = Duration::from_secs(190);

/// A stack of one owner, or shared by the tests of a binary.
pub struct Stack {
    /// Kafka's address, as `bootstrap.servers` wants it.
    pub brokers: String,
    /// The registry's Confluent-compatible API, without a slash at the end.
    pub registry_url: String,
    /// Kafka's data, the registry's data, `logs/`, `stack.env`. Removed when the stack is dropped.
    pub data: PathBuf,
    /// Locked, because many threads may share a stack.
    supervisor: Mutex<ChildProcess>,
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
        let logs = data.join("logs");
        fs::create_dir_all(&logs).expect("a data folder for the stack");
        let started = supervisor(&data, &logs, options).and_then(|mut supervisor| {
            let ready = supervisor.wait_for_line(START_LIMIT)?;
            Stack::ready(&ready, &data, supervisor)
        });
        // Its data stay, to find the cause.
        started.unwrap_or_else(|why| panic!("{why:#}\n{}", log_tails(&data)))
    }

    /// One stack for all tests of a binary, which must then keep out of each other's topics. A static is never
    /// dropped: this stack ends when the process does, and removes its data itself.
    pub fn shared() -> &'static Stack {
        static SHARED: OnceLock<Stack> = OnceLock::new();
        SHARED.get_or_init(|| Stack::start_with(&["--proxied"]))
    }

    /// Starts one for the lab, with its data in `data` and the log of its supervisor in `logs`.
    pub async fn start_in(data: &Path, logs: &Path, options: &[&str]) -> Result<Stack> {
        // Not in a blocking task: a caller that gives up waiting drops the supervisor, and with it the stack.
        let mut supervisor = supervisor(data, logs, options)?;
        let ready = supervisor.next_line(START_LIMIT).await?;
        Stack::ready(&ready, data, supervisor)
    }

    /// Reads `ready kafka=HOST:PORT registry=URL`.
    fn ready(line: &str, data: &Path, supervisor: ChildProcess) -> Result<Stack> {
        let addresses = line.strip_prefix("ready kafka=").and_then(|rest| rest.split_once(" registry="));
        let (brokers, registry_url) = addresses.context("the local stack did not print its addresses")?;
        let (brokers, registry_url) = (brokers.to_owned(), registry_url.to_owned());
        Ok(Stack { brokers, registry_url, data: data.to_owned(), supervisor: Mutex::new(supervisor) })
    }

    /// Of each broker, where a proxy is to listen and where it is to connect to; for a stack with `--proxied`.
    pub fn proxied(&self) -> Vec<(String, String)> {
        let (listen, connect) = (self.env("PROXY_BROKERS"), self.env("PROXIED_BROKERS"));
        let both = listen.split(',').zip(connect.split(','));
        both.map(|(listen, connect)| (listen.to_owned(), connect.to_owned())).collect()
    }

    /// The flags that point `healthflow-sync` at it.
    pub fn settings(&self) -> Vec<String> {
        set(&[("kafka.brokers", &self.brokers), ("schema_registry.url", &self.registry_url)])
    }

    /// Creates topics and registers schemas by `program`.
    pub async fn create_topics(&self, program: &Path, partitions: u32) -> Result<()> {
        let mut arguments = vec!["topics".to_owned(), "--partitions".to_owned(), partitions.to_string()];
        arguments.extend(self.settings());
        run(program, arguments).await.map(drop)
    }

    /// Kills Kafka with SIGKILL, starts it again on the same port and data, and waits until it answers.
    pub fn kill_kafka(&self) {
        self.restart("restart-kafka", &["--kill"]);
    }

    /// Makes `stack.sh` do `what` (`restart-kafka` or `restart-registry`) with `options`, and waits until that is done.
    ///
    /// # Panics
    /// When it is not done: with the ends of its logs.
    pub fn restart(&self, what: &str, options: &[&str]) {
        let mut command = Command::new(script());
        let status = command.args(self.command(what, options)).status().expect("stack/stack.sh starts");
        assert!(status.success(), "{what} {options:?} failed\n{}", log_tails(&self.data));
    }

    /// Kills broker `node` (from 1 on) with SIGKILL and waits until it answers again.
    pub async fn kill_broker(&self, node: usize) -> Result<()> {
        let arguments = self.command("restart-kafka", &["--kill", "--node", &node.to_string()]);
        run(&script(), arguments).await.map(drop)
    }

    /// Kills the schema registry with SIGKILL and waits until it answers again.
    pub async fn kill_registry(&self) -> Result<()> {
        run(&script(), self.command("restart-registry", &["--kill"])).await.map(drop)
    }

    fn command(&self, what: &str, options: &[&str]) -> Vec<String> {
        let mut arguments = vec![what.to_owned(), "--data".to_owned(), self.data.display().to_string()];
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        arguments
    }

    /// A value of `stack.env`.
    pub fn env(&self, name: &str) -> String {
        let env = self.whole_env();
        let value = env.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name);
        value.unwrap_or_else(|| panic!("no {name} in stack.env")).1.to_owned()
    }

    /// The process ids of the brokers in their order, and last the registry's.
    pub fn server_pids(&self) -> Vec<u32> {
        self.whole_env()
            .lines()
            .filter_map(|line| line.split_once("_PID="))
            .filter_map(|(_, pid)| pid.parse().ok())
            .collect()
    }

    fn whole_env(&self) -> String {
        fs::read_to_string(self.data.join("stack.env")).expect("a running stack has its stack.env")
    }

    /// The logs of its processes: a file for each.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    /// Fails if it has ended.
    pub fn check(&mut self) -> Result<()> {
        self.supervisor().check()
    }

    /// Kills the stack's supervisor, as the OOM killer would. Nothing of the stack survives.
    pub fn kill_supervisor(&mut self) {
        self.supervisor().kill().expect("the supervisor is our child");
    }

    fn supervisor(&mut self) -> &mut ChildProcess {
        self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.supervisor().end();
        // It removes them itself unless it fails; then only a failing test has a use for the logs.
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.data);
        }
    }
}

fn supervisor(data: &Path, logs: &Path, options: &[&str]) -> Result<ChildProcess> {
    let mut arguments = ["run", "--remove", "--data"].map(str::to_owned).to_vec();
    arguments.push(data.display().to_string());
    arguments.extend(options.iter().map(|option| (*option).to_owned()));
    // Ctrl-C is for us. The stack follows when its standard input ends.
    ChildProcess::start("the local stack", &script(), &arguments, &logs.join("stack.log"), StopBy::Input)
}

fn script() -> PathBuf {
    project("stack/stack.sh")
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
