//! The metrics of what waits for people.

use prometheus::{IntCounter, IntGauge, IntGaugeVec};

use crate::metrics::builder::{Made, MetricsBuilder};

/// What waits for people.
pub(in crate::metrics) struct Reviews {
    pub(in crate::metrics) open: IntGaugeVec,
    pub(in crate::metrics) urgent: IntGauge,
    pub(in crate::metrics) became_urgent: IntCounter,
    pub(in crate::metrics) looked_at: IntCounter,
}

impl Reviews {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        Ok(Reviews {
            open: builder.gauges(
                "healthflow_sync_reviews_open_versions",
                &["reason", "age"],
                "Versions that wait for a person now, by reason code; age is under_1h, under_1d, under_7d or older.",
            )?,
            urgent: builder.level(
                "healthflow_sync_reviews_urgent_versions",
                "Of those, questions whose visit begins within review.urgent_before_ms, or has begun.",
            )?,
            became_urgent: builder.counter(
                "healthflow_sync_reviews_urgent_total",
                "Questions that became urgent: their visit drew near before anybody decided.",
            )?,
            looked_at: builder.counter(
                "healthflow_sync_reviews_looked_at_total",
                "Times that HealthFlow was asked whether a question had answered itself (review.look_again_ms).",
            )?,
        })
    }
}
