//! `demo poison`: bookings at a steady pace, in turns. In most turns one record of a hundred is bad in one way, in some
//! none is. How fast the others are confirmed shows whether one bad record slows the rest.

mod report;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use healthflow_core::time::Timestamp;
use tokio::time::{Instant, sleep};

use crate::audit::{self, Evidence};
use crate::dentscheduler::listener::Listener;
use crate::dentscheduler::now;
use crate::dentscheduler::publisher::Publisher;
use crate::healthflow::{HealthFlow, good_health};
use crate::journal::{Journal, Name};
use crate::workload::desk::Desk;
use crate::workload::poison::Poison;
use crate::workload::spoiled::{SingledOut, Spoiled, SpoiledAt};
use crate::workload::{self, Expected, Publication, Workload};
use healthflow_testkit::processes::simulator::{self, Simulator};
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::processes::{beside, set};
use healthflow_testkit::project;
use healthflow_testkit::stack::Stack;
use report::{End, Report};

const PRACTICES: usize = 200;
const PARTITIONS: u32 = 12;
/// How long HealthFlow takes for an answer, and how many requests a second it allows.
const LATENCY_MS: u64 = 20;
const REQUESTS_PER_SECOND: f64 = 1_100.0;
const LOOK: Duration = Duration::from_millis(100);
const DAY_MS: i64 = 86_400_000;
/// One record of so many is bad.
const ONE_IN: i64 = 100;

/// What is bad in each turn.
const TURNS: [(&str, Option<Spoiled>); 8] = [
    ("warm-up", None),
    (report::NOTHING, None),
    ("too large", Some(Spoiled::Poison(Poison::TooLarge))),
    ("unfolding", Some(Spoiled::Poison(Poison::Unfolding))),
    ("answered 403", Some(Spoiled::SingledOut(SingledOut::Forbidden))),
    ("never answered", Some(Spoiled::SingledOut(SingledOut::Unanswered))),
    ("nothing again", None),
    ("one that kills", Some(Spoiled::Poison(Poison::Deadly))),
];

/// What `poison` understands.
#[derive(Args)]
pub struct Arguments {
    /// Bookings a second.
    #[arg(long, default_value_t = 60)]
    per_second: u32,
    /// How long each turn lasts, in seconds.
    #[arg(long, default_value_t = 15)]
    turn_s: u32,
    /// How long to wait for the last result after the last booking, in seconds.
    #[arg(long, default_value_t = 180)]
    wait_limit_s: u64,
    /// Another number plans another workload.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where poison.json and the logs go; default: target/poison of the project.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Every process of a run. Dropped in this order: what depends on another one goes first.
struct Rig {
    /// Listens until it is dropped.
    _listener: Listener,
    publisher: Publisher,
    workers: Vec<Worker>,
    simulator: Simulator,
    stack: Stack,
    healthflow: HealthFlow,
    journal: Arc<Journal>,
}

/// The turns: only a build with planted defects dies of a record.
fn turns() -> &'static [(&'static str, Option<Spoiled>)] {
    if cfg!(feature = "planted-defects") { &TURNS } else { &TURNS[..TURNS.len() - 1] }
}

/// Measures; good if every booking was confirmed and every bad record ended as it must.
pub async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let out = arguments.out.clone().unwrap_or_else(|| project("target/poison"));
    let logs = out.join("logs");
    // Logs of an earlier run would mislead the reader.
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let workload = plan(arguments);
    let mut rig = open(&out, &logs).await?;
    let chart_ids = rig.healthflow.seed(&workload.charts).await?;
    let ends = perform(arguments, &mut rig, &workload, &chart_ids).await?;
    let healthflow = &rig.healthflow;
    let (ledger, totals) = tokio::try_join!(healthflow.ledger(), healthflow.totals())?;
    let notes = rig.journal.notes();
    let publications = &workload.publications;
    let evidence = Evidence {
        publications,
        chart_ids: &chart_ids,
        notes: &notes,
        ledger: &ledger,
        totals: &totals,
        chaos: &[],
    };
    let audit = audit::audit(&evidence);
    let turn_ms = i64::from(arguments.turn_s) * 1_000;
    let report = Report::of(turns(), &by_turn(publications, turn_ms), &notes, &ends);
    println!("\n{}", report.text());
    audit.examples.iter().for_each(|example| println!("  ! {example}"));
    let file = out.join("poison.json");
    std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nThe numbers are in {}, the logs in {}", file.display(), logs.display());
    if let Some(fault) = notes.faults.first() {
        bail!("the environment failed: {fault}");
    }
    Ok(if audit.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All turns, one after the other.
fn plan(arguments: &Arguments) -> Workload {
    let (turn_ms, per_second) = (i64::from(arguments.turn_s) * 1_000, i64::from(arguments.per_second));
    let in_turn = (turn_ms * per_second / 1_000 / ONE_IN).max(1);
    let mut spoiled = Vec::new();
    for (turn, (_, kind)) in (0..).zip(turns()) {
        let Some(kind) = kind else { continue };
        // One record that ends workers is enough. It comes early, so that there is time to see the effect.
        let count = if *kind == Spoiled::Poison(Poison::Deadly) { 1 } else { in_turn };
        let at_ms = |nth| turn_ms * turn + turn_ms * (nth + 1) / (count + 3);
        spoiled.extend((0..count).map(|nth| SpoiledAt { at_ms: at_ms(nth), spoiled: *kind }));
    }
    let duration_ms = turn_ms * turns().len() as i64;
    let settings = workload::Settings {
        practices: PRACTICES,
        bookings: usize::try_from(duration_ms * per_second / 1_000).unwrap_or(usize::MAX),
        duration_ms,
        first_visit_at: Timestamp((now().0 / DAY_MS + 7) * DAY_MS),
        desk: Desk::Absent,
        seed: arguments.seed,
    };
    workload::plan(&settings, &spoiled)
}

/// The turn of each version that nothing is wrong with.
fn by_turn(publications: &[Publication], turn_ms: i64) -> HashMap<Name, usize> {
    let others =
        publications.iter().filter(|one| one.expected == Expected::Synced && !SingledOut::is_one(&one.event));
    others
        .map(|one| {
            let name = Name::Version(one.booking(), one.event.version);
            (name, usize::try_from(one.at_ms / turn_ms.max(1)).unwrap_or(0).min(turns().len() - 1))
        })
        .collect()
}

/// Starts everything.
async fn open(out: &Path, logs: &Path) -> Result<Rig> {
    println!("Starting Kafka, the schema registry and HealthFlow (the simulator), about 10 s");
    let data = out.join(format!("stack-{}", std::process::id()));
    let mut knobs = good_health(LATENCY_MS, REQUESTS_PER_SECOND);
    SingledOut::set(&mut knobs, true);
    let flags = ["--faults".to_owned(), knobs.to_string()];
    let (stack, simulator) = tokio::join!(Stack::start_in(&data, logs, &[]), Simulator::start(logs, &flags));
    let (stack, simulator) = (stack?, simulator?);
    stack.create_topics(&beside("healthflow-sync")?, PARTITIONS).await?;
    let mut settings = vec!["--config".to_owned(), project("config/demo.toml").display().to_string()];
    settings.extend(stack.settings());
    settings.extend(set(&[
        ("healthflow.base_url", &simulator.url),
        ("healthflow.token_file", &simulator::token_file()),
        ("healthflow.duplicate_guard", "idempotency_key"),
    ]));
    let mut workers = Vec::new();
    for number in 1..=2 {
        let mut worker = Worker::new(&format!("worker-{number}"), logs, &settings)?;
        worker.start()?;
        workers.push(worker);
    }
    let journal = Arc::new(Journal::default());
    let publisher = Publisher::connect(&stack.brokers, &stack.registry_url).await?;
    let listener = Listener::start(&stack.brokers, journal.clone())?;
    for worker in &mut workers {
        worker.ready().await?;
    }
    let healthflow = HealthFlow::new(&simulator.url)?;
    Ok(Rig { _listener: listener, publisher, workers, simulator, stack, healthflow, journal })
}

/// Publishes all turns, and waits until everything has its result or the limit has passed. Returns which workers ended
/// by themselves, and when; it starts them again at once, as any supervisor would.
async fn perform(
    arguments: &Arguments,
    rig: &mut Rig,
    workload: &Workload,
    chart_ids: &[String],
) -> Result<Vec<End>> {
    let ends = Mutex::new(Vec::new());
    let Rig { publisher, workers, healthflow, journal, simulator, stack, .. } = rig;
    let publish = async {
        publisher.publish(&workload.publications, chart_ids, journal).await?;
        let mut knobs = good_health(LATENCY_MS, REQUESTS_PER_SECOND);
        SingledOut::set(&mut knobs, false);
        healthflow.set_faults(&knobs).await?;
        let deadline = Instant::now() + Duration::from_secs(arguments.wait_limit_s);
        while Instant::now() < deadline && journal.notes().count().waiting() > 0 {
            simulator.check()?;
            stack.check()?;
            sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    let mut keep_alive = async || -> Result<()> {
        loop {
            for worker in workers.iter_mut() {
                if worker.check().is_err() {
                    let end = End { worker: worker.name.clone(), at: now() };
                    println!("{} ended by itself and is started again", end.worker);
                    ends.lock().unwrap_or_else(PoisonError::into_inner).push(end);
                    worker.start()?;
                }
            }
            sleep(LOOK).await;
        }
    };
    let turns: Vec<&str> = turns().iter().map(|(name, _)| *name).collect();
    println!("{} s each: {}", arguments.turn_s, turns.join(", "));
    tokio::select! {
        published = publish => published?,
        failed = keep_alive() => failed?,
    }
    Ok(ends.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests;
