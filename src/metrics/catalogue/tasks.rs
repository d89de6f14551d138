//! The metrics of transactions and of the tasks that a worker owns.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGaugeVec};

use crate::metrics::builder::{Made, MetricsBuilder};
use healthflow_core::fact::DropCause;
use healthflow_core::life::LaneEnd;

/// Edges for one transaction, in seconds.
const TRANSACTION_EDGES: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Edges for one restore, in seconds.
const RESTORE_EDGES: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// What is committed.
pub(in crate::metrics) struct Transactions {
    pub(in crate::metrics) committed: IntCounter,
    pub(in crate::metrics) aborted: IntCounter,
    pub(in crate::metrics) records: IntCounter,
    pub(in crate::metrics) seconds: Histogram,
}

impl Transactions {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        Ok(Transactions {
            committed: builder
                .counter("healthflow_sync_transactions_committed_total", "Transactions that are good.")?,
            aborted: builder.counter(
                "healthflow_sync_transactions_aborted_total",
                "Transactions that were aborted and committed again from memory.",
            )?,
            records: builder
                .counter("healthflow_sync_transactions_records_total", "Records in good transactions.")?,
            seconds: builder.one_histogram(
                "healthflow_sync_transactions_commit_seconds",
                "Duration of transactions, until the broker confirms them.",
                TRANSACTION_EDGES,
            )?,
        })
    }
}

/// What this worker owns.
pub(in crate::metrics) struct Tasks {
    pub(in crate::metrics) owned: IntGaugeVec,
    pub(in crate::metrics) acquired: IntCounter,
    pub(in crate::metrics) released: IntCounter,
    pub(in crate::metrics) dropped: IntCounterVec,
    pub(in crate::metrics) restore_seconds: Histogram,
    pub(in crate::metrics) restored_records: IntCounter,
}

impl Tasks {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let tasks = Tasks {
            owned: builder.gauges(
                "healthflow_sync_tasks_owned_partitions",
                &["phase"],
                "Tasks this worker was assigned; phase is acquiring, live or draining.",
            )?,
            acquired: builder.counter("healthflow_sync_tasks_acquired_total", "Tasks that went live.")?,
            released: builder.counter(
                "healthflow_sync_tasks_released_total",
                "Tasks that were drained, committed and given back.",
            )?,
            dropped: builder.counters(
                "healthflow_sync_tasks_dropped_total",
                &["why"],
                "Tasks that were dropped with their memory; why is commit_lost, partition_lost or lane_ended.",
            )?,
            restore_seconds: builder.one_histogram(
                "healthflow_sync_tasks_restore_seconds",
                "Duration of restores, from fencing the old owner to the restored state.",
                RESTORE_EDGES,
            )?,
            restored_records: builder.counter(
                "healthflow_sync_tasks_restored_records_total",
                "State records that restores have read.",
            )?,
        };
        let lane_ended = DropCause::LaneEnded { topic: "", why: LaneEnd::ReadingEnded };
        for why in [DropCause::CommitLost, DropCause::PartitionLost, lane_ended] {
            tasks.dropped.with_label_values(&[crate::metrics::tally::drop_cause(why)]);
        }
        Ok(tasks)
    }
}
