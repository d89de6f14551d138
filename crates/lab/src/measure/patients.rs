//! Who books in a measure: patients that DentScheduler and HealthFlow both know and that were introduced before, so that a
//! booking is one call.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use healthflow_core::time::{DAY_MS, Timestamp};
use serde_json::{Value, json};

use crate::audit::seconds;
use crate::bench::load::Load;
use crate::dentscheduler::now;
use crate::fleet::Fleet;
use crate::journal::{Asked, Notes};

/// How long the introduction may take.
const LIMIT: Duration = Duration::from_secs(300);

/// `of_each` patients of every practice of `practices`; the practices take turns.
pub fn load(practices: std::ops::Range<usize>, of_each: usize) -> Load {
    load_of(&practices.collect::<Vec<_>>(), of_each)
}

/// The same, of practices that are not in a row.
pub fn load_of(practices: &[usize], of_each: usize) -> Load {
    let patients = (0..of_each).flat_map(|number| practices.iter().map(move |practice| (*practice, number)));
    Load::of(patients.collect(), Timestamp((now().0 / DAY_MS + 7) * DAY_MS))
}

/// Has each patient of `load` book once, and forgets that. Returns HealthFlow's ids of their charts.
pub async fn introduce(fleet: &mut Fleet, load: &Load, first: usize) -> Result<Vec<String>> {
    let chart_ids = fleet.healthflow.seed(&load.charts).await?;
    println!("  {} patients are introduced by a booking each", chart_ids.len());
    let publications = load.publications(first, first + chart_ids.len(), None);
    fleet.publisher.publish(&publications, &chart_ids, &fleet.journal).await?;
    fleet.until_confirmed(LIMIT).await?;
    *fleet.journal.notes() = Notes::default();
    Ok(chart_ids)
}

/// From published to visible, in milliseconds, of those asked for that `counts`; and how many of them have no result.
pub fn waits_ms(notes: &Notes, counts: impl Fn(&Asked) -> bool) -> (Vec<i64>, usize) {
    let by_name = notes.results_by_name();
    let (mut waits_ms, mut without) = (Vec::new(), 0);
    for asked in notes.asked.iter().filter(|asked| counts(asked)) {
        match by_name.get(&asked.name).and_then(|results| results.first()) {
            Some(result) => waits_ms.push(result.at.since_ms(asked.at)),
            None => without += 1,
        }
    }
    (waits_ms, without)
}

/// How long those that `counts` waited, by when they were asked for: a row for every five seconds from `from` on. It shows what a
/// percentile of all of them hides.
pub fn waits_over_time(notes: &Notes, from: Timestamp, counts: impl Fn(&Asked) -> bool) -> Value {
    const STEP_MS: i64 = 5_000;
    let by_name = notes.results_by_name();
    let mut rows: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for asked in notes.asked.iter().filter(|asked| counts(asked) && asked.at >= from) {
        if let Some(result) = by_name.get(&asked.name).and_then(|results| results.first()) {
            rows.entry(asked.at.since_ms(from) / STEP_MS).or_default().push(result.at.since_ms(asked.at));
        }
    }
    let row = |(step, mut waits_ms): (i64, Vec<i64>)| {
        json!({
            "from_s": step * STEP_MS / 1_000, "samples": waits_ms.len(), "p50_s": seconds(&mut waits_ms, 0.5),
            "longest_s": seconds(&mut waits_ms, 1.0),
        })
    };
    rows.into_iter().map(row).collect()
}
