//! The log lines about limits that HealthFlow reports and nobody configured, and about those that will be used up.

use tracing::{info, warn};

use healthflow_core::booking::Source;
use healthflow_core::fact::Fact;
use healthflow_core::limits::QuotaEnd;

/// The longest window of `healthflow.limits`, in seconds: 31 days.
const WINDOW_MAX_S: u64 = 31 * 86_400;

/// Logs `fact`, if it is about a limit.
pub(super) fn report_limit(fact: &Fact) {
    match fact {
        Fact::LimitUnknown { name, calls, window_s: Some(window_s) } => warn!(
            limit = &**name,
            calls,
            window_seconds = window_s,
            "HealthFlow reports a limit that is not configured; {}",
            what_to_do(name, *calls, *window_s)
        ),
        Fact::LimitUnknown { name, calls, window_s: None } => warn!(
            limit = &**name,
            calls,
            "HealthFlow reports a limit that is not configured, in a window that it does not name; ask for that"
        ),
        Fact::QuotaRunsOut(end) => report_end(end),
        _ => {}
    }
}

fn report_end(QuotaEnd { limit, source, left, runs_out_at, window_ends_at }: &QuotaEnd) {
    match source {
        Source::Live => warn!(
            limit = &**limit,
            left,
            runs_out_at = %runs_out_at,
            window_ends_at = %window_ends_at,
            "this limit of HealthFlow will be used up before its window ends, and live bookings will wait; ask HealthFlow for more"
        ),
        Source::Backfill => info!(
            limit = &**limit,
            left,
            stops_at = %runs_out_at,
            window_ends_at = %window_ends_at,
            "backfill will stop at what is kept of this limit for live bookings, and go on in the next window"
        ),
    }
}

/// The line to configure; a window that is too long is not counted, so the pace that never meets it is named.
fn what_to_do(name: &str, calls: u64, window_s: u64) -> String {
    if window_s > WINDOW_MAX_S {
        return format!(
            "set healthflow.requests_per_second = {:.4} to never meet it",
            calls as f64 / window_s as f64
        );
    }
    format!(
        "add it to healthflow.limits (with its scope and operations): {{ name = \"{name}\", calls = {calls}, window_seconds = {window_s} }}"
    )
}
