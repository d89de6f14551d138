//! The metrics of the circuit breaker.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGaugeVec};

use crate::metrics::builder::{Made, MetricsBuilder};
use healthflow_core::limits::breaker::{BreakerCause, BreakerState};

/// Whether HealthFlow works.
pub(in crate::metrics) struct Breaker {
    pub(in crate::metrics) state: IntGaugeVec,
    pub(in crate::metrics) open_seconds: Gauge,
    pub(in crate::metrics) opened: IntCounterVec,
    pub(in crate::metrics) failed_probes: IntCounter,
}

impl Breaker {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let breaker = Breaker {
            state: builder.gauges(
                "healthflow_sync_breaker_state",
                &["state"],
                "1 for the state that the circuit breaker is in, 0 for the others; state is closed, open (HealthFlow does not work, nothing is sent but a probe) or ramping (it has just come back).",
            )?,
            open_seconds: builder.seconds(
                "healthflow_sync_breaker_open_seconds",
                "How long it has been open; 0 if it is not.",
            )?,
            opened: builder.counters(
                "healthflow_sync_breaker_opened_total",
                &["cause"],
                "Times that it opened; cause is the class of the fault that opened it, or slow.",
            )?,
            failed_probes: builder.counter(
                "healthflow_sync_breaker_failed_probes_total",
                "Probes that failed: HealthFlow still did not work.",
            )?,
        };
        for cause in BreakerCause::ALL {
            breaker.opened.with_label_values(&[cause.code()]);
        }
        for state in BreakerState::ALL {
            breaker.state.with_label_values(&[state.code()]);
        }
        Ok(breaker)
    }
}
