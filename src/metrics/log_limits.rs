//! The log lines about limits that HealthFlow tells and nobody configured.

use tracing::warn;

use healthflow_core::fact::Fact;

/// Logs `fact`, if it is about a limit.
pub(super) fn report_limit(fact: &Fact) {
    match fact {
        Fact::LimitUnknown { name, calls, window_s: Some(window_s) } => warn!(
            limit = &**name,
            calls,
            window_seconds = window_s,
            "HealthFlow tells a limit that is not configured; set healthflow.requests_per_second = {:.3} or less",
            *calls as f64 / *window_s as f64
        ),
        Fact::LimitUnknown { name, calls, window_s: None } => warn!(
            limit = &**name,
            calls,
            "HealthFlow tells a limit that is not configured, in a window that it does not name; ask for that"
        ),
        _ => {}
    }
}
