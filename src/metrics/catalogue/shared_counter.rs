//! The metrics of the shared counter.

use prometheus::{Gauge, IntCounterVec};

use crate::metrics::builder::{Made, MetricsBuilder};
use healthflow_core::limits::shared_counter::CounterTrouble;

/// Whether the workers share one counter of calls, and whether it answers this one.
pub(in crate::metrics) struct SharedCounter {
    pub(in crate::metrics) away_seconds: Gauge,
    pub(in crate::metrics) lost: IntCounterVec,
}

impl SharedCounter {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let counter = SharedCounter {
            away_seconds: builder.seconds(
                "healthflow_sync_shared_counter_away_seconds",
                "How long the shared counter has not answered this worker, which keeps to limits.fallback_share of its share meanwhile; 0 while it answers, or is not used.",
            )?,
            lost: builder.counters(
                "healthflow_sync_shared_counter_lost_total",
                &["why"],
                "Times that it did not answer this worker any more; why is no_answer, unreachable, tls, wrong_password, unreadable_file, no_permission, read_only, starting or refused.",
            )?,
        };
        for why in CounterTrouble::ALL {
            counter.lost.with_label_values(&[why.code()]);
        }
        Ok(counter)
    }
}
