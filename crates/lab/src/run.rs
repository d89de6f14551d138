//! `demo run`: the whole show, from an empty machine to the audit.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use healthflow_core::time::Timestamp;
use tokio::time::{Instant, sleep};

use crate::audit::{self, Audit, Evidence, report};
use crate::chaos::{self, Diary};
use crate::dentscheduler::listener::Listener;
use crate::dentscheduler::now;
use crate::dentscheduler::publisher::Publisher;
use crate::desk::Desk;
use crate::healthflow::{HealthFlow, good_health};
use crate::morning::poison::Poison;
use crate::morning::spoiled::spread;
use crate::morning::{self, Fate, Morning};
use crate::screen::Screen;
use crate::story;
use healthflow_testkit::parts::simulator::{self, Simulator};
use healthflow_testkit::parts::worker::Worker;
use healthflow_testkit::parts::{beside, set};
use healthflow_testkit::project;
use healthflow_testkit::stack::Stack;

/// Bookings a second; each costs HealthFlow two to three requests.
const BOOKINGS_PER_SECOND: i64 = 125;
/// Shorter mornings leave no room for what goes wrong.
const DURATION_MS_MIN: i64 = 12_000;
/// What HealthFlow allows, as `config/demo.toml` tells the workers; a little more, because the two count their seconds
/// from different beginnings.
const REQUESTS_PER_SECOND: f64 = 1_100.0;
const PARTITIONS: u32 = 12;
/// How long after the last result to listen for one too many.
const QUIET: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);
const DAY_MS: i64 = 86_400_000;

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
    /// What HealthFlow offers against duplicates: with the first two a create in doubt is repeated, with the others it is
    /// looked up first.
    #[arg(long, value_enum, default_value_t = Guard::Reference)]
    guard: Guard,
    /// Break nothing.
    #[arg(long)]
    no_chaos: bool,
    /// Leave everything running after the audit, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Another number is another morning.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long to wait for the last result after the last booking, in seconds.
    #[arg(long, default_value_t = 75)]
    patience_s: u64,
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

/// Everything that runs. Dropped in this order: who needs another one goes first.
struct House {
    /// Listens until it is dropped.
    _listener: Listener,
    publisher: Publisher,
    workers: [Worker; 2],
    simulator: Simulator,
    stack: Stack,
    healthflow: HealthFlow,
    desk: Arc<Desk>,
    diary: Arc<Diary>,
}

/// Shows it; good if the audit is clean.
pub async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let out = arguments.out.clone().unwrap_or_else(|| project("target/demo"));
    let logs = out.join("logs");
    // Logs of an earlier run would tell their own stories.
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let began = Instant::now();
    let duration_ms = duration_ms(arguments.bookings);
    let settings = morning::Settings {
        practices: arguments.practices,
        bookings: arguments.bookings,
        duration_ms,
        first_visit_at: Timestamp((now().0 / DAY_MS + 7) * DAY_MS),
        seed: arguments.seed,
    };
    let morning = morning::plan(&settings, &spread(Poison::ALL.len(), 0, duration_ms));
    let mut house = open(arguments, &out, &logs).await?;
    println!("{} charts are in HealthFlow already", morning.charts.len());
    let chart_ids = house.healthflow.seed(&morning.charts).await?;
    perform(arguments, &mut house, &morning, &chart_ids).await?;
    let audit = close_the_books(&mut house, &morning, &chart_ids, &out).await?;
    println!("\n{} s in all; logs are in {}", began.elapsed().as_secs(), logs.display());
    if arguments.keep {
        keep(&house).await;
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
async fn open(arguments: &Arguments, out: &Path, logs: &Path) -> Result<House> {
    println!("Starting Kafka, the schema registry and HealthFlow (the simulator), about 10 s");
    let data = out.join(format!("stack-{}", std::process::id()));
    let mut knobs = good_health(arguments.latency_ms, REQUESTS_PER_SECOND);
    knobs["honours_idempotency_keys"] = (arguments.guard == Guard::IdempotencyKey).into();
    knobs["unique_external_id"] = (arguments.guard == Guard::UniqueReference).into();
    knobs["keeps_external_id"] = (arguments.guard != Guard::Search).into();
    let flags = ["--faults".to_owned(), knobs.to_string()];
    let (stack, simulator) = tokio::join!(Stack::start_in(&data, logs, &[]), Simulator::start(logs, &flags));
    let (stack, simulator) = (stack?, simulator?);
    stack.create_topics(&beside("healthflow-sync")?, PARTITIONS).await?;
    println!("Kafka {}, registry {}, HealthFlow {}", stack.brokers, stack.registry_url, simulator.url);

    let guard = arguments.guard.to_possible_value().map(|value| value.get_name().to_owned());
    let mut settings = vec!["--config".to_owned(), project("config/demo.toml").display().to_string()];
    settings.extend(stack.settings());
    settings.extend(set(&[
        ("healthflow.base_url", &simulator.url),
        ("healthflow.token_file", &simulator::token_file()),
        ("healthflow.duplicate_guard", guard.as_deref().unwrap_or_default()),
    ]));
    let mut workers = [Worker::new("worker-1", logs, &settings)?, Worker::new("worker-2", logs, &settings)?];
    for worker in &mut workers {
        worker.start()?;
    }
    let desk = Arc::new(Desk::default());
    let publisher = Publisher::connect(&stack.brokers, &stack.registry_url).await?;
    let listener = Listener::start(&stack.brokers, desk.clone())?;
    for worker in &mut workers {
        worker.ready().await?;
        println!("{} works, {}", worker.name, worker.admin_url);
    }
    let healthflow = HealthFlow::new(&simulator.url)?;
    let diary = Arc::new(Diary::default());
    Ok(House { _listener: listener, publisher, workers, simulator, stack, healthflow, desk, diary })
}

/// Publishes the morning, breaks things, shows it, and waits until everything has its result or patience is at an end.
async fn perform(
    arguments: &Arguments,
    house: &mut House,
    morning: &Morning,
    chart_ids: &[String],
) -> Result<()> {
    let troubles = if arguments.no_chaos { Vec::new() } else { chaos::plan(duration_ms(arguments.bookings)) };
    let screen = Screen {
        desk: house.desk.clone(),
        diary: house.diary.clone(),
        admin_urls: house.workers.iter().map(|worker| worker.admin_url.clone()).collect(),
        total: morning.publications.len(),
        total_asked: morning.publications.iter().filter(|one| one.fate != Fate::Again).count(),
    };
    let good_health = good_health(arguments.latency_ms, REQUESTS_PER_SECOND);
    let House { publisher, workers, healthflow, desk, diary, simulator, stack, .. } = house;
    let patience = Duration::from_secs(arguments.patience_s);
    let act = async {
        let publishing = publisher.publish(&morning.publications, chart_ids, desk);
        let breaking = chaos::perform(&troubles, healthflow, &good_health, &mut workers[0], diary);
        tokio::try_join!(publishing, breaking)?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            // A write that HealthFlow took and has not carried out yet may still become a second appointment.
            if desk.notes().count().waiting() == 0 && healthflow.totals().await?.pending == 0 {
                break;
            }
            for worker in workers.iter_mut() {
                worker.check()?;
            }
            simulator.check()?;
            stack.check()?;
            sleep(LOOK).await;
        }
        sleep(QUIET).await;
        anyhow::Ok(())
    };
    tokio::select! {
        done = act => done,
        () = screen.show() => bail!("the show ended before the play"),
    }
}

/// Audits, tells the story, writes the numbers.
async fn close_the_books(
    house: &mut House,
    morning: &Morning,
    chart_ids: &[String],
    out: &Path,
) -> Result<Audit> {
    let healthflow = &house.healthflow;
    let (ledger, totals, writes) =
        tokio::try_join!(healthflow.ledger(), healthflow.totals(), healthflow.writes())?;
    let pages = house.diary.pages();
    let notes = house.desk.notes();
    let audit = audit::audit(&Evidence {
        publications: &morning.publications,
        chart_ids,
        notes: &notes,
        ledger: &ledger,
        totals: &totals,
        chaos: &pages.spans,
    });
    println!("\n{}", report::text(&audit));
    let logs = house.workers.iter().map(|worker| (worker.name.clone(), worker.log.clone())).collect();
    let sources =
        story::Sources { logs, notes: &notes, ledger: &ledger, writes: &writes, killed: pages.killed };
    if let Some(story) = story::tell(&sources) {
        println!("\nThe story of one booking that was hit\n{}", story.join("\n"));
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

/// Tells how to look at what runs, and waits.
async fn keep(house: &House) {
    let settings = house.stack.settings().join(" ");
    println!("\nEverything goes on running until Ctrl-C. To try:");
    for worker in &house.workers {
        println!("  curl {}/status    # {}; also /metrics", worker.admin_url, worker.name);
    }
    println!("  curl {}/control/audit    # HealthFlow", house.simulator.url);
    println!("  cargo run --release -- tail appointments.synced {settings}");
    println!("  cargo run --release -- send FILE.json {settings}");
    std::future::pending::<()>().await;
}
