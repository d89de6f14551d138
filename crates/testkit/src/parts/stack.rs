//! Apache Kafka and the schema registry, by `stack/stack.sh`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Leash, Part, run};
use crate::project;

/// Longer than the script's own limit, which says more about the cause.
const START_LIMIT: Duration = Duration::from_secs(190);

/// A stack of our own.
pub struct Stack {
    /// `bootstrap.servers`.
    pub brokers: String,
    /// Base URL of the registry's Confluent API.
    pub registry_url: String,
    data: PathBuf,
    part: Part,
}

impl Stack {
    /// Starts one with its data in `data`, which it removes in the end.
    pub async fn start(data: &Path, logs: &Path, options: &[&str]) -> Result<Stack> {
        let mut arguments = vec!["run".to_owned(), "--data".to_owned(), data.display().to_string()];
        arguments.push("--remove".to_owned());
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        let script = project("stack/stack.sh");
        let log = logs.join("stack.log");
        let mut part = Part::start("the local stack", &script, &arguments, &log, Leash::Input)?;
        let line = part.next_line(START_LIMIT).await?;
        let addresses = line.strip_prefix("ready kafka=").and_then(|rest| rest.split_once(" registry="));
        let (brokers, registry_url) = addresses.context("the local stack did not say its addresses")?;
        let (brokers, registry_url) = (brokers.to_owned(), registry_url.to_owned());
        Ok(Stack { brokers, registry_url, data: data.to_owned(), part })
    }

    /// Of each broker, where a proxy is to listen and where it is to connect to; for a stack with `--proxied`.
    pub fn proxied(&self) -> Result<Vec<(String, String)>> {
        let env =
            std::fs::read_to_string(self.data.join("stack.env")).context("the stack has no stack.env")?;
        let value = |name| env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let (listen, connect) = (value("PROXY_BROKERS"), value("PROXIED_BROKERS"));
        let (listen, connect) = listen.zip(connect).context("the stack was not started with --proxied")?;
        let both = listen.split(',').zip(connect.split(','));
        Ok(both.map(|(listen, connect)| (listen.to_owned(), connect.to_owned())).collect())
    }

    /// Creates topics and registers schemas.
    pub async fn create_topics(&self, program: &Path, partitions: u32) -> Result<()> {
        let mut arguments = vec!["topics".to_owned(), "--partitions".to_owned(), partitions.to_string()];
        arguments.extend(self.settings());
        run(program, arguments).await.map(drop)
    }

    /// Kills broker `node` (from 1 on) with SIGKILL and waits until it answers again.
    pub async fn kill_kafka(&self, node: usize) -> Result<()> {
        self.restart("restart-kafka", &["--node", &node.to_string()]).await
    }

    /// Kills the schema registry with SIGKILL and waits until it answers again.
    pub async fn kill_registry(&self) -> Result<()> {
        self.restart("restart-registry", &[]).await
    }

    async fn restart(&self, what: &str, options: &[&str]) -> Result<()> {
        let mut arguments = [what, "--kill", "--data"].map(str::to_owned).to_vec();
        arguments.push(self.data.display().to_string());
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        run(&project("stack/stack.sh"), arguments).await.map(drop)
    }

    /// What its processes say: a file for each.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    /// How `healthflow-sync` is told where it is.
    pub fn settings(&self) -> Vec<String> {
        set(&[("kafka.brokers", &self.brokers), ("schema_registry.url", &self.registry_url)])
    }

    /// Fails if it has ended.
    pub fn check(&mut self) -> Result<()> {
        self.part.check()
    }
}

/// `--set` flags.
pub fn set(values: &[(&str, &str)]) -> Vec<String> {
    values.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]).collect()
}
