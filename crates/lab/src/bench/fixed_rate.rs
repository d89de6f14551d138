//! The rows of fixed rates: an ordinary load on one worker with its defaults, and how long a practice waits.

use std::path::Path;

use anyhow::Result;

use super::rig::{Ground, Plan, Rig};
use super::row::Row;
use super::{Arguments, process};

/// `worker.max_in_flight` by default, which these rows leave as it is.
pub const IN_FLIGHT: usize = 64;
/// How long each rate comes before it is measured, in seconds.
const SETTLE_S: u64 = 5;

/// Measures every rate, on one worker and one broker.
pub async fn measure(arguments: &Arguments, out: &Path) -> Result<Vec<Row>> {
    let counts = |rate: &u32| bookings(*rate, SETTLE_S) + bookings(*rate, arguments.rate_s);
    let plan = Plan {
        name: "rates".to_owned(),
        out,
        partitions: arguments.partitions,
        latency_ms: arguments.latency_ms,
        // Never fewer patients than in the other rows: their introduction warms up.
        bookings: arguments.rates.iter().map(counts).sum::<usize>().max(arguments.bookings),
        in_flight: None,
    };
    let mut rig = Rig::on(Ground::start(&plan).await?).await?;
    rig.worker.start()?;
    rig.introduce().await?;
    let mut rows = Vec::new();
    for rate in &arguments.rates {
        rows.push(at(&mut rig, *rate, arguments.rate_s).await?);
    }
    Ok(rows)
}

/// Measures one rate.
async fn at(rig: &mut Rig, rate: u32, seconds: u64) -> Result<Row> {
    let (settle, count) = (bookings(rate, SETTLE_S), bookings(rate, seconds));
    println!("  {rate} bookings a second: for {SETTLE_S} s to settle, then {count} in {seconds} s");
    rig.publish(settle, Some(rate.into())).await?;
    rig.until(settle).await?;
    let began = rig.read().await?.of_none();
    rig.publish(count, Some(rate.into())).await?;
    rig.until(count).await?;
    let used = began.until(&rig.read().await?);
    rig.expect_created(count)?;
    let per_second = rig.results_per_second(0, count - 1);
    let peak_rss_mb = process::peak_rss_mb(rig.pid()?)?;
    let row = Row::new(IN_FLIGHT, per_second, rate.into(), rig.waits(), used, peak_rss_mb);
    Ok(Row { rate_in: Some(rate), ..row })
}

/// How many come in so many seconds, at least two.
fn bookings(rate: u32, seconds: u64) -> usize {
    (u64::from(rate) * seconds).max(2) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_rows_leave_unset_is_the_default() {
        let file = healthflow_testkit::project("config/default.toml");
        let text = std::fs::read_to_string(file).expect("the defaults");
        let defaults: toml::Table = text.parse().expect("TOML");
        assert_eq!(defaults["worker"]["max_in_flight"].as_integer(), Some(IN_FLIGHT as i64));
    }
}
