//! How fast a worker takes its tasks back after a crash: the benchmark kills it and starts it again on its whole state.

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::Instant;

use super::process;
use super::row::round;
use healthflow_testkit::processes::worker::Worker;

/// What the restore cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Restore {
    /// State records that were read; the log is not compacted yet, so these are all that were ever written.
    pub records: f64,
    /// From the start of the process until every task is live, in seconds; joining the group is in it.
    pub seconds: f64,
    /// Records per CPU second of the whole process, its start included.
    pub records_per_cpu_second: f64,
}

/// Kills the worker, starts it again and waits until it works.
pub async fn measure(worker: &mut Worker) -> Result<Restore> {
    worker.kill()?;
    let started = Instant::now();
    worker.start()?;
    worker.ready().await?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = process::cpu_seconds(worker.pid().context("the worker runs")?)?;
    let records = worker.counter("healthflow_sync_tasks_restored_records_total").await?;
    Ok(Restore { records, seconds: round(seconds), records_per_cpu_second: (records / cpu_seconds).round() })
}
