//! `healthflow-sync accept-topics`: accepts state topics that replaced those to which the state was written.

use std::process::ExitCode;

use anyhow::Context;

use crate::cli::Connection;
use crate::cli::output::Printer;
use crate::kafka::KafkaSettings;
use crate::kafka_admin::topics::Topics;
use crate::kafka_admin::{CommandFault, accept, repartition};

/// The arguments of `accept-topics`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// Do it. Without this flag the command only prints what it would do.
    #[arg(long)]
    pub yes: bool,
}

/// Prints for each task which topics were replaced and where the task will go on, and accepts them if `--yes` is given.
/// Every worker must be stopped.
///
/// # Errors
/// A worker runs, or Kafka or the registry failed.
pub async fn run(
    connection: &Connection,
    kafka: KafkaSettings,
    arguments: Arguments,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let settings = kafka.clone();
    tokio::task::spawn_blocking(move || repartition::check_no_worker_runs(&settings)).await??;
    let topics = Topics::new(&connection.kafka, connection.registry.clone())?;
    let partitions = topics.partition_count().await?;
    let partitions =
        partitions.context("appointments.requested does not exist; run `healthflow-sync topics`")?;
    let translator = connection.translator(&kafka.group_id).await?;
    let work = move || {
        let tasks = accept::compare(&kafka, &translator, partitions)?;
        let accepted = if arguments.yes { Some(accept::accept(&kafka, &translator, &tasks)?) } else { None };
        let lines: Vec<String> = tasks.iter().flat_map(accept::Remembered::lines).collect();
        Ok::<_, CommandFault>((lines, accepted))
    };
    let (lines, accepted) = tokio::task::spawn_blocking(work).await??;
    for line in &lines {
        out.line(line)?;
    }
    let last = match accepted {
        _ if lines.is_empty() => "no topic was replaced".to_owned(),
        Some(accepted) => format!("the state topics of {accepted} tasks are accepted; start the workers"),
        None => "nothing is changed; add --yes to accept these topics".to_owned(),
    };
    out.line(last)?;
    Ok(ExitCode::SUCCESS)
}
