//! The metrics of limits whose windows are longer than a minute.

use prometheus::GaugeVec;

use crate::metrics::builder::{Made, MetricsBuilder};

/// What is left of long limits.
pub(in crate::metrics) struct Quotas {
    pub(in crate::metrics) left: GaugeVec,
    pub(in crate::metrics) runs_out: GaugeVec,
}

impl Quotas {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        Ok(Quotas {
            left: builder.ages(
                "healthflow_sync_quota_left_calls",
                &["limit"],
                "Calls that this worker has left of a limit with a window longer than a minute, in the window that lasts; limit is its name in healthflow.limits. Of an account's limit the workers add up; of a practice's it is that of the practice that comes to its end first.",
            )?,
            runs_out: builder.ages(
                "healthflow_sync_quota_runs_out_seconds",
                &["limit", "source"],
                "In how many seconds such a limit will be used up, as fast as it was used lately; source is live, or backfill, which leaves live bookings a reserve. Only where that is before the window ends.",
            )?,
        })
    }
}
