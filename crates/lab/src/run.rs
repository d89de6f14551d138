//! `demo run`: the whole demo, from an empty machine to the audit.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use healthflow_core::time::{DAY_MS, Timestamp};
use tokio::time::{Instant, sleep};

use crate::audit::{self, Audit, Evidence, report};
use crate::dentscheduler::now;
use crate::fleet::{Fleet, LOOK, Plan};
use crate::front_desk::FrontDesk;
use crate::healthflow::{HealthFlow, good_health};
use crate::journal::{Count, Journal};
use crate::planned_faults::{self, FaultLog};
use crate::screen::Screen;
use crate::trace;
use crate::workload::desk::Desk;
use crate::workload::poison::Poison;
use crate::workload::spoiled::spread;
use crate::workload::{self, Expected, Workload};
use healthflow_testkit::processes::set;
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::project;

/// Bookings a second; each costs HealthFlow two to three requests.
const BOOKINGS_PER_SECOND: i64 = 125;
/// Shorter runs leave no room for the planned faults.
const DURATION_MS_MIN: i64 = 12_000;
/// What HealthFlow allows: a little more than `config/demo.toml` sets for the workers, because the two count their
/// seconds from different moments.
const REQUESTS_PER_SECOND: f64 = 1_100.0;
const PARTITIONS: u32 = 12;
/// How long after the last result to listen for one too many.
const QUIET: Duration = Duration::from_secs(2);
/// What `run` understands.
#[derive(Args)]
pub struct Arguments {
    /// Practices; the bookings are spread over them by Zipf's law.
    #[arg(long, default_value_t = 200, value_parser = positive)]
    practices: usize,
    /// Bookings, each of one to three versions.
    #[arg(long, default_value_t = 5_000, value_parser = positive)]
    bookings: usize,
    /// How long HealthFlow takes for an answer, in milliseconds, and up to half as much more.
    #[arg(long, default_value_t = 30)]
    latency_ms: u64,
    /// What HealthFlow offers against duplicates: with the first two a create in doubt is repeated, with the others it
    /// is looked up first.
    #[arg(long, value_enum, default_value_t = Guard::Reference)]
    guard: Guard,
    /// Break nothing.
    #[arg(long)]
    no_chaos: bool,
    /// Leave everything running after the audit, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Another number plans another workload.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long to wait for the last result after the last booking, in seconds.
    #[arg(long, default_value_t = 75)]
    wait_limit_s: u64,
    /// Where audit.json and the logs go; default: target/demo of the project.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What HealthFlow offers against duplicates.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Guard {
    /// It honours `Idempotency-Key`.
    IdempotencyKey,
    /// It refuses a second record with our reference.
    UniqueReference,
    /// It can be searched for our reference.
    Reference,
    /// None of these: it can be searched for patient, start and provider.
    Search,
}

/// Every process of a run, and what was done to them.
struct Rig {
    fleet: Fleet,
    fault_log: Arc<FaultLog>,
}

/// Runs the demo; succeeds if the audit is clean.
pub async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let out = arguments.out.clone().unwrap_or_else(|| project("target/demo"));
    let logs = out.join("logs");
    // Logs of an earlier run would mislead the reader.
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let began = Instant::now();
    let duration_ms = duration_ms(arguments.bookings);
    let settings = workload::Settings {
        practices: arguments.practices,
        bookings: arguments.bookings,
        duration_ms,
        first_visit_at: Timestamp((now().0 / DAY_MS + 7) * DAY_MS),
        desk: Desk::Orderly,
        seed: arguments.seed,
    };
    let workload = workload::plan(&settings, &spread(Poison::ALL.len(), 0, duration_ms));
    let mut rig = open(arguments, &out, &logs).await?;
    println!("{} charts are in HealthFlow already", workload.charts.len());
    let chart_ids = rig.fleet.healthflow.seed(&workload.charts).await?;
    perform(arguments, &mut rig, &workload, &chart_ids).await?;
    decide(arguments, &mut rig, &workload, &chart_ids).await?;
    let audit = audit_run(&mut rig, &workload, &chart_ids, &out).await?;
    println!("\n{} s in all; logs are in {}", began.elapsed().as_secs(), logs.display());
    if arguments.keep {
        keep(&rig).await?;
    }
    Ok(if audit.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "must be a number above 0".to_owned())
}

fn duration_ms(bookings: usize) -> i64 {
    (bookings as i64 * 1_000 / BOOKINGS_PER_SECOND).max(DURATION_MS_MIN)
}

/// Starts everything.
async fn open(arguments: &Arguments, out: &Path, logs: &Path) -> Result<Rig> {
    let mut knobs = good_health(arguments.latency_ms, REQUESTS_PER_SECOND);
    knobs["honours_idempotency_keys"] = (arguments.guard == Guard::IdempotencyKey).into();
    knobs["unique_external_id"] = (arguments.guard == Guard::UniqueReference).into();
    knobs["keeps_external_id"] = (arguments.guard != Guard::Search).into();
    let guard = arguments.guard.to_possible_value().map(|value| value.get_name().to_owned());
    let mut settings = vec!["--config".to_owned(), project("config/demo.toml").display().to_string()];
    settings.extend(set(&[("healthflow.duplicate_guard", guard.as_deref().unwrap_or_default())]));
    let plan = Plan { out, logs, knobs: &knobs, partitions: PARTITIONS, workers: 2, settings };
    Ok(Rig { fleet: Fleet::open(&plan).await?, fault_log: Arc::default() })
}

/// Publishes the workload, performs the faults, shows both, and waits until everything has its result or the limit has
/// passed.
async fn perform(
    arguments: &Arguments,
    rig: &mut Rig,
    workload: &Workload,
    chart_ids: &[String],
) -> Result<()> {
    let faults =
        if arguments.no_chaos { Vec::new() } else { planned_faults::plan(duration_ms(arguments.bookings)) };
    let screen = Screen {
        journal: rig.fleet.journal.clone(),
        fault_log: rig.fault_log.clone(),
        admin_urls: rig.fleet.workers.iter().map(|worker| worker.admin_url.clone()).collect(),
        total: workload.publications.len(),
        total_asked: workload.publications.iter().filter(|one| one.expected != Expected::Nothing).count(),
    };
    let good_health = good_health(arguments.latency_ms, REQUESTS_PER_SECOND);
    let limit = Duration::from_secs(arguments.wait_limit_s);
    let Rig { fleet, fault_log } = rig;
    let Fleet { publisher, workers, healthflow, journal, simulator, stack, .. } = fleet;
    let act = async {
        let publishing = publisher.publish(&workload.publications, chart_ids, journal);
        let breaking = planned_faults::perform(&faults, healthflow, &good_health, &mut workers[0], fault_log);
        tokio::try_join!(publishing, breaking)?;
        let has_results = |count: &Count| count.waiting() == 0;
        wait_until(has_results, limit, journal, healthflow, &mut || {
            workers.iter_mut().try_for_each(Worker::check)?;
            simulator.check()?;
            stack.check()
        })
        .await
    };
    tokio::select! {
        done = act => done,
        () = screen.show() => bail!("the screen ended before the run"),
    }
}

/// Lets the front desk end what is in review, and waits until every booking has its end.
async fn decide(
    arguments: &Arguments,
    rig: &mut Rig,
    workload: &Workload,
    chart_ids: &[String],
) -> Result<()> {
    println!(
        "\n{} bookings wait for a person; the front desk decides",
        rig.fleet.journal.notes().count().review
    );
    let Fleet { publisher, workers, healthflow, journal, simulator, stack, .. } = &mut rig.fleet;
    let desk = FrontDesk { publisher, journal, chart_ids, settings: stack.settings() };
    desk.end_reviews(workload).await?;
    let has_ended = |count: &Count| count.waiting() + count.review == 0;
    let limit = Duration::from_secs(arguments.wait_limit_s);
    wait_until(has_ended, limit, journal, healthflow, &mut || {
        workers.iter_mut().try_for_each(Worker::check)?;
        simulator.check()?;
        stack.check()
    })
    .await
}

/// Waits until the counts are as they must be and HealthFlow has carried out what it took, or the limit has passed, while
/// everything runs; then listens a little longer.
async fn wait_until(
    is_there: impl Fn(&Count) -> bool,
    limit: Duration,
    journal: &Journal,
    healthflow: &HealthFlow,
    check: &mut impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        // A write that HealthFlow took and has not carried out yet may still become a second appointment.
        if is_there(&journal.notes().count()) && healthflow.totals().await?.pending == 0 {
            break;
        }
        check()?;
        sleep(LOOK).await;
    }
    sleep(QUIET).await;
    Ok(())
}

/// Audits, prints the trace, writes the numbers.
async fn audit_run(rig: &mut Rig, workload: &Workload, chart_ids: &[String], out: &Path) -> Result<Audit> {
    let healthflow = &rig.fleet.healthflow;
    let (ledger, totals, writes) =
        tokio::try_join!(healthflow.ledger(), healthflow.totals(), healthflow.writes())?;
    let history = rig.fault_log.history();
    let notes = rig.fleet.journal.notes();
    let publications = workload.all();
    let audit = audit::audit(&Evidence {
        publications: &publications,
        chart_ids,
        notes: &notes,
        ledger: &ledger,
        totals: &totals,
        chaos: &history.spans,
    });
    println!("\n{}", report::text(&audit));
    let logs = rig.fleet.workers.iter().map(|worker| (worker.name.clone(), worker.log.clone())).collect();
    let sources =
        trace::Sources { logs, notes: &notes, ledger: &ledger, writes: &writes, killed: history.killed };
    if let Some(trace) = trace::compose(&sources) {
        println!("\nThe trace of one booking that was hit\n{}", trace.join("\n"));
    }
    let file = out.join("audit.json");
    let json = serde_json::to_string_pretty(&audit)?;
    std::fs::write(&file, json + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nThe numbers are in {}", file.display());
    if let Some(fault) = notes.faults.first() {
        bail!("{} things went wrong on DentScheduler's side, the first: {fault}", notes.faults.len());
    }
    Ok(audit)
}

/// Prints how to look at what runs, and waits.
async fn keep(rig: &Rig) -> Result<()> {
    let settings = rig.fleet.stack.settings().join(" ");
    println!("\nEverything goes on running until Ctrl-C. To try:");
    for worker in &rig.fleet.workers {
        println!("  curl {}/status    # {}; also /metrics", worker.admin_url, worker.name);
    }
    println!("  curl {}/control/audit    # HealthFlow", rig.fleet.simulator.url);
    println!("  cargo run --release -- tail appointments.synced {settings}");
    println!("  cargo run --release -- send FILE.json {settings}");
    println!("To kill a worker, and to start it again:");
    for worker in &rig.fleet.workers {
        println!("  kill -9 {}    # {}", worker.pid().unwrap_or(0), worker.name);
        println!("  {}", worker.command_line()?);
    }
    std::future::pending().await
}
