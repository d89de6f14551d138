//! The rules of the processor that a simulation breaks on purpose, each behind a name, as in `partition/rules.rs`.

use crate::defects::planted;
use crate::settings::Settings;

/// A task that was about to be given back and is assigned once more begins another life (rule K2).
pub(super) fn reassignment_begins_anew(settings: &Settings) -> bool {
    !planted!(settings, ReassignmentIgnored)
}

/// A pause stops what was about to be sent, too.
pub(super) fn pause_stops_ready(settings: &Settings) -> bool {
    !planted!(settings, PauseLetsReadyGo)
}

/// A worker obeys from its start what operators set by hand before.
pub(super) fn obeys_from_the_start(settings: &Settings) -> bool {
    !planted!(settings, PauseForgottenAtStart)
}

/// Whether a task that is acquired goes on with what its long limits have used (a new owner may not begin at nothing).
pub(super) fn restores_counts(settings: &Settings) -> bool {
    !planted!(settings, QuotaForgotten)
}
