//! `healthflow-sync repartition`: gives every topic more partitions, and moves what is remembered to where it belongs then.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::Connection;
use crate::kafka::topics::Topics;
use crate::kafka::{Avro, KafkaSettings, repartition};

/// What `repartition` understands.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// Partitions of every topic from now on; never fewer than there are. By default as many as
    /// appointments.requested has, for topics that were grown by other means.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
}

/// Does it; one line in `out` for each thing done. Every worker must be stopped.
pub async fn run(
    connection: &Connection,
    kafka: KafkaSettings,
    arguments: Arguments,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let settings = kafka.clone();
    tokio::task::spawn_blocking(move || repartition::check_no_worker_runs(&settings)).await??;
    let topics = Topics::new(&connection.kafka, connection.registry.clone())?;
    let (partitions, lines) = topics.grow(arguments.partitions).await?;
    let avro = Avro::connect(connection.registry.clone(), &kafka.group_id).await?;
    let moved =
        tokio::task::spawn_blocking(move || repartition::move_state(&kafka, &avro, partitions)).await??;
    for line in lines {
        writeln!(out, "{line}").context("cannot write to the output")?;
    }
    writeln!(out, "{moved} records of state moved; start the workers")
        .context("cannot write to the output")?;
    Ok(ExitCode::SUCCESS)
}
