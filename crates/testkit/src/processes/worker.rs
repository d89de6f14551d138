//! A worker, by `healthflow-sync run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use healthflow_core::status::{StatusPage, TaskPhase};

use super::log_reader::LogReader;
use super::{ChildProcess, Messages, StopBy, beside, free_port};

const READY_LIMIT: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(50);
/// How many of the last lines of its log are searched for warnings.
const WARNINGS_FROM_LINES: usize = 1_000;

/// A worker that can be killed and started again.
pub struct Worker {
    /// Its name in the group and of its log.
    pub name: String,
    /// Where its admin server is, with `http://`.
    pub admin_url: String,
    /// Its log.
    pub log: PathBuf,
    arguments: Vec<String>,
    /// What is set in its environment beside what we have in ours.
    environment: Vec<(String, String)>,
    process: Option<ChildProcess>,
    is_read: bool,
    /// Dropped after the worker, so that it reads its last lines.
    log_reader: Option<LogReader>,
    client: reqwest::Client,
}

/// What is read of one line of its log.
#[derive(Deserialize)]
struct Logged {
    level: String,
    message: String,
}

impl Worker {
    /// A worker that is not running yet; `settings` are flags of `healthflow-sync run`.
    pub fn new(name: &str, logs: &Path, settings: &[String]) -> Result<Worker> {
        let admin = format!("127.0.0.1:{}", free_port()?);
        let mut arguments = vec!["run".to_owned()];
        arguments.extend_from_slice(settings);
        arguments.extend(super::set(&[
            ("admin.listen", &admin),
            ("kafka.group_instance_id", name),
            ("log.format", "json"),
        ]));
        Ok(Worker {
            name: name.to_owned(),
            admin_url: format!("http://{admin}"),
            log: logs.join(format!("{name}.log")),
            arguments,
            environment: Vec::new(),
            process: None,
            is_read: false,
            log_reader: None,
            client: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?,
        })
    }

    /// The same, whose log goes through a [`LogReader`].
    pub fn with_log_reader(self) -> Worker {
        Worker { is_read: true, ..self }
    }

    /// Sets variables of its environment from its next start on.
    pub fn set_environment(&mut self, variables: &[(String, String)]) {
        self.environment = variables.to_vec();
    }

    /// The program and its arguments; `env` becomes the program once it has set the environment.
    fn command(&self) -> Result<(PathBuf, Vec<String>)> {
        let program = beside("healthflow-sync")?;
        if self.environment.is_empty() {
            return Ok((program, self.arguments.clone()));
        }
        let variables = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let program = program.display().to_string();
        let arguments = variables.chain([program]).chain(self.arguments.iter().cloned()).collect();
        Ok((PathBuf::from("env"), arguments))
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<()> {
        let (program, arguments) = self.command()?;
        let (name, arguments, log) = (&self.name, &arguments, &self.log);
        // The worker ends before its log reader does.
        (self.process, self.log_reader) = (None, None);
        if self.is_read {
            let (reader, pipe) = LogReader::start(log)?;
            let messages = Messages { log, output: pipe };
            let process =
                ChildProcess::start_logging_to(name, &program, arguments, messages, StopBy::Signal)?;
            self.process = Some(process);
            self.log_reader = Some(reader);
        } else {
            self.process = Some(ChildProcess::start(name, &program, arguments, log, StopBy::Signal)?);
        }
        Ok(())
    }

    /// Kills the reader of its log with SIGKILL. Returns whether there was one.
    pub fn kill_log_reader(&mut self) -> Result<bool> {
        self.log_reader.as_mut().map_or(Ok(false), LogReader::kill)
    }

    /// Waits until it works on something.
    pub async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            self.check()?;
            let works = |StatusPage { status, .. }: StatusPage| {
                !status.tasks.is_empty() && status.tasks.iter().all(|task| task.phase == TaskPhase::Live)
            };
            if self.status().await.is_some_and(works) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "{} is not ready after {} s; see {}",
                    self.name,
                    READY_LIMIT.as_secs(),
                    self.log.display()
                );
            }
            sleep(LOOK).await;
        }
    }

    /// Stops it as an operator would, if it runs, and waits for its end.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// How a person starts it again once it was killed; its settings are worth quoting for no shell.
    pub fn command_line(&self) -> Result<String> {
        Ok(format!("{} {}", beside("healthflow-sync")?.display(), self.arguments.join(" ")))
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => bail!("{} is not running", self.name),
        }
    }

    /// Fails if it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), ChildProcess::check)
    }

    /// Its exit status, once it has ended; it was told to end.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), ChildProcess::ended)
    }

    /// Its process id, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ChildProcess::pid)
    }

    /// Its status page; none if it does not answer.
    pub async fn status(&self) -> Option<StatusPage> {
        status(&self.client, &self.admin_url).await
    }

    /// The last warnings in its log, and how often each came, in one line: they may explain why something waits.
    pub fn warnings(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines = log.lines().rev().take(WARNINGS_FROM_LINES);
        let logged = lines.filter_map(|line| serde_json::from_str::<Logged>(line).ok());
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for one in logged.filter(|one| one.level == "WARN" || one.level == "ERROR") {
            *counts.entry(one.message).or_default() += 1;
        }
        let counts: Vec<String> =
            counts.into_iter().map(|(message, count)| format!("{count} × {message}")).collect();
        counts.join("; ")
    }

    /// What it answers to `path` (`/health/ready`), whatever the status.
    pub async fn page(&self, path: &str) -> Result<String> {
        Ok(self.client.get(format!("{}{path}", self.admin_url)).send().await?.text().await?)
    }

    /// The value of a counter; of one with labels, the sum over all of them.
    pub async fn counter(&self, name: &str) -> Result<f64> {
        let text = self.page("/metrics").await?;
        counter_in(&text, name).with_context(|| format!("{} has no counter {name}", self.name))
    }
}

/// The sum of all series of a counter in Prometheus' text format; none if there is none.
fn counter_in(text: &str, name: &str) -> Option<f64> {
    let value = |line: &str| -> Option<f64> {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit_once(' ')?.1.parse().ok()
    };
    let values: Vec<f64> = text.lines().filter_map(value).collect();
    if values.is_empty() { None } else { Some(values.iter().sum()) }
}

/// The status page of the worker at `admin_url`; none if it does not answer.
pub async fn status(client: &reqwest::Client, admin_url: &str) -> Option<StatusPage> {
    let page = client.get(format!("{admin_url}/status")).send().await.ok()?.bytes().await.ok()?;
    serde_json::from_slice(&page).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_the_sum_of_its_series() {
        let text = "# HELP calls_total All.\ncalls_total{of=\"a b\"} 3\ncalls_total{of=\"c\"} 4\nplain 2\n";
        assert_eq!(counter_in(text, "calls_total"), Some(7.0));
        assert_eq!((counter_in(text, "plain"), counter_in(text, "calls")), (Some(2.0), None));
    }
}
