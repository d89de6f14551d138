//! `demo torture`: the real programs on a real Kafka while everything breaks that can. Three parties that share no code
//! with the processor then check the promises: the plan of what was published, the simulator's ledger, and a Java
//! consumer.

mod auditor;
mod faults;
mod rig;
mod fault_phases;
mod front_desk;
mod network;
mod report;
mod what_waits;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use healthflow_core::time::{DAY_MS, Timestamp};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::audit::{self, Evidence};
use crate::dentscheduler::now;
use crate::healthflow::HealthFlow;
use crate::journal::{Journal, Notes};
use crate::run::Guard;
use crate::workload::desk::Desk;
use crate::workload::poison::Poison;
use crate::workload::spoiled::{SingledOut, Spoiled, SpoiledAt, spread};
use crate::workload::{self, Expected, Workload};
use faults::{Done, FaultInjector, Rhythm, SpanMs};
use front_desk::{Decided, FrontDesk};
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::project;
use report::{Minimum, Report, Verdict, Violations};
use rig::Rig;
use what_waits::Account;

/// Bookings a minute, a little more than the 2,000 that must be met.
const BOOKINGS_PER_MINUTE: f64 = 2_100.0;
/// The largest of so many has a sixth of the bookings, and each partition its own share of HealthFlow's limit.
const PRACTICES: usize = 200;
/// HealthFlow singles out one of so many bookings until the faults stop.
const SINGLED_OUT_ONE_IN: usize = 400;
/// `healthflow.requests_per_second` of `config/torture.toml`, and what a second may see: a worker's burst is a tenth,
/// and a stalled simulator counts what came in two of its seconds as one.
const REQUESTS_PER_SECOND: u64 = 600;
const REQUESTS_PER_SECOND_ALLOWED: u64 = REQUESTS_PER_SECOND * 5 / 4;
const LOOK: Duration = Duration::from_millis(500);
/// How often to print the progress.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How long after the last result to listen for one too many.
const QUIET: Duration = Duration::from_secs(3);
/// Exit code if nothing was violated but too little was broken to prove it: the machine's fault, not the promise's.
const PROVES_TOO_LITTLE: u8 = 3;

/// What `torture` understands.
#[derive(Args)]
pub struct Arguments {
    /// How long bookings come and faults strike.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// What HealthFlow offers against duplicates; without keys the kills are rarer, so that doubts can settle.
    #[arg(long, value_enum, default_value_t = Guard::IdempotencyKey)]
    guard: Guard,
    /// Of the bookings and of every fault.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Brokers: with 3, each record has three replicas, and one broker at a time is killed; 1 needs less of a machine.
    #[arg(long, default_value_t = 3, value_parser = brokers)]
    brokers: usize,
    /// How long to wait for quiet after the last fault, in seconds.
    #[arg(long, default_value_t = 300)]
    wait_limit_s: u64,
    /// HealthFlow forgets the keys that it claims to honour, so that the audit must find duplicates. For the audit's
    /// test.
    #[arg(long, hide = true)]
    lie: bool,
    /// Where report.json and the logs go; default: target/torture of the project.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn brokers(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("must be 1 or 3".to_owned()),
    }
}

/// Runs the torture and checks the promises; succeeds if nothing was violated and enough was broken.
pub async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let out = arguments.out.clone().unwrap_or_else(|| project("target/torture"));
    let logs = out.join("logs");
    // Logs of an earlier run would mislead the reader.
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let bookings = (arguments.minutes * BOOKINGS_PER_MINUTE).ceil() as usize;
    let settings = workload::Settings {
        practices: PRACTICES,
        bookings,
        duration_ms: (arguments.minutes * 58_000.0) as i64,
        first_visit_at: Timestamp((now().0 / DAY_MS + 7) * DAY_MS),
        desk: Desk::Random,
        seed: arguments.seed,
    };
    let workload = workload::plan(&settings, &spoiled(bookings, settings.duration_ms));
    let mut rig = Rig::open(arguments, &out, &logs).await?;
    let chart_ids = rig.healthflow.seed(&workload.charts).await?;
    let course = publish_and_break(arguments, &mut rig, &workload, &chart_ids, &logs).await?;
    // The stack removes its data when it ends.
    for log in std::fs::read_dir(rig.stack.logs()).context("Kafka's logs are gone")? {
        let log = log?;
        std::fs::copy(log.path(), logs.join(log.file_name())).context("a log cannot be kept")?;
    }
    println!("The Java auditor reads to the end, and everything once more from offset 0");
    let report = report(arguments, &mut rig, &workload, &chart_ids, &out, course).await?;
    println!("\n{}", report.text());
    let file = out.join("report.json");
    std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nThe numbers are in {}, the logs in {}", file.display(), logs.display());
    if let Some(fault) = rig.journal.notes().faults.first() {
        bail!("the environment failed: {fault}");
    }
    Ok(match report.verdict() {
        Verdict::Kept => ExitCode::SUCCESS,
        Verdict::Violated => ExitCode::FAILURE,
        Verdict::ProvesTooLittle => ExitCode::from(PROVES_TOO_LITTLE),
    })
}

/// One record of a hundred is poison. In a build with planted defects one of them ends the process that decodes it.
fn spoiled(bookings: usize, duration_ms: i64) -> Vec<SpoiledAt> {
    let mut spoiled = spread(bookings.div_ceil(100), bookings.div_ceil(SINGLED_OUT_ONE_IN), duration_ms);
    if cfg!(feature = "planted-defects") {
        spoiled.push(SpoiledAt { at_ms: duration_ms / 4, spoiled: Spoiled::Poison(Poison::Deadly) });
    }
    spoiled
}

fn rhythm(guard: Guard) -> Rhythm {
    // A doubt that must be looked up waits 39 s (lease and settle time of config/torture.toml) with the same owner.
    let often = Rhythm {
        kill_ms: SpanMs::new(1_900, 6_200),
        zombie_ms: SpanMs::new(8_000, 13_000),
        asleep_ms: SpanMs::new(7_500, 10_000),
        broker_ms: SpanMs::new(40_000, 65_000),
        registry_ms: SpanMs::new(60_000, 120_000),
        network_ms: SpanMs::new(4_000, 9_000),
        log_reader_ms: SpanMs::new(15_000, 30_000),
    };
    match guard {
        Guard::IdempotencyKey | Guard::UniqueReference => often,
        Guard::Reference | Guard::Search => Rhythm {
            kill_ms: SpanMs::new(20_000, 30_000),
            zombie_ms: SpanMs::new(30_000, 50_000),
            broker_ms: SpanMs::new(60_000, 90_000),
            network_ms: SpanMs::new(25_000, 45_000),
            ..often
        },
    }
}

fn minimum(guard: Guard) -> Minimum {
    let (worker_kills, zombies_resumed, broker_kills) = match guard {
        Guard::IdempotencyKey | Guard::UniqueReference => (100.0, 25.0, 8.0),
        Guard::Reference | Guard::Search => (18.0, 8.0, 5.0),
    };
    Minimum { bookings: 20_000.0, worker_kills, zombies_resumed, broker_kills, doubtful_writes: 500.0 }
}

fn guard_name(guard: Guard) -> String {
    guard.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What happened.
struct Course {
    /// What was broken.
    done: Done,
    /// What the front desk did.
    decided: Decided,
    /// How long quiet took, if it came.
    quiet: Option<Duration>,
}

/// Publishes, breaks and decides until the time is over, then waits for quiet.
async fn publish_and_break(
    arguments: &Arguments,
    rig: &mut Rig,
    workload: &Workload,
    chart_ids: &[String],
    logs: &Path,
) -> Result<Course> {
    let Rig { publisher, auditor, workers, simulator, proxies, stack, healthflow, journal, .. } = rig;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(arguments.minutes * 60.0);
    let injector = FaultInjector {
        workers,
        stack,
        proxies,
        healthflow,
        rhythm: rhythm(arguments.guard),
        seed: arguments.seed,
        until,
        done: std::sync::Mutex::default(),
    };
    let desk = FrontDesk::new(publisher, journal, workload, chart_ids, arguments.seed);
    let quiet = async {
        tokio::try_join!(publisher.publish(&workload.publications, chart_ids, journal), injector.inject())?;
        println!("{:>5} s  the faults have stopped", began.elapsed().as_secs());
        wait_for_quiet(journal, healthflow, Duration::from_secs(arguments.wait_limit_s)).await
    };
    let print_progress = async {
        loop {
            sleep(REPORT_EVERY).await;
            let (count, published, done) = {
                let notes = journal.notes();
                (notes.count(), notes.published, injector.done())
            };
            println!(
                "{:>5} s  {published} published, {} wait, {} kills, {} zombies, {} brokers, {} registries, {} exits",
                began.elapsed().as_secs(),
                count.waiting(),
                done.worker_kills,
                done.zombies_resumed,
                done.broker_kills,
                done.registry_kills,
                done.worker_exits,
            );
        }
    };
    let quiet = tokio::select! {
        quiet = quiet => quiet?,
        failed = injector.keep_alive() => bail!("nobody keeps the workers alive any more: {failed:?}"),
        failed = desk.work() => bail!("the front desk went home: {failed:?}"),
        () = print_progress => None,
    };
    if quiet.is_none() {
        print_what_waits(injector.workers, logs).await?;
    }
    let (done, decided) = (injector.done(), desk.decided());
    stack.check()?;
    auditor.check()?;
    simulator.check()?;
    Ok(Course { done, decided, quiet })
}

/// Prints which tasks wait, and keeps every worker's whole status page beside the logs.
async fn print_what_waits(workers: &[Mutex<Worker>], logs: &Path) -> Result<()> {
    let mut accounts = Vec::new();
    for worker in workers {
        let worker = worker.lock().await;
        let page = worker.status().await;
        if let Some(page) = &page {
            let file = logs.join(format!("{}.status.json", worker.name));
            std::fs::write(&file, serde_json::to_string_pretty(page)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        accounts.push(Account { worker: worker.name.clone(), page, warnings: worker.warnings() });
    }
    what_waits::lines(&accounts).iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Waits until every version has its end and HealthFlow has carried out everything it took.
async fn wait_for_quiet(
    journal: &Journal,
    healthflow: &HealthFlow,
    limit: Duration,
) -> Result<Option<Duration>> {
    let began = Instant::now();
    while began.elapsed() < limit {
        let count = journal.notes().count();
        if count.waiting() + count.review == 0 && healthflow.totals().await?.pending == 0 {
            let took = began.elapsed();
            sleep(QUIET).await;
            return Ok(Some(took));
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

/// The report of the three parties.
async fn report(
    arguments: &Arguments,
    rig: &mut Rig,
    workload: &Workload,
    chart_ids: &[String],
    out: &Path,
    Course { done, decided, quiet }: Course,
) -> Result<Report> {
    let mut seen = rig.auditor.report().await?;
    let healthflow = &rig.healthflow;
    let (ledger, totals, writes) =
        tokio::try_join!(healthflow.ledger(), healthflow.totals(), healthflow.writes())?;
    let asked = rig.journal.notes().asked.clone();
    let notes = Notes { asked, results: std::mem::take(&mut seen.results), ..Notes::default() };
    let publications = &workload.all();
    let evidence =
        Evidence { publications, chart_ids, notes: &notes, ledger: &ledger, totals: &totals, chaos: &[] };
    let audit = audit::audit(&evidence);
    let doubtful = report::doubtful(&writes);
    let peak = totals.peak_requests_per_second;
    let bookings: std::collections::HashSet<_> = publications
        .iter()
        .filter(|one| matches!(one.expected, Expected::Synced | Expected::Review(_)))
        .map(workload::Publication::booking)
        .collect();
    let mut report = Report {
        minutes: arguments.minutes,
        guard: guard_name(arguments.guard),
        seed: arguments.seed,
        brokers: arguments.brokers,
        bookings: bookings.len(),
        results_asked: audit.asked,
        poisoned: publications.iter().filter(|one| matches!(one.expected, Expected::Poisoned(_))).count(),
        faulty_writes_percent: report::faulty_percent(&writes, done.well_at_ms),
        violations: Violations {
            limit_exceeded: peak.saturating_sub(REQUESTS_PER_SECOND_ALLOWED),
            panics: done.worker_panics,
            ..Violations::of(&audit, &seen)
        },
        reviews: audit.reviews,
        decided,
        singled_out: publications.iter().filter(|one| SingledOut::is_one(&one.event)).count(),
        done,
        doubtful_writes: doubtful,
        late_landings: report::late_landings(&writes),
        seconds_to_quiet: quiet.map(|quiet| quiet.as_secs_f64()),
        requests_per_second_peak: peak,
        requests_per_second_allowed: REQUESTS_PER_SECOND_ALLOWED,
        duplicate_rate_bound_percent: 300.0 / doubtful.max(1) as f64,
        broker_trap_lines: report::broker_trap_lines(&rig.stack.logs())?,
        shortfalls: Vec::new(),
        examples: audit.examples.iter().chain(&seen.hanging).chain(&seen.changed).cloned().collect(),
    };
    report.compare(&minimum(arguments.guard).of(arguments.minutes));
    if report.verdict() == Verdict::Violated {
        // To find the cause one needs to know what reached HealthFlow, and when.
        std::fs::write(out.join("writes.json"), serde_json::to_string_pretty(&writes)?)?;
    }
    std::fs::write(out.join("worker-exits.txt"), report.done.exit_messages.join("\n\n"))?;
    Ok(report)
}

#[cfg(test)]
mod tests;
