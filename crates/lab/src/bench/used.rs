//! What the bookings between two moments cost: worker, broker, transactions.

use std::collections::BTreeMap;

use anyhow::Result;

use super::process;

/// What was used up to one moment.
pub struct Reading {
    seen: usize,
    worker_cpu_seconds: f64,
    worker_cpu_by_threads: BTreeMap<&'static str, f64>,
    broker_cpu_seconds: f64,
    transactions: f64,
    calls: f64,
}

/// What 1,000 bookings used. The broker also serves DentScheduler's stand-in: its records in, its results out.
pub struct Used {
    /// CPU seconds of the worker.
    pub worker_cpu_seconds: f64,
    /// The same, by what its threads do.
    pub worker_cpu_by_threads: BTreeMap<&'static str, f64>,
    /// CPU seconds of the broker.
    pub broker_cpu_seconds: f64,
    /// Good transactions.
    pub transactions: f64,
    /// Calls of HealthFlow that were begun.
    pub calls: f64,
}

impl Reading {
    /// Reads what both processes have used; `seen` results were visible by then, after so many good transactions and calls.
    pub fn take(worker: u32, broker: u32, seen: usize, transactions: f64, calls: f64) -> Result<Reading> {
        Ok(Reading {
            seen,
            worker_cpu_seconds: process::cpu_seconds(worker)?,
            worker_cpu_by_threads: process::cpu_seconds_by_threads(worker)?,
            broker_cpu_seconds: process::cpu_seconds(broker)?,
            transactions,
            calls,
        })
    }

    /// The same moment, as the beginning of what is published next.
    pub fn of_none(self) -> Reading {
        Reading { seen: 0, ..self }
    }

    /// What 1,000 bookings used from this reading to a `later` one.
    pub fn until(&self, later: &Reading) -> Used {
        let bookings = later.seen.saturating_sub(self.seen).max(1) as f64;
        let per_1000 = |from: f64, to: f64| round((to - from) * 1_000.0 / bookings);
        let threads = |(name, to): (&&'static str, &f64)| {
            (*name, per_1000(self.worker_cpu_by_threads.get(name).copied().unwrap_or_default(), *to))
        };
        Used {
            worker_cpu_seconds: per_1000(self.worker_cpu_seconds, later.worker_cpu_seconds),
            worker_cpu_by_threads: later.worker_cpu_by_threads.iter().map(threads).collect(),
            broker_cpu_seconds: per_1000(self.broker_cpu_seconds, later.broker_cpu_seconds),
            transactions: per_1000(self.transactions, later.transactions),
            calls: per_1000(self.calls, later.calls),
        }
    }
}

/// To a thousandth.
fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(seen: usize, worker: f64, broker: f64, transactions: f64) -> Reading {
        Reading {
            seen,
            worker_cpu_seconds: worker,
            worker_cpu_by_threads: [("decide", worker / 2.0)].into(),
            broker_cpu_seconds: broker,
            transactions,
            calls: transactions * 2.0,
        }
    }

    #[test]
    fn what_was_used_before_counts_for_nobody() {
        let used = reading(500, 1.0, 10.0, 40.0).until(&reading(2_500, 1.5, 14.0, 140.0));
        assert_eq!((used.worker_cpu_seconds, used.broker_cpu_seconds, used.transactions), (0.25, 2.0, 50.0));
        assert_eq!((used.worker_cpu_by_threads["decide"], used.calls), (0.125, 100.0));
    }
}
