//! What was measured, as a value: a row of `bench.json` and of the printed tables.

use std::collections::BTreeMap;

use serde::Serialize;

use super::restore::Restore;
use super::rig::Waits;
use super::used::Used;

/// What was measured at one concurrency, or at one fixed rate.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `worker.max_in_flight`.
    pub in_flight: usize,
    /// The fixed rate at which bookings came, a second; none if they were all there before the worker began.
    pub rate_in: Option<u32>,
    /// Results a second.
    pub bookings_per_second: f64,
    /// Of what so many calls of that duration can do; none at a fixed rate.
    pub percent_of_nominal: Option<f64>,
    /// Of what the bare loop did; none at a fixed rate.
    pub percent_of_bare_loop: Option<f64>,
    /// Requests a second of the bare loop; none at a fixed rate.
    pub bare_loop_per_second: Option<f64>,
    /// Of the worker.
    pub cpu_seconds_per_1000: f64,
    /// Of the broker.
    pub broker_cpu_seconds_per_1000: f64,
    /// Good transactions of the worker.
    pub transactions_per_1000: f64,
    /// Calls of HealthFlow; the bare loop makes 1,000.
    pub calls_per_1000: f64,
    /// Of the worker.
    pub peak_rss_mb: f64,
    /// From the event to the result that a `read_committed` consumer sees, at `paced_per_second`.
    pub visible_ms_p50: f64,
    /// The same, 99 of 100.
    pub visible_ms_p99: f64,
    /// Of how many bookings these are percentiles.
    pub visible_samples: usize,
    /// `visible_ms_p50` under its older name.
    pub confirm_ms_p50: f64,
    /// `visible_ms_p99` under its older name.
    pub confirm_ms_p99: f64,
    /// The rate at which bookings came while it was measured how long they took.
    pub paced_per_second: f64,
    /// CPU seconds per 1,000 bookings, by what the worker's threads do.
    pub cpu_by_threads: BTreeMap<&'static str, f64>,
    /// What a restart cost; none at a fixed rate.
    pub restore: Option<Restore>,
}

impl Row {
    /// What rows of both kinds have.
    pub fn new(
        in_flight: usize,
        bookings_per_second: f64,
        paced_per_second: f64,
        waits: Waits,
        used: Used,
        peak_rss_mb: f64,
    ) -> Row {
        Row {
            in_flight,
            rate_in: None,
            bookings_per_second: round(bookings_per_second),
            percent_of_nominal: None,
            percent_of_bare_loop: None,
            bare_loop_per_second: None,
            cpu_seconds_per_1000: used.worker_cpu_seconds,
            broker_cpu_seconds_per_1000: used.broker_cpu_seconds,
            transactions_per_1000: used.transactions,
            calls_per_1000: used.calls,
            peak_rss_mb: round(peak_rss_mb),
            visible_ms_p50: waits.p50_ms,
            visible_ms_p99: waits.p99_ms,
            visible_samples: waits.samples,
            confirm_ms_p50: waits.p50_ms,
            confirm_ms_p99: waits.p99_ms,
            paced_per_second: round(paced_per_second),
            cpu_by_threads: used.worker_cpu_by_threads,
            restore: None,
        }
    }

    /// What the row is about.
    pub fn name(&self) -> String {
        match self.rate_in {
            None => format!("{} in flight", self.in_flight),
            Some(rate) => format!("{rate} a second"),
        }
    }
}

/// To a tenth.
pub fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The rows, as the tables of docs/performance.md.
pub fn tables(rows: &[Row]) -> String {
    let (backlogs, rates): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.rate_in.is_none());
    let mut tables = Vec::new();
    if !backlogs.is_empty() {
        tables.push(backlog_table(&backlogs));
    }
    if !rates.is_empty() {
        tables.push(rate_table(&rates));
    }
    tables.push(thread_table(rows));
    tables.join("\n\n")
}

fn backlog_table(rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        let or_none = Option::unwrap_or_default;
        let (p50, p99, samples) = (row.visible_ms_p50, row.visible_ms_p99, row.visible_samples);
        format!(
            "| {} | {:.0} | {:.1} | {:.0} | {:.1} | {:.3} | {:.3} | {:.1} | {:.0} | {:.0} | {p50:.0} / {p99:.0} ({samples} at {:.0}/s) |",
            row.in_flight,
            row.bookings_per_second,
            or_none(row.percent_of_nominal),
            or_none(row.bare_loop_per_second),
            or_none(row.percent_of_bare_loop),
            row.cpu_seconds_per_1000,
            row.broker_cpu_seconds_per_1000,
            row.transactions_per_1000,
            row.calls_per_1000,
            row.peak_rss_mb,
            row.paced_per_second,
        )
    };
    table(
        "| in flight | bookings/s | % of nominal | bare loop/s | % of bare loop | worker CPU s per 1,000 | broker CPU s per 1,000 | transactions per 1,000 | calls per 1,000 | peak RSS MB | event to visible result p50 / p99 ms |",
        rows.iter().map(line),
    )
}

fn rate_table(rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        format!(
            "| {} | {:.0} | {:.0} / {:.0} | {} | {:.3} | {:.3} | {:.1} | {:.0} | {:.0} |",
            row.rate_in.unwrap_or_default(),
            row.bookings_per_second,
            row.visible_ms_p50,
            row.visible_ms_p99,
            row.visible_samples,
            row.cpu_seconds_per_1000,
            row.broker_cpu_seconds_per_1000,
            row.transactions_per_1000,
            row.calls_per_1000,
            row.peak_rss_mb,
        )
    };
    table(
        "| bookings/s in | results/s out | event to visible result p50 / p99 ms | samples | worker CPU s per 1,000 | broker CPU s per 1,000 | transactions per 1,000 | calls per 1,000 | peak RSS MB |",
        rows.iter().map(line),
    )
}

fn thread_table(rows: &[Row]) -> String {
    let purposes: std::collections::BTreeSet<&str> =
        rows.iter().flat_map(|row| row.cpu_by_threads.keys().copied()).collect();
    let head: Vec<String> = rows.iter().map(|row| format!(" {} |", row.name())).collect();
    let line = |purpose: &&str| {
        let seconds = |row: &Row| row.cpu_by_threads.get(purpose).copied().unwrap_or_default();
        let cells: Vec<String> = rows.iter().map(|row| format!(" {:.3} |", seconds(row))).collect();
        format!("| {purpose} |{}", cells.concat())
    };
    table(&format!("| the worker's threads, CPU s per 1,000 |{}", head.concat()), purposes.iter().map(line))
}

/// A table in Markdown.
pub fn table(head: &str, lines: impl Iterator<Item = String>) -> String {
    let rule = format!("|{}", "---|".repeat(head.matches('|').count() - 1));
    [head.to_owned(), rule].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}
