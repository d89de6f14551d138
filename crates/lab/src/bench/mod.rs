//! `demo bench`: one worker on a real Kafka against a HealthFlow that takes a fixed time, measured where DentScheduler
//! sees the results. Without numbers from the same run of the same machine, "fast" would be an opinion.

pub mod backlog;
pub mod bare_loop;
pub mod fixed_rate;
pub mod load;
pub mod machine;
pub mod process;
mod restore;
pub mod rig;
pub mod row;
mod used;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use self::restore::Restore;
use self::row::Row;
use healthflow_testkit::project;

/// What `bench` understands.
#[derive(clap::Args)]
pub struct Arguments {
    /// Bookings that are published before the worker starts.
    #[arg(long, default_value_t = 20_000)]
    bookings: usize,
    /// Calls at the same time, with nothing else set; a row for each, none: no such rows.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_values_t = [64, 256])]
    in_flight: Vec<usize>,
    /// Bookings a second, with the defaults; a row for each, none: no such rows.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_values_t = [30, 120, 600])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rates: Vec<u32>,
    /// How long each of these rates is measured, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    rate_s: u64,
    /// Partitions of every topic, each a task with transactions of its own.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=200))]
    partitions: u32,
    /// How long HealthFlow takes, in milliseconds.
    #[arg(long, default_value_t = 20)]
    latency_ms: u64,
    /// How long bookings come at half the speed, for the confirmation times, in seconds.
    #[arg(long, default_value_t = 15)]
    paced_s: u64,
    /// Where bench.json, bench.md and the logs go; default: target/bench of the project.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    bookings: usize,
    latency_ms: u64,
    partitions: u32,
    cores: usize,
    machine: &'a str,
    rows: &'a [Row],
}

/// Measures.
pub async fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(arguments.bookings >= 100, "--bookings must be 100 or more");
    let out = arguments.out.clone().unwrap_or_else(|| project("target/bench"));
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let machine = machine::describe();
    let mut rows = Vec::new();
    for in_flight in &arguments.in_flight {
        println!("{in_flight} in flight: starting a Kafka, a registry and a HealthFlow of its own");
        rows.push(backlog::measure(arguments, *in_flight, &out).await?);
    }
    if !arguments.rates.is_empty() {
        println!("Fixed rates: starting a Kafka, a registry and a HealthFlow of their own");
        rows.extend(fixed_rate::measure(arguments, &out).await?);
    }
    let text = text(&machine, &rows);
    println!("\n{text}");
    let report = Report {
        bookings: arguments.bookings,
        latency_ms: arguments.latency_ms,
        partitions: arguments.partitions,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        machine: &machine,
        rows: &rows,
    };
    let json = serde_json::to_string_pretty(&report)?;
    for (name, content) in [("bench.json", json), ("bench.md", text)] {
        let file = out.join(name);
        std::fs::write(&file, content + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    println!("\nThe numbers are in {0}/bench.json, these tables in {0}/bench.md", out.display());
    Ok(ExitCode::SUCCESS)
}

/// What a person reads: by what command, on what, and the tables.
fn text(machine: &str, rows: &[Row]) -> String {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let mut text = format!("`demo {}`, {machine}\n\n{}", command.join(" "), row::tables(rows));
    for row in rows {
        let Some(Restore { records, seconds, records_per_cpu_second }) = row.restore else { continue };
        text += &format!(
            "\n\nKilled and started again at {}: {records:.0} records of state, {records_per_cpu_second:.0} per \
             CPU s, every task live after {seconds:.1} s",
            row.name()
        );
    }
    text
}
