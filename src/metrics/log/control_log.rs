//! The line of what an operator set by hand: who did it and why stands in every worker's log.

use tracing::warn;

use healthflow_core::event::{Control, Setting, key};

/// Logs that a control was set or taken back.
pub(super) fn report(control: &Control) {
    let Control { id, version, setting, by, why, at } = control;
    let (control, by, why) = (key::control(id), &**by, &**why);
    match setting {
        Some(Setting::Paused) => {
            warn!(control, version, by, why, set_at = %at, "paused by hand, nothing of it is sent until it is resumed");
        }
        Some(Setting::Limited { per_second, weight }) => {
            warn!(control, version, per_second, weight, by, why, set_at = %at, "limited by hand");
        }
        None => warn!(control, version, by, why, set_at = %at, "taken back by hand"),
    }
}
