//! `healthflow-sync topics`: prepares Kafka and the registry for workers, or prints what is missing.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::Connection;
use crate::cli::output::Printer;
use crate::config::Config;
use crate::kafka_admin::topics::{Difference, TopicSpec, Topics};

/// The arguments of `topics`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// Partitions of every topic; by default as many as appointments.requested has, 12 if there is none.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// Replicas of every topic; by default 3, or as many as there are brokers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub replication: Option<i32>,
    /// Change nothing; print what differs and fail if anything does.
    #[arg(long)]
    pub check: bool,
}

/// Runs it; writes one line to `out` for each thing done or, with `--check`, for each difference; a difference makes it fail.
pub async fn run(
    connection: &Connection,
    arguments: Arguments,
    config: &Config,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let topics = Topics::new(&connection.kafka, connection.registry.clone())?;
    let Arguments { partitions, replication, .. } = arguments;
    let required = TopicSpec { partitions, replication, ..topic_spec(config) };
    if arguments.check {
        let found = topics.check(required).await?;
        for difference in &found {
            let Difference { topic, what, remedy } = difference;
            out.item(difference, &json!({"topic": topic, "difference": what, "remedy": remedy.to_string()}))?;
        }
        if found.is_empty() {
            out.line("topics and schemas are as required")?;
        }
        return Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let done = topics.create(required).await?;
    done.iter().try_for_each(|line| out.line(line))?;
    if done.is_empty() {
        out.line("nothing to do, topics and schemas are as required")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What `config` requires of the topics.
pub fn topic_spec(config: &Config) -> TopicSpec {
    let keep_days = Some(config.worker.keep_days).filter(|days| *days > 0);
    let record_bytes_max = config.kafka.record_bytes_max as usize;
    TopicSpec { keep_days, record_bytes_max, ..TopicSpec::default() }
}
