//! The metrics of what operators set by hand.

use prometheus::{Gauge, GaugeVec, IntCounterVec};

use crate::metrics::builder::{Made, MetricsBuilder};
use healthflow_core::event::ControlKind;

/// What operators set by hand.
pub(in crate::metrics) struct Controls {
    pub(in crate::metrics) in_force: GaugeVec,
    pub(in crate::metrics) changed: IntCounterVec,
    pub(in crate::metrics) unread: Gauge,
}

impl Controls {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let controls = Controls {
            in_force: builder.ages(
                "healthflow_sync_controls_in_force_seconds",
                &["kind", "scope", "by", "why"],
                "How long what an operator set by hand has been in force; kind is pause or limit, scope is account or practice, by and why are the operator's words. At most 50 are shown.",
            )?,
            changed: builder.counters(
                "healthflow_sync_controls_changed_total",
                &["kind"],
                "Times that something was set by hand or taken back while this worker ran; kind is pause or limit.",
            )?,
            unread: builder.seconds(
                "healthflow_sync_controls_unread_seconds",
                "Time since the controls were last read to their end; until they are, the worker obeys what it read then.",
            )?,
        };
        for kind in ControlKind::ALL {
            controls.changed.with_label_values(&[kind.code()]);
        }
        Ok(controls)
    }
}
