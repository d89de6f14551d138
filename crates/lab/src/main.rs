//! The demo: DentScheduler's stand-in, the screen, the audit, and the benchmark. It starts the other programs itself
//! and talks to them only over Kafka and HTTP: without it no one could watch the promise being kept.

mod audit;
mod bench;
mod planned_faults;
mod dentscheduler;
mod front_desk;
mod journal;
mod healthflow;
mod workload;

mod fleet;
mod measure;
mod poison;
mod profile;
mod run;
mod screen;
mod trace;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Shows healthflow-sync at work, and measures it.
#[derive(Parser)]
#[command(name = "demo", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A Monday morning of bookings, two workers, failures, an audit.
    Run(run::Arguments),
    /// Bookings a second, CPU, memory, confirmation.
    Bench(bench::Arguments),
    /// Where the worker's time goes: flamegraphs, system calls, allocations.
    Profile(profile::Arguments),
    /// Minutes of bookings while everything breaks, and an independent audit.
    Torture(torture::Arguments),
    /// Whether one bad record of a hundred slows the others, kind by kind.
    Poison(poison::Arguments),
    /// Whether a promise about time holds: outages, fairness.
    Measure(measure::Arguments),
    /// The benchmark's baseline: the same requests without Kafka.
    #[command(hide = true)]
    BareLoop(bench::bare_loop::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let work = async {
        match &cli.command {
            Command::Run(arguments) => run::run(arguments).await,
            Command::Bench(arguments) => bench::run(arguments).await,
            Command::Profile(arguments) => profile::run(arguments).await,
            Command::Torture(arguments) => torture::run(arguments).await,
            Command::Poison(arguments) => poison::run(arguments).await,
            Command::Measure(arguments) => measure::run(arguments).await,
            Command::BareLoop(arguments) => bench::bare_loop::run(arguments).await,
        }
    };
    // Dropping the future stops what the work started.
    let ended = tokio::select! {
        ended = work => ended,
        interrupted = interrupted() => interrupted,
    };
    ended.unwrap_or_else(|error| {
        eprintln!("demo: {error:#}");
        ExitCode::FAILURE
    })
}

/// Returns at the first SIGINT or SIGTERM.
async fn interrupted() -> anyhow::Result<ExitCode> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let status = tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    eprintln!("\ndemo: stopping everything that was started");
    Ok(ExitCode::from(status))
}
