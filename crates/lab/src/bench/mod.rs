//! `demo bench`: one worker on a real Kafka against a HealthFlow that takes a fixed time, measured where DentScheduler
//! sees the results. Without numbers from the same run of the same machine, "fast" would be an opinion.

pub mod bare_loop;
mod load;
mod process;
mod restore;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use healthflow_core::event::result::ResultOutcome;
use healthflow_core::time::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use self::load::Load;
use self::restore::Restore;
use crate::audit::seconds;
use crate::dentscheduler::listener::Listener;
use crate::dentscheduler::now;
use crate::dentscheduler::publisher::Publisher;
use crate::healthflow::HealthFlow;
use crate::journal::{Journal, Notes};
use healthflow_testkit::processes::simulator::{self, Simulator};
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::processes::{beside, set};
use healthflow_testkit::project;
use healthflow_testkit::stack::Stack;

const DAY_MS: i64 = 86_400_000;
/// How often to look how far it is; short against the seconds that are measured.
const LOOK: Duration = Duration::from_millis(10);
/// How long one phase may take.
const LIMIT: Duration = Duration::from_secs(300);
/// The paced load, as a share of what was reached.
const PACE: f64 = 0.5;

/// What `bench` understands.
#[derive(clap::Args)]
pub struct Arguments {
    /// Bookings that are published before the worker starts.
    #[arg(long, default_value_t = 20_000)]
    bookings: usize,
    /// Calls at the same time; a row for each.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256])]
    in_flight: Vec<usize>,
    /// Partitions of every topic, each a task with transactions of its own.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=200))]
    partitions: u32,
    /// How long HealthFlow takes, in milliseconds.
    #[arg(long, default_value_t = 20)]
    latency_ms: u64,
    /// How long bookings come at half the speed, for the confirmation times, in seconds.
    #[arg(long, default_value_t = 15)]
    paced_s: u64,
    /// Where bench.json and the logs go; default: target/bench of the project.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What was measured at one concurrency.
#[derive(Clone, Debug, Serialize)]
struct Row {
    in_flight: usize,
    bookings_per_second: f64,
    percent_of_nominal: f64,
    percent_of_bare_loop: f64,
    bare_loop_per_second: f64,
    cpu_seconds_per_1000: f64,
    peak_rss_mb: f64,
    confirm_ms_p50: f64,
    confirm_ms_p99: f64,
    paced_per_second: f64,
    /// CPU seconds per 1,000 bookings, by what the worker's threads do.
    cpu_by_threads: BTreeMap<&'static str, f64>,
    restore: Restore,
}

#[derive(Serialize)]
struct Report<'a> {
    bookings: usize,
    latency_ms: u64,
    partitions: u32,
    cores: usize,
    rows: &'a [Row],
}

/// Measures.
pub async fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(arguments.bookings >= 100, "--bookings must be 100 or more");
    let out = arguments.out.clone().unwrap_or_else(|| project("target/bench"));
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut rows = Vec::new();
    for in_flight in &arguments.in_flight {
        println!("{in_flight} in flight: starting a Kafka, a registry and a HealthFlow of its own");
        rows.push(measure(arguments, *in_flight, &out).await?);
    }
    println!("\n{}", table(&rows));
    for row in &rows {
        let parts: Vec<String> =
            row.cpu_by_threads.iter().map(|(name, seconds)| format!("{name} {seconds:.3}")).collect();
        println!("\nCPU s per 1,000 at {} in flight: {}", row.in_flight, parts.join(", "));
        let Restore { records, seconds, records_per_cpu_second } = row.restore;
        println!(
            "Killed and started again: {records:.0} records of state, {records_per_cpu_second:.0} per CPU s, \
             every task live after {seconds:.1} s"
        );
    }
    let report = Report {
        bookings: arguments.bookings,
        latency_ms: arguments.latency_ms,
        partitions: arguments.partitions,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        rows: &rows,
    };
    let file = out.join("bench.json");
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(&file, json + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nThe numbers are in {}", file.display());
    Ok(ExitCode::SUCCESS)
}

async fn measure(arguments: &Arguments, in_flight: usize, out: &Path) -> Result<Row> {
    let logs = out.join(format!("logs-{in_flight}"));
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs)?;
    let data = out.join(format!("stack-{}-{in_flight}", std::process::id()));
    let flags = ["--latency-ms".to_owned(), arguments.latency_ms.to_string()];
    let (stack, simulator) = tokio::join!(
        Stack::start_in(&data, &logs, &["--full-jit", "--heap", "1g"]),
        Simulator::start(&logs, &flags)
    );
    let (stack, simulator) = (stack?, simulator?);
    stack.create_topics(&beside("healthflow-sync")?, arguments.partitions).await?;
    let load = Load::new(arguments.bookings, Timestamp((now().0 / DAY_MS + 7) * DAY_MS));
    let chart_ids = HealthFlow::new(&simulator.url)?.seed(&load.charts).await?;

    let count = arguments.bookings;
    println!("  the bare loop: {count} requests without Kafka");
    let requests = load.requests(5_000_000, 5_000_000 + count, &chart_ids, now())?;
    let file = out.join("requests.json");
    let bare_loop_per_second = bare_loop::measure(&simulator.url, in_flight, requests, &file).await?;

    println!("  {count} bookings are published, then a worker starts");
    let journal = Arc::new(Journal::default());
    let publisher = Publisher::connect(&stack.brokers, &stack.registry_url).await?;
    let listener = Listener::start(&stack.brokers, journal.clone())?;
    publisher.publish(&load.publications(0, count, None), &chart_ids, &journal).await?;
    let mut worker = Worker::new("worker-1", &logs, &settings(&stack, &simulator, in_flight))?;
    worker.start()?;
    let pid = worker.pid().context("the worker has just been started")?;
    let speed = drain(&journal, count, pid, &mut worker).await?;

    let per_second = speed.bookings_per_second * PACE;
    println!(
        "  {:.0} bookings/s; now {per_second:.0} a second for {} s",
        speed.bookings_per_second, arguments.paced_s
    );
    let paced = (per_second * arguments.paced_s as f64) as usize;
    *journal.notes() = Notes::default();
    publisher
        .publish(&load.publications(count, count + paced, Some(per_second)), &chart_ids, &journal)
        .await?;
    until(&journal, paced, &mut worker).await?;
    let (confirm_ms_p50, confirm_ms_p99) = confirmations(&journal);
    let peak_rss_mb = process::peak_rss_mb(pid)?;
    println!("  the worker is killed and started again");
    let restore = restore::measure(&mut worker).await?;
    drop((publisher, listener, worker, simulator, stack));
    Ok(Row {
        in_flight,
        bookings_per_second: round(speed.bookings_per_second),
        percent_of_nominal: round(
            speed.bookings_per_second * arguments.latency_ms as f64 / 10.0 / in_flight as f64,
        ),
        percent_of_bare_loop: round(speed.bookings_per_second * 100.0 / bare_loop_per_second),
        bare_loop_per_second: round(bare_loop_per_second),
        cpu_seconds_per_1000: (speed.cpu_seconds_per_1000 * 1_000.0).round() / 1_000.0,
        peak_rss_mb: round(peak_rss_mb),
        confirm_ms_p50,
        confirm_ms_p99,
        paced_per_second: round(per_second),
        cpu_by_threads: speed.cpu_by_threads,
        restore,
    })
}

/// The defaults, with no rate limit.
fn settings(stack: &Stack, simulator: &Simulator, in_flight: usize) -> Vec<String> {
    let mut settings = stack.settings();
    settings.extend(set(&[
        ("healthflow.base_url", &simulator.url),
        ("healthflow.token_file", &simulator::token_file()),
        ("healthflow.requests_per_second", "1000000"),
        ("worker.max_in_flight", &in_flight.to_string()),
        ("worker.ready_queue_max", &(in_flight * 10).to_string()),
    ]));
    settings
}

struct Speed {
    bookings_per_second: f64,
    cpu_seconds_per_1000: f64,
    cpu_by_threads: BTreeMap<&'static str, f64>,
}

/// Waits until `count` results are seen, and returns the speed and the worker's CPU time between a tenth and nine
/// tenths of them.
async fn drain(journal: &Journal, count: usize, pid: u32, worker: &mut Worker) -> Result<Speed> {
    let (first, last) = (count / 10, count * 9 / 10);
    until(journal, first, worker).await?;
    let (seen_first, cpu_first) = (journal.notes().results.len(), process::cpu_seconds(pid)?);
    let threads_first = process::cpu_seconds_by_threads(pid)?;
    until(journal, last, worker).await?;
    let (seen_last, cpu_last) = (journal.notes().results.len(), process::cpu_seconds(pid)?);
    let threads_last = process::cpu_seconds_by_threads(pid)?;
    until(journal, count, worker).await?;
    let notes = journal.notes();
    let created = notes.results.iter().filter(|result| result.outcome == ResultOutcome::Created).count();
    ensure!(created == count, "only {created} of {count} bookings were created");
    let took_ms = notes.results[last].at.since_ms(notes.results[first].at).max(1);
    let seen = seen_last.saturating_sub(seen_first).max(1);
    let used = |(name, last): (&'static str, f64)| {
        let used = last - threads_first.get(name).copied().unwrap_or_default();
        (name, (used * 1e6 / seen as f64).round() / 1e3)
    };
    Ok(Speed {
        bookings_per_second: (last - first) as f64 * 1_000.0 / took_ms as f64,
        cpu_seconds_per_1000: (cpu_last - cpu_first) * 1_000.0 / seen as f64,
        cpu_by_threads: threads_last.into_iter().map(used).collect(),
    })
}

async fn until(journal: &Journal, count: usize, worker: &mut Worker) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (seen, fault) = {
            let notes = journal.notes();
            (notes.results.len(), notes.faults.first().cloned())
        };
        if let Some(fault) = fault {
            bail!("{fault}");
        }
        if seen >= count {
            return Ok(());
        }
        worker.check()?;
        ensure!(Instant::now() < deadline, "{seen} of {count} results after {} s", LIMIT.as_secs());
        sleep(LOOK).await;
    }
}

/// Half and 99 of 100 confirmations came within so many milliseconds.
fn confirmations(journal: &Journal) -> (f64, f64) {
    let notes = journal.notes();
    let by_name = notes.results_by_name();
    let wait_ms =
        |asked: &crate::journal::Asked| Some(by_name.get(&asked.name)?.first()?.at.since_ms(asked.at));
    let mut waits_ms: Vec<i64> = notes.asked.iter().filter_map(wait_ms).collect();
    (seconds(&mut waits_ms, 0.5) * 1_000.0, seconds(&mut waits_ms, 0.99) * 1_000.0)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        "| in flight | bookings/s | % of nominal | bare loop/s | % of bare loop | CPU s per 1,000 | peak RSS MB | confirmed p50 / p99 ms |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(rows.iter().map(|row| {
        format!(
            "| {} | {:.0} | {:.1} | {:.0} | {:.1} | {:.3} | {:.0} | {:.0} / {:.0} (at {:.0}/s) |",
            row.in_flight,
            row.bookings_per_second,
            row.percent_of_nominal,
            row.bare_loop_per_second,
            row.percent_of_bare_loop,
            row.cpu_seconds_per_1000,
            row.peak_rss_mb,
            row.confirm_ms_p50,
            row.confirm_ms_p99,
            row.paced_per_second,
        )
    }));
    lines.join("\n")
}
