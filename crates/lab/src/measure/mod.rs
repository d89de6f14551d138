//! `demo measure`: whether a promise about time holds, on a real Kafka with real workers. Each measure prints a table and writes
//! `target/measure/NAME.json`: what was sought, what was measured, and whether that is enough.

mod fairness;
mod limits;
mod outage;
mod patients;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use healthflow_testkit::project;

/// Of every topic of a measured fleet.
const PARTITIONS: u32 = 12;
/// How long HealthFlow takes for an answer in good health.
const LATENCY_MS: u64 = 20;

/// What `measure` understands.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: Measure,
    /// Where the numbers and the logs go; default: target/measure of the project.
    #[arg(long, global = true)]
    out: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Measure {
    /// HealthFlow is down for minutes: nothing may be lost or spent, and who books afterwards may not wait for the backlog.
    Outage(outage::Arguments),
    /// One practice publishes thousands of bookings at once: the others may not wait for them.
    Fairness(fairness::Arguments),
    /// A backlog in a few partitions only: how much of the limit the fleet uses, never more, also while Redis or a worker is away.
    Limits(limits::Arguments),
}

/// Measures; good if all that was sought was reached.
pub async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let out = arguments.out.clone().unwrap_or_else(|| project("target/measure"));
    let name = match arguments.what {
        Measure::Outage(_) => "outage",
        Measure::Fairness(_) => "fairness",
        Measure::Limits(_) => "limits",
    };
    let logs = out.join(format!("logs-{name}"));
    // Logs of an earlier run would mislead the reader.
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let report = match &arguments.what {
        Measure::Outage(arguments) => outage::measure(arguments, &out, &logs).await?,
        Measure::Fairness(arguments) => fairness::measure(arguments, &out, &logs).await?,
        Measure::Limits(arguments) => limits::measure(arguments, &out, &logs).await?,
    };
    println!("\n{}", report.text());
    let file = out.join(format!("{name}.json"));
    std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nThe numbers are in {}, the logs in {}", file.display(), logs.display());
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
