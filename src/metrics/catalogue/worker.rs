//! The metrics of the worker itself.

use prometheus::{Gauge, GaugeVec, IntCounter, IntGauge};

use crate::metrics::builder::{Made, MetricsBuilder};

/// How the worker is.
pub(in crate::metrics) struct WorkerState {
    pub(in crate::metrics) ready: IntGauge,
    pub(in crate::metrics) joined: IntGauge,
    pub(in crate::metrics) start_waits: GaugeVec,
    pub(in crate::metrics) status_age: Gauge,
    pub(in crate::metrics) log_lines_lost: IntCounter,
    pub(in crate::metrics) clock_ahead: Gauge,
}

impl WorkerState {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        Ok(WorkerState {
            ready: builder.level(
                "healthflow_sync_worker_ready",
                "1 if the worker is a member of its group and works on every task that it owns, else 0.",
            )?,
            joined: builder.level(
                "healthflow_sync_worker_joined",
                "1 if the worker is a member of its group, even if it owns no task, else 0.",
            )?,
            start_waits: builder.ages(
                "healthflow_sync_worker_start_waits_seconds",
                &["step"],
                "How long the start has waited at this step, which is brokers, rights, topics, clock, name, fleet or controls; absent once the worker works.",
            )?,
            status_age: builder.seconds(
                "healthflow_sync_worker_status_age_seconds",
                "Age of the worker's last status; keeps growing while the worker hangs.",
            )?,
            log_lines_lost: builder.counter(
                "healthflow_sync_worker_log_lines_lost_total",
                "Log lines that could not be written: the reader of the log is too slow or gone, or its disk is full.",
            )?,
            clock_ahead: builder.seconds(
                "healthflow_sync_worker_clock_ahead_seconds",
                "How far the worker's clock is ahead of the brokers', beyond the round trip (negative: behind); 0 if unknown.",
            )?,
        })
    }
}
