//! A row of a concurrency: how fast a worker is that always has something to do, beside a bare loop of the same requests.

use anyhow::Result;

use super::rig::{Ground, Plan, Rig};
use super::row::{self, Row};
use super::{Arguments, bare_loop, process, restore};
use crate::dentscheduler::now;

/// The paced load, as a share of what was reached.
const PACE: f64 = 0.5;
/// Where the numbers of the bare loop's bookings begin: apart from all others.
const BARE_LOOP_FROM: usize = 5_000_000;

/// Measures at one concurrency, with nothing else set.
pub async fn measure(arguments: &Arguments, in_flight: usize, out: &std::path::Path) -> Result<Row> {
    let count = arguments.bookings;
    let plan = Plan {
        name: in_flight.to_string(),
        out,
        partitions: arguments.partitions,
        latency_ms: arguments.latency_ms,
        bookings: count,
        in_flight: Some(in_flight),
    };
    let ground = Ground::start(&plan).await?;
    println!("  the bare loop: {count} requests without Kafka");
    let requests = ground.load.requests(BARE_LOOP_FROM, BARE_LOOP_FROM + count, &ground.chart_ids, now())?;
    let file = out.join("requests.json");
    let bare_loop_per_second = bare_loop::measure(&ground.simulator.url, in_flight, requests, &file).await?;

    let mut rig = Rig::on(ground).await?;
    rig.worker.start()?;
    rig.introduce().await?;
    rig.worker.stop();
    println!("  {count} bookings are published, then the worker starts again");
    rig.publish(count, None).await?;
    rig.worker.start()?;
    let (first, last) = (count / 10, count * 9 / 10);
    rig.until(first).await?;
    let began = rig.read().await?;
    rig.until(last).await?;
    let used = began.until(&rig.read().await?);
    rig.until(count).await?;
    rig.expect_created(count)?;
    let per_second = rig.results_per_second(first, last);

    let paced_per_second = per_second * PACE;
    println!("  {per_second:.0} bookings/s; now {paced_per_second:.0} a second for {} s", arguments.paced_s);
    let paced = ((paced_per_second * arguments.paced_s as f64) as usize).max(1);
    rig.publish(paced, Some(paced_per_second)).await?;
    rig.until(paced).await?;
    let waits = rig.waits();
    let peak_rss_mb = process::peak_rss_mb(rig.pid()?)?;
    println!("  the worker is killed and started again");
    let restore = restore::measure(&mut rig.worker).await?;
    let nominal_per_second = in_flight as f64 * 1_000.0 / arguments.latency_ms as f64;
    Ok(Row {
        percent_of_nominal: Some(row::round(per_second * 100.0 / nominal_per_second)),
        percent_of_bare_loop: Some(row::round(per_second * 100.0 / bare_loop_per_second)),
        bare_loop_per_second: Some(row::round(bare_loop_per_second)),
        restore: Some(restore),
        ..Row::new(in_flight, per_second, paced_per_second, waits, used, peak_rss_mb)
    })
}
