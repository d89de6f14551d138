//! The metrics of what waits for its result, wherever it waits.

use prometheus::{GaugeVec, IntGauge, IntGaugeVec};

use crate::metrics::builder::{Made, MetricsBuilder};

/// What waits for its result.
pub(in crate::metrics) struct Waiting {
    pub(in crate::metrics) versions: IntGaugeVec,
    pub(in crate::metrics) oldest: GaugeVec,
    pub(in crate::metrics) late: IntGauge,
    pub(in crate::metrics) of_class: IntGaugeVec,
    pub(in crate::metrics) oldest_of_class: GaugeVec,
}

/// Where, and what for.
const HOLDERS: &[&str] = &["place", "why"];

impl Waiting {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        Ok(Waiting {
            versions: builder.gauges(
                "healthflow_sync_waiting_versions",
                HOLDERS,
                "Versions that wait for their result, wherever they wait; place is unread, memory, parked, doubt or review, why says what holds them.",
            )?,
            oldest: builder.ages(
                "healthflow_sync_waiting_oldest_seconds",
                HOLDERS,
                "Time since the oldest live one of them was requested; of what is unread, since its record was seen; of what is in review, since it is.",
            )?,
            late: builder.level(
                "healthflow_sync_waiting_late_versions",
                "Live versions that were requested more than 30 s ago and have no result yet, questions for people left out: promises that are broken already.",
            )?,
            of_class: builder.gauges(
                "healthflow_sync_class_waiting_bookings",
                &["class"],
                "Bookings in memory without a call under way, by class in the order in which they are served: fresh, soon (late, and the visit begins within two hours), again (late or tried before), history.",
            )?,
            oldest_of_class: builder.ages(
                "healthflow_sync_class_oldest_seconds",
                &["class"],
                "Time since the one of them that was read first was read.",
            )?,
        })
    }
}
