//! `healthflow-sync takeover`: hands the state of another fleet over to the configured one.

use std::process::ExitCode;

use tokio::task::block_in_place;

use crate::cli::Connection;
use crate::cli::output::Printer;
use crate::kafka::KafkaSettings;
use crate::kafka_admin::takeover::take_over;
use crate::kafka_admin::topics::Topics;
use healthflow_core::state::Owner;
use healthflow_core::time::Timestamp;

/// The arguments of `takeover`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// `kafka.application` of the fleet that owns the state.
    #[arg(long, value_name = "NAME")]
    pub from_application: String,
    /// Its `kafka.group_id`.
    #[arg(long, value_name = "NAME")]
    pub from_group: String,
}

/// Runs it; writes one line to `out` for each thing done. Every worker of both fleets must be stopped. If it is interrupted,
/// no worker of either starts until it is run again. Needs a runtime with several threads.
pub async fn run(
    connection: &Connection,
    kafka: KafkaSettings,
    arguments: &Arguments,
    now: Timestamp,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let topics = Topics::new(&connection.kafka, connection.registry.clone())?;
    let partitions = topics.before_growth(None).await?.to;
    let translator = connection.translator(&kafka.group_id).await?;
    let from = Owner {
        application: arguments.from_application.as_str().into(),
        group_id: arguments.from_group.as_str().into(),
    };
    let mut report = |line: String| out.line(line);
    block_in_place(|| take_over(&kafka, &translator, &from, partitions, now, &mut report))?;
    out.line(format!("the state belongs to {} now; start its workers", kafka.owner()))?;
    Ok(ExitCode::SUCCESS)
}
