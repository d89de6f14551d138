//! HealthFlow is down for minutes under a Monday's load: refused connections, then 503, then no answer at all. Then it is back.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use healthflow_core::event::result::ResultOutcome;
use healthflow_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{LATENCY_MS, PARTITIONS, patients};
use crate::audit::seconds;
use crate::dentscheduler::now;
use crate::fleet::{Fleet, LOOK, Plan};
use crate::healthflow::{HealthFlow, good_health};
use crate::journal::{Asked, Journal, Notes};
use healthflow_proof::finding::{Finding, Report, Sought};
use healthflow_testkit::processes::set;
use healthflow_testkit::processes::worker::Worker;

const PRACTICES: usize = 100;
const PATIENTS_OF_EACH: usize = 5;
/// How long everything is well before.
const BEFORE_S: u64 = 20;
/// How long the breakers may take to open, and to close once HealthFlow is back.
const BREAKER_LIMIT: Duration = Duration::from_secs(60);
/// The promise.
const CONFIRMED_MS: i64 = 30_000;

/// What `measure outage` understands.
#[derive(Args)]
pub struct Arguments {
    /// Requests a second that HealthFlow allows.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Bookings a second, of one request each: 60 % of the limit by default.
    #[arg(long, default_value_t = 60)]
    per_second: u32,
    /// How long HealthFlow is down, in seconds: a third each.
    #[arg(long, default_value_t = 180)]
    outage_s: u64,
    /// How long the last results may take after the last booking, in seconds.
    #[arg(long, default_value_t = 300)]
    wait_limit_s: u64,
}

/// When what happened.
struct Times {
    /// Every breaker was open from then on.
    opened_at: Timestamp,
    /// HealthFlow was back.
    recovered_at: Timestamp,
    /// Calls a second from the end of the ramps to the end of the backlog.
    calls_per_second: f64,
    /// How long the backlog took from the recovery on, in seconds.
    backlog_s: f64,
}

/// Measures.
pub async fn measure(arguments: &Arguments, out: &Path, logs: &Path) -> Result<Report> {
    let spare = f64::from(arguments.limit) - f64::from(arguments.per_second);
    ensure!(spare > 0.0, "a backlog never ends at {} of {} a second", arguments.per_second, arguments.limit);
    // A little more than the workers' limit: the two count their seconds from different moments.
    let health = good_health(LATENCY_MS, f64::from(arguments.limit) * 1.1);
    let settings = set(&[("healthflow.requests_per_second", &f64::from(arguments.limit).to_string())]);
    let plan = Plan { out, logs, knobs: &health, partitions: PARTITIONS, workers: 2, settings };
    let mut fleet = Fleet::open(&plan).await?;
    let load = patients::load(0..PRACTICES, PATIENTS_OF_EACH);
    let chart_ids = patients::introduce(&mut fleet, &load, 0).await?;
    let drain_s = (arguments.outage_s as f64 * f64::from(arguments.per_second) / spare * 1.2) as u64;
    let count = (BEFORE_S + arguments.outage_s + drain_s + 30) * u64::from(arguments.per_second);
    let first = chart_ids.len();
    let publications =
        load.publications(first, first + count as usize, Some(f64::from(arguments.per_second)));
    println!("  {count} bookings, {} a second; HealthFlow is down after {BEFORE_S} s", arguments.per_second);
    let times = {
        let Fleet { publisher, workers, healthflow, journal, .. } = &mut fleet;
        let publish = publisher.publish(&publications, &chart_ids, journal);
        let (published, times) =
            tokio::join!(publish, perform(arguments, workers, healthflow, journal, &health));
        published?;
        times?
    };
    fleet.until_confirmed(Duration::from_secs(arguments.wait_limit_s)).await?;
    let totals = fleet.healthflow.totals().await?;
    let over_time = patients::waits_over_time(&fleet.journal.notes(), times.recovered_at, |_| true);
    let load = json!({
        "after_it_over_time": over_time, "requests_per_second": arguments.limit, "bookings_per_second": arguments.per_second, "bookings": count,
        "outage_s": arguments.outage_s, "backlog_s": times.backlog_s, "answered_429": totals.throttled,
        "peak_requests_per_second": totals.peak_requests_per_second, "workers": 2,
    });
    Ok(Report::new("outage", load, findings(&fleet.journal.notes(), &times, arguments.limit)))
}

/// Breaks HealthFlow, mends it, and sees how fast the backlog goes.
async fn perform(
    arguments: &Arguments,
    workers: &[Worker],
    healthflow: &HealthFlow,
    journal: &Journal,
    health: &Value,
) -> Result<Times> {
    sleep(Duration::from_secs(BEFORE_S)).await;
    let third = Duration::from_secs(arguments.outage_s) / 3;
    let began = Instant::now();
    broken(healthflow, health, json!({"down": "refused"}), "refuses connections").await?;
    until_breakers(workers, true).await?;
    let opened_at = now();
    println!("  the breakers are open after {:.1} s", began.elapsed().as_secs_f64());
    sleep(third.saturating_sub(began.elapsed())).await;
    broken(healthflow, health, json!({"down": "unavailable"}), "answers 503").await?;
    sleep(third).await;
    broken(healthflow, health, json!({"drop_before": 1.0, "hang_ms": 60_000}), "does not answer").await?;
    sleep(third).await;
    healthflow.set_faults(health).await?;
    let (recovered_at, recovered) = (now(), Instant::now());
    println!("  HealthFlow is back; {} bookings wait", journal.notes().count().waiting());
    until_breakers(workers, false).await?;
    println!("  the breakers are closed after {:.1} s", recovered.elapsed().as_secs_f64());
    let (from, before) = (Instant::now(), healthflow.totals().await?.requests);
    let settled = arguments.per_second as usize;
    while journal.notes().count().waiting() > settled {
        sleep(LOOK).await;
    }
    let calls = healthflow.totals().await?.requests - before;
    let calls_per_second = calls as f64 / from.elapsed().as_secs_f64();
    Ok(Times { opened_at, recovered_at, calls_per_second, backlog_s: recovered.elapsed().as_secs_f64() })
}

/// HealthFlow is as in `health`, but for `knobs`.
async fn broken(healthflow: &HealthFlow, health: &Value, knobs: Value, what: &str) -> Result<()> {
    println!("  HealthFlow {what}");
    healthflow.set_faults(health).await?;
    healthflow.set_faults(&knobs).await
}

/// Waits until every worker's breaker is open, or closed again and at full speed.
async fn until_breakers(workers: &[Worker], open: bool) -> Result<()> {
    let deadline = Instant::now() + BREAKER_LIMIT;
    loop {
        let mut as_wanted = 0;
        for worker in workers {
            let status = worker.status().await;
            as_wanted += usize::from(status.is_some_and(|page| page.status.breaker.is_some() == open));
        }
        if as_wanted == workers.len() {
            return Ok(());
        }
        let state = if open { "opened" } else { "closed" };
        ensure!(Instant::now() < deadline, "not every breaker {state} within {} s", BREAKER_LIMIT.as_secs());
        sleep(LOOK).await;
    }
}

fn findings(notes: &Notes, times: &Times, limit: u32) -> Vec<Finding> {
    let by_name = notes.results_by_name();
    let dead = notes.results.iter().filter(|result| result.outcome == ResultOutcome::Failed).count();
    let in_outage = |at: Timestamp| at > times.opened_at && at < times.recovered_at;
    let first = |asked: &Asked| by_name.get(&asked.name).and_then(|results| results.first());
    let spent: u32 = (notes.asked.iter().filter(|asked| in_outage(asked.at)))
        .filter_map(|asked| Some(first(asked)?.attempts.saturating_sub(1)))
        .sum();
    let (mut fresh_ms, without) = patients::waits_ms(notes, |asked| asked.at >= times.recovered_at);
    let asked = (fresh_ms.len() + without).max(1);
    let in_time = fresh_ms.iter().filter(|wait_ms| **wait_ms <= CONFIRMED_MS).count();
    let several = by_name.values().filter(|results| results.len() > 1).count();
    vec![
        Finding::new("dead letters", Sought::AtMost(0.0), dead as f64),
        Finding::new("versions with more than one result", Sought::AtMost(0.0), several as f64),
        Finding::new("attempts spent while the breakers were open", Sought::AtMost(0.0), f64::from(spent)),
        Finding::new(
            "share confirmed in 30 s of those asked for after it",
            Sought::AtLeast(0.99),
            in_time as f64 / asked as f64,
        ),
        Finding::new("of them, p99 in seconds", Sought::AtMost(30.0), seconds(&mut fresh_ms, 0.99)),
        Finding::new(
            "calls while the backlog goes, of the limit",
            Sought::AtLeast(0.9),
            times.calls_per_second / f64::from(limit),
        ),
    ]
}
