//! `healthflow-sync repartition`: gives every topic more partitions, and moves the state to where it then belongs.

use std::process::ExitCode;

use serde_json::json;
use tokio::task::block_in_place;

use crate::cli::Connection;
use crate::cli::output::Printer;
use crate::kafka::KafkaSettings;
use crate::kafka_admin::repartition::{Repartition, check_no_worker_runs};
use crate::kafka_admin::topics::Topics;
use healthflow_core::time::Timestamp;

/// The arguments of `repartition`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// Partitions of every topic from now on; never fewer than there are. By default as many as the topic with the most
    /// has, for topics that got partitions by other means.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
}

/// Runs it; writes one line to `out` for each thing done. Every worker must be stopped. If it is interrupted, no worker
/// starts until it is run again. Needs a runtime with several threads.
pub async fn run(
    connection: &Connection,
    kafka: KafkaSettings,
    arguments: Arguments,
    now: Timestamp,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let topics = Topics::new(&connection.kafka, connection.registry.clone())?;
    block_in_place(|| check_no_worker_runs(&kafka))?;
    let growth = topics.before_growth(arguments.partitions).await?;
    let to = growth.to;
    let translator = connection.translator(&kafka.group_id).await?;
    let begin = || Repartition::begin(&kafka, &translator, growth, now);
    let (mut repartition, from) = block_in_place(begin)?;
    out.line(format!("state moves from {from} to {to} partitions; no worker starts until that is done"))?;
    for line in topics.grow(to).await? {
        out.line(line)?;
    }
    let moved = block_in_place(|| {
        let mut report = |line: String| out.line(line);
        let moved = repartition.move_state(&mut report)?;
        repartition.finish().map(|()| moved)
    })?;
    out.item(
        format!("{moved} records of state moved; start the workers"),
        &json!({"records_moved": moved, "from_partitions": from, "to_partitions": to}),
    )?;
    Ok(ExitCode::SUCCESS)
}
