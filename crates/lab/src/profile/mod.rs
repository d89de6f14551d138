//! `demo profile`: where a worker's time goes under the load of the benchmark, by what its threads do. The benchmark says
//! that a change made a booking dearer; this says in which part.
//!
//! Each kind of measurement has bookings of its own, so that none is in another one's numbers: CPU time and context
//! switches with nothing attached, system calls by perf's tracepoints, call stacks by its software clock (a virtual machine
//! has no other), allocations by a counter that is loaded into a fresh worker.

mod allocations;
mod flamegraphs;
mod perf;
mod syscalls;
mod table;
mod threads;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::bench::machine;
use crate::bench::rig::{Ground, Plan, Rig};
use healthflow_testkit::project;
use table::Profile;

/// What `profile` understands.
#[derive(clap::Args)]
pub struct Arguments {
    /// Bookings of each measurement, all at once.
    #[arg(long, default_value_t = 20_000)]
    bookings: usize,
    /// Let them come at this rate a second instead, for as long as --seconds.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rate: Option<u32>,
    /// How long each measurement takes at a rate.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=300))]
    seconds: u32,
    /// Calls at the same time.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Partitions of every topic, each a task with transactions of its own.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=200))]
    partitions: u32,
    /// How long HealthFlow takes, in milliseconds.
    #[arg(long, default_value_t = 20)]
    latency_ms: u64,
    /// The compiled stack/count_allocations.c.
    #[arg(long)]
    allocation_counter: PathBuf,
    /// The folder with inferno-collapse-perf and inferno-flamegraph.
    #[arg(long)]
    inferno: PathBuf,
    /// Where profile.md, the flamegraphs and the logs go; default: target/profile of the project.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Profiles.
pub async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let count = match arguments.rate {
        None => arguments.bookings,
        Some(rate) => (rate * arguments.seconds) as usize,
    };
    ensure!(count >= 100, "a profile needs 100 bookings or more, and these are {count}");
    let out = arguments.out.clone().unwrap_or_else(|| project("target/profile"));
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let machine = machine::describe();
    println!("Starting a Kafka, a registry and a HealthFlow of its own");
    let plan = Plan {
        name: "profile".to_owned(),
        out: &out,
        partitions: arguments.partitions,
        latency_ms: arguments.latency_ms,
        bookings: 5 * count,
        in_flight: Some(arguments.in_flight),
    };
    let mut rig = Rig::on(Ground::start(&plan).await?).await?;
    rig.worker.start()?;
    rig.introduce().await?;
    let rate = arguments.rate.map(f64::from);
    let profile = measure(arguments, &mut rig, count, rate, &out).await?;
    drop(rig);

    let load = rate.map_or("all at once".to_owned(), |rate| format!("{rate} a second"));
    let (in_flight, partitions) = (arguments.in_flight, arguments.partitions);
    let text = format!(
        "`make profile`: {count} bookings, {load}, {in_flight} in flight, {partitions} partitions, on {machine}\n\n{}",
        profile.text()
    );
    println!("\n{text}");
    let file = out.join("profile.md");
    fs::write(&file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nThese tables are in {}, and beside it a flamegraph for each kind of thread", file.display());
    Ok(ExitCode::SUCCESS)
}

async fn measure(
    arguments: &Arguments,
    rig: &mut Rig,
    count: usize,
    rate: Option<f64>,
    out: &Path,
) -> Result<Profile> {
    println!("  {count} with nothing attached: CPU time and context switches");
    let pid = rig.pid()?;
    let before = threads::Counts::take(pid)?;
    work(rig, count, rate).await?;
    let used = before.until(&threads::Counts::take(pid)?);

    println!("  {count} with tracepoints: system calls");
    let perf = syscalls::start(pid, out);
    work(rig, count, rate).await?;
    let syscalls = perf.and_then(syscalls::finish);

    println!("  {count} with samples of their stacks: flamegraphs");
    let perf = flamegraphs::start(pid, out);
    work(rig, count, rate).await?;
    let flamegraphs = perf.and_then(|perf| flamegraphs::finish(perf, &arguments.inferno, out));

    println!("  {count} in a fresh worker that counts its allocations");
    let counts = out.join("allocations");
    let _ = fs::remove_file(&counts);
    rig.worker.kill()?;
    rig.worker.set_environment(&allocations::environment(&arguments.allocation_counter, &counts));
    rig.worker.start()?;
    rig.worker.ready().await?;
    work(rig, count, None).await?;
    let pid = rig.pid()?;
    let before = allocations::take(pid, &counts)?;
    work(rig, count, rate).await?;
    let allocations = allocations::take(pid, &counts)?.since(&before);
    Ok(Profile { bookings: count, used, syscalls, flamegraphs, allocations })
}

/// Lets the worker do so many bookings.
async fn work(rig: &mut Rig, count: usize, rate: Option<f64>) -> Result<()> {
    rig.publish(count, rate).await?;
    rig.until(count).await?;
    rig.expect_created(count)
}
