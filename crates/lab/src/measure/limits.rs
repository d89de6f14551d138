//! A backlog in a few partitions only: how much of the account's limit the fleet uses, and whether it ever exceeds it. First each
//! worker has the part of its partitions, then Redis counts, while workers die and join, and while Redis itself is away.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use healthflow_core::event::home_partition::partition_of;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{LATENCY_MS, PARTITIONS, patients};
use crate::fleet::{Fleet, LOOK, Plan};
use crate::workload::practice_id;
use healthflow_proof::finding::{Finding, Report, Sought};
use healthflow_testkit::processes::redis::Redis;
use healthflow_testkit::processes::set;
use healthflow_testkit::processes::worker::Worker;

/// The backlog is in the partitions before this one.
const BUSY_PARTITIONS: i32 = 3;
const PRACTICES: usize = 30;
const PATIENTS_OF_EACH: usize = 20;
const FALLBACK_SHARE: f64 = 0.8;
/// How long the fleet may take to be as a turn wants it.
const CHANGE_LIMIT: Duration = Duration::from_secs(90);
/// How long a turn settles before it is measured.
const SETTLE: Duration = Duration::from_secs(5);
const AWAY: &str = "healthflow_sync_shared_counter_away_seconds";

/// What `measure limits` understands.
#[derive(Args)]
pub struct Arguments {
    /// Requests a second that HealthFlow allows.
    #[arg(long, default_value_t = 200)]
    limit: u32,
    /// How long each turn is measured, in seconds.
    #[arg(long, default_value_t = 30)]
    turn_s: u64,
    /// How many bookings wait: enough for all turns.
    #[arg(long, default_value_t = 40_000)]
    backlog: usize,
}

/// Measures.
pub async fn measure(arguments: &Arguments, out: &Path, logs: &Path) -> Result<Report> {
    let limit = f64::from(arguments.limit);
    // The rate, a tenth of a second's worth, and a call at either end: what ten permits a second early may amount to.
    let most = arguments.limit + arguments.limit / 10 + 2;
    let health = json!({
        "latency_ms": LATENCY_MS, "limits_told": "silent",
        "limits": [{"name": "second", "calls": most, "window_seconds": 1}],
    });
    let mut redis = Redis::start(logs, &[])?;
    let settings = set(&[
        ("healthflow.requests_per_second", &limit.to_string()),
        ("limits.redis_url", &redis.url()),
        ("limits.fallback_share", &FALLBACK_SHARE.to_string()),
    ]);
    let plan = Plan { out, logs, knobs: &health, partitions: PARTITIONS, workers: 4, settings };
    let mut fleet = Fleet::open(&plan).await?;
    let is_busy =
        |practice: &usize| partition_of(practice_id(*practice).as_bytes(), PARTITIONS) < BUSY_PARTITIONS;
    let practices: Vec<usize> = (0..).filter(is_busy).take(PRACTICES).collect();
    let load = patients::load_of(&practices, PATIENTS_OF_EACH);
    let charts = patients::introduce(&mut fleet, &load, 0).await?;
    let first = charts.len();
    println!("  {} bookings wait in {BUSY_PARTITIONS} of {PARTITIONS} partitions", arguments.backlog);
    let publications = load.publications(first, first + arguments.backlog, None);
    fleet.publisher.publish(&publications, &charts, &fleet.journal).await?;
    let turn = Duration::from_secs(arguments.turn_s);

    println!("  each worker has the part of its partitions");
    let parts = busy_parts(&fleet.workers).await?;
    sleep(SETTLE).await;
    let by_parts = calls_per_second(&mut fleet, turn).await?;

    println!("  Redis counts");
    restart(&mut fleet, "redis").await?;
    sleep(SETTLE).await;
    let by_redis = calls_per_second(&mut fleet, turn).await?;

    println!("  Redis counts; a worker is killed and joins again");
    fleet.workers[0].kill()?;
    let (without_one, _) = (calls_per_second(&mut fleet, turn / 2).await?, fleet.workers[0].start()?);
    let with_one_more = calls_per_second(&mut fleet, turn / 2).await?;
    fleet.workers[0].ready().await?;

    let (by_fallback, fallback) = without_redis(&mut fleet, &mut redis, turn).await?;
    let back = calls_per_second(&mut fleet, turn / 2).await?;

    let totals = fleet.healthflow.totals().await?;
    let waiting = fleet.journal.notes().count().waiting();
    ensure!(waiting > 0, "the backlog ended before the last turn; set --backlog higher");
    let load = json!({
        "requests_per_second": arguments.limit, "workers": 4, "partitions": PARTITIONS,
        "busy_partitions": BUSY_PARTITIONS, "turn_s": arguments.turn_s, "calls": totals.requests, "answered_429": totals.throttled,
        "most_calls_in_a_second": most, "left_of_the_backlog": waiting,
        "used_with_partitions": by_parts / limit, "parts_of_the_busy_workers": parts,
        "used_without_a_worker": without_one / limit, "used_while_it_joins": with_one_more / limit,
        "used_once_redis_is_back": back / limit,
    });
    let findings = vec![
        Finding::new(
            "partitions: used of the busy workers' parts",
            Sought::AtLeast(0.95),
            by_parts / limit / parts,
        ),
        Finding::new("redis: used of the limit", Sought::AtLeast(0.98), by_redis / limit),
        Finding::new(
            "redis away: used of the busy workers' fallback parts",
            Sought::AtLeast(0.95),
            by_fallback / limit / fallback,
        ),
        Finding::new("calls too many in any second, all turns", Sought::AtMost(0.0), totals.throttled as f64),
    ];
    Ok(Report::new("limits", load, findings))
}

/// Kills Redis for a turn: the calls a second, and which part of the limit the workers with a busy partition fall back to.
async fn without_redis(fleet: &mut Fleet, redis: &mut Redis, turn: Duration) -> Result<(f64, f64)> {
    println!("  Redis is killed");
    redis.kill()?;
    until(&fleet.workers, "without Redis", |away| away > 0.0).await?;
    sleep(SETTLE).await;
    let fallback = busy_parts(&fleet.workers).await? * FALLBACK_SHARE;
    let per_second = calls_per_second(fleet, turn).await?;
    redis.start_again()?;
    until(&fleet.workers, "with Redis again", |away| away == 0.0).await?;
    Ok((per_second, fallback))
}

/// Calls a second in the next `turn`.
async fn calls_per_second(fleet: &mut Fleet, turn: Duration) -> Result<f64> {
    let (from, before) = (Instant::now(), fleet.healthflow.totals().await?.requests);
    sleep(turn).await;
    fleet.check()?;
    let calls = fleet.healthflow.totals().await?.requests - before;
    let per_second = calls as f64 / from.elapsed().as_secs_f64();
    println!("    {per_second:.1} calls a second");
    Ok(per_second)
}

/// Stops all workers, then starts them with the limit shared in another way: two ways of counting do not know of each other.
async fn restart(fleet: &mut Fleet, share: &str) -> Result<()> {
    fleet.workers.iter_mut().for_each(Worker::stop);
    for worker in &mut fleet.workers {
        worker.set_environment(&[("HEALTHFLOW_SYNC__LIMITS__SHARE".to_owned(), share.to_owned())]);
        worker.start()?;
    }
    for worker in &mut fleet.workers {
        worker.ready().await?;
    }
    Ok(())
}

/// The part of all partitions that the workers have which have a busy one.
async fn busy_parts(workers: &[Worker]) -> Result<f64> {
    let deadline = Instant::now() + CHANGE_LIMIT;
    loop {
        let (mut of_busy, mut all) = (0, BTreeSet::new());
        for worker in workers {
            let page = worker.status().await.with_context(|| format!("{} has no status", worker.name))?;
            let own: Vec<i32> = page.status.tasks.iter().map(|task| task.partition).collect();
            of_busy += if own.iter().any(|partition| *partition < BUSY_PARTITIONS) { own.len() } else { 0 };
            all.extend(own);
        }
        if all.len() == PARTITIONS as usize {
            return Ok(of_busy as f64 / f64::from(PARTITIONS));
        }
        ensure!(Instant::now() < deadline, "{} of {PARTITIONS} partitions have an owner", all.len());
        sleep(LOOK).await;
    }
}

/// Waits until every worker's counter is as wanted.
async fn until(workers: &[Worker], what: &str, is_wanted: impl Fn(f64) -> bool) -> Result<()> {
    let deadline = Instant::now() + CHANGE_LIMIT;
    for worker in workers {
        while !is_wanted(worker.counter(AWAY).await?) {
            ensure!(Instant::now() < deadline, "{} does not go on {what}", worker.name);
            sleep(LOOK).await;
        }
    }
    Ok(())
}
