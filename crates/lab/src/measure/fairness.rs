//! A hundred practices book now and then, and one publishes thousands of bookings at once, as after an import. The others are
//! compared with themselves without the burst, in the same run.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{LATENCY_MS, PARTITIONS, patients};
use crate::audit::seconds;
use crate::fleet::{Fleet, Plan};
use crate::healthflow::good_health;
use crate::journal::{Asked, Name, Notes};
use crate::workload::practice_id;
use healthflow_proof::finding::{Finding, Report, Sought};
use healthflow_testkit::processes::set;

const PRACTICES: usize = 100;
const PATIENTS_OF_EACH: usize = 3;
/// The practice with the burst comes after the others.
const BUSY: std::ops::Range<usize> = PRACTICES..PRACTICES + 1;
const BUSY_PATIENTS: usize = 500;
/// Its bookings have numbers far from the others'.
const BUSY_FIRST: usize = 1_000_000;
/// When the burst comes, in milliseconds after the first booking of the others.
const BURST_AT_MS: i64 = 5_000;

/// What `measure fairness` understands.
#[derive(Args)]
pub struct Arguments {
    /// Requests a second that HealthFlow allows.
    #[arg(long, default_value_t = 200)]
    limit: u32,
    /// Bookings a second of the others together.
    #[arg(long, default_value_t = 30)]
    per_second: u32,
    /// How long the others book without the burst, in seconds, and as long again beside it.
    #[arg(long, default_value_t = 60)]
    turn_s: u64,
    /// How many bookings the burst has.
    #[arg(long, default_value_t = 10_000)]
    burst: usize,
    /// How long the last results may take after the last booking, in seconds.
    #[arg(long, default_value_t = 300)]
    wait_limit_s: u64,
}

/// How long the others waited in one turn.
struct Turn {
    p50_s: f64,
    p99_s: f64,
    samples: usize,
}

/// Measures.
pub async fn measure(arguments: &Arguments, out: &Path, logs: &Path) -> Result<Report> {
    // A little more than the workers' limit: the two count their seconds from different moments.
    let health = good_health(LATENCY_MS, f64::from(arguments.limit) * 1.1);
    let settings = set(&[("healthflow.requests_per_second", &f64::from(arguments.limit).to_string())]);
    let plan = Plan { out, logs, knobs: &health, partitions: PARTITIONS, workers: 2, settings };
    let mut fleet = Fleet::open(&plan).await?;
    let others = patients::load(0..PRACTICES, PATIENTS_OF_EACH);
    let busy = patients::load(BUSY, BUSY_PATIENTS);
    let charts = patients::introduce(&mut fleet, &others, 0).await?;
    let busy_charts = patients::introduce(&mut fleet, &busy, BUSY_FIRST).await?;
    let limit = Duration::from_secs(arguments.wait_limit_s);
    let in_turn = (arguments.turn_s * u64::from(arguments.per_second)) as usize;
    let per_second = Some(f64::from(arguments.per_second));
    let mut first = charts.len();

    println!("  {} s without the burst", arguments.turn_s);
    let trickle = others.publications(first, first + in_turn, per_second);
    fleet.publisher.publish(&trickle, &charts, &fleet.journal).await?;
    fleet.until_confirmed(limit).await?;
    let without = turn(&fleet.journal.notes());
    *fleet.journal.notes() = Notes::default();
    first += in_turn;

    println!("  {} s beside a burst of {}", arguments.turn_s, arguments.burst);
    let trickle = others.publications(first, first + in_turn, per_second);
    let from = BUSY_FIRST + busy_charts.len();
    let mut burst = busy.publications(from, from + arguments.burst, None);
    burst.iter_mut().for_each(|one| one.at_ms = BURST_AT_MS);
    let (trickled, burst) = tokio::join!(
        fleet.publisher.publish(&trickle, &charts, &fleet.journal),
        fleet.publisher.publish(&burst, &busy_charts, &fleet.journal),
    );
    trickled?;
    burst?;
    let waiting = fleet.journal.notes().count().waiting();
    println!("  {waiting} bookings of the burst still wait; until they are done");
    fleet.until_confirmed(limit).await?;
    let beside = turn(&fleet.journal.notes());
    let (mut burst_ms, _) = patients::waits_ms(&fleet.journal.notes(), is_of_burst);

    let notes = fleet.journal.notes();
    let began_at = notes.asked.iter().map(|asked| asked.at).min().unwrap_or_default();
    let others_over_time = patients::waits_over_time(&notes, began_at, |asked| !is_of_burst(asked));
    drop(notes);
    let load = json!({
        "others_over_time": others_over_time, "requests_per_second": arguments.limit, "bookings_per_second": arguments.per_second, "practices": PRACTICES,
        "burst": arguments.burst, "samples": [without.samples, beside.samples], "workers": 2,
        "burst_waiting_after_the_turn": waiting, "burst_p50_s": seconds(&mut burst_ms, 0.5),
        "burst_p99_s": seconds(&mut burst_ms, 0.99), "others_p50_s": [without.p50_s, beside.p50_s],
        "others_p99_s": [without.p99_s, beside.p99_s],
    });
    let findings = vec![
        Finding::new(
            "the others' p99 beside the burst, of that without",
            Sought::AtMost(2.0),
            beside.p99_s / without.p99_s,
        ),
        Finding::new("the others' p99 beside the burst, in seconds", Sought::AtMost(30.0), beside.p99_s),
    ];
    Ok(Report::new("fairness", load, findings))
}

fn is_of_burst(asked: &Asked) -> bool {
    matches!(&asked.name, Name::Version(booking, _) if booking.practice.as_str() == practice_id(BUSY.start))
}

fn turn(notes: &Notes) -> Turn {
    let (mut waits_ms, _) = patients::waits_ms(notes, |asked| !is_of_burst(asked));
    Turn { p50_s: seconds(&mut waits_ms, 0.5), p99_s: seconds(&mut waits_ms, 0.99), samples: waits_ms.len() }
}
