//! `demo poison`: bookings at a steady pace, in turns. In most turns one record of a hundred is bad in one way, in some
//! none is. How fast the others are confirmed shows whether one bad record slows the rest.

mod report;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use healthflow_core::time::{DAY_MS, Timestamp};
use tokio::time::{Instant, sleep};

use crate::audit::{self, Evidence};
use crate::dentscheduler::now;
use crate::fleet::{Fleet, LOOK, Plan};
use crate::healthflow::good_health;
use crate::journal::Name;
use crate::workload::desk::Desk;
use crate::workload::poison::Poison;
use crate::workload::spoiled::{SingledOut, Spoiled, SpoiledAt};
use crate::workload::{self, Expected, Publication, Workload};
use healthflow_testkit::processes::set;
use healthflow_testkit::project;
use report::{End, Report};

const PRACTICES: usize = 200;
const PARTITIONS: u32 = 12;
/// How long HealthFlow takes for an answer, and how many requests a second it allows.
const LATENCY_MS: u64 = 20;
const REQUESTS_PER_SECOND: f64 = 1_100.0;
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
    let mut fleet = open(&out, &logs).await?;
    let chart_ids = fleet.healthflow.seed(&workload.charts).await?;
    let ends = perform(arguments, &mut fleet, &workload, &chart_ids).await?;
    let healthflow = &fleet.healthflow;
    let (ledger, totals) = tokio::try_join!(healthflow.ledger(), healthflow.totals())?;
    let notes = fleet.journal.notes();
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
async fn open(out: &Path, logs: &Path) -> Result<Fleet> {
    let mut knobs = good_health(LATENCY_MS, REQUESTS_PER_SECOND);
    SingledOut::set(&mut knobs, true);
    let mut settings = vec!["--config".to_owned(), project("config/demo.toml").display().to_string()];
    settings.extend(set(&[("healthflow.duplicate_guard", "idempotency_key")]));
    Fleet::open(&Plan { out, logs, knobs: &knobs, partitions: PARTITIONS, workers: 2, settings }).await
}

/// Publishes all turns, and waits until everything has its result or the limit has passed. Returns which workers ended
/// by themselves, and when; it starts them again at once, as any supervisor would.
async fn perform(
    arguments: &Arguments,
    fleet: &mut Fleet,
    workload: &Workload,
    chart_ids: &[String],
) -> Result<Vec<End>> {
    let ends = Mutex::new(Vec::new());
    let Fleet { publisher, workers, healthflow, journal, simulator, stack, .. } = fleet;
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
