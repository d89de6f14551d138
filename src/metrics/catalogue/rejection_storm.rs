//! The metrics of storms of refusals.

use prometheus::{GaugeVec, IntCounterVec};

use crate::metrics::builder::{Made, MetricsBuilder};
use healthflow_core::healthflow::Operation;
use healthflow_core::status::ControlScope;

/// Whether HealthFlow refuses nearly everything.
pub(in crate::metrics) struct RejectionStorm {
    pub(in crate::metrics) active: GaugeVec,
    pub(in crate::metrics) begun: IntCounterVec,
}

impl RejectionStorm {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let storm = RejectionStorm {
            active: builder.ages(
                "healthflow_sync_rejection_storm_active_seconds",
                &["scope"],
                "How long the oldest storm of refusals has lasted: HealthFlow refuses nearly everything, so what it refuses waits; 0 if there is none; scope is account or practice.",
            )?,
            begun: builder.counters(
                "healthflow_sync_rejection_storm_begun_total",
                &["scope", "operation"],
                "Storms that began; scope is account or practice, operation as in the calls.",
            )?,
        };
        for scope in ControlScope::ALL {
            storm.active.with_label_values(&[scope.code()]);
            for operation in
                [Operation::CreatePatient, Operation::CreateAppointment, Operation::UpdateAppointment]
            {
                storm.begun.with_label_values(&[scope.code(), operation.code()]);
            }
        }
        Ok(storm)
    }
}
