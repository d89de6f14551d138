//! The log lines about limits that HealthFlow reports and that are not configured.

use tracing::warn;

use healthflow_core::fact::Fact;

/// The longest window of `healthflow.limits`, in seconds.
const WINDOW_MAX_S: u64 = 60;

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
        _ => {}
    }
}

/// The line to configure; a long window is not counted, so the pace that never meets it is named.
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
