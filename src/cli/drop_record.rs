//! `healthflow-sync drop-record`: removes a record of a state topic that no worker can use, so that its task can go
//! live.

use std::process::ExitCode;

use anyhow::bail;

use crate::cli::Connection;
use crate::cli::output::Printer;
use crate::kafka::{KafkaSettings, RecordName};
use crate::kafka_admin::stray::{self, Stray};
use healthflow_core::topics::{APPOINTMENT_STATE, PATIENT_STATE};

/// The arguments of `drop-record`: the position of the record, as the worker's log names it.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// patients.state or appointments.state, without `kafka.name_prefix`.
    #[arg(long)]
    pub topic: String,
    /// The partition, which is the number of the task.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: i32,
    /// The offset.
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
    pub offset: i64,
    /// Remove nothing; print what would be removed.
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs it; first writes to `out` what it will remove, by sizes and first bytes only.
///
/// # Errors
/// There is no such record, a worker can use it, or Kafka or the registry failed.
pub async fn run(
    connection: &Connection,
    kafka: KafkaSettings,
    arguments: Arguments,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let Some(topic) = [PATIENT_STATE, APPOINTMENT_STATE].into_iter().find(|topic| *topic == arguments.topic)
    else {
        bail!("--topic must be {PATIENT_STATE} or {APPOINTMENT_STATE}; nothing else stops a task");
    };
    let record = RecordName { topic, partition: arguments.partition, offset: arguments.offset };
    let translator = connection.translator(&kafka.group_id).await?;
    let (settings, reader) = (kafka.clone(), translator.clone());
    let found = tokio::task::spawn_blocking(move || stray::find(&settings, &reader, record)).await??;
    for line in lines(record, &found) {
        out.line(line)?;
    }
    if !arguments.dry_run {
        tokio::task::spawn_blocking(move || stray::remove(&kafka, &translator, record)).await??;
        out.line("removed; its worker acquires the task again by itself")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(record: RecordName, stray: &Stray) -> [String; 2] {
    let Stray { why, key_bytes, value_bytes, head, before, .. } = stray;
    let what = format!(
        "{record}: {value_bytes} bytes that begin with {head}, under a key of {key_bytes} bytes; \
         {why}"
    );
    let then = match before {
        Some(before) => format!("record {before}, which was under its key before, takes its place again"),
        None => "no usable record was under its key before; if that is the key of a booking or a patient, compare it with \
                 HealthFlow"
            .to_owned(),
    };
    [what, then]
}
