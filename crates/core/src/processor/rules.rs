//! The rules of the processor that a simulation breaks on purpose, each behind a name, as in `partition/rules.rs`.

use crate::defects::planted;
use crate::settings::Settings;
use crate::time::{DAY_MS, Timestamp};

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

/// A need for permits is asked for again if no answer comes in time.
pub(super) fn asks_again(settings: &Settings) -> bool {
    !planted!(settings, AskNotRepeated)
}

/// The part of its partitions' part that a worker takes without the shared counter.
pub(super) fn part_alone(settings: &Settings, fallback_share: f64) -> f64 {
    if planted!(settings, FullShareAlone) { 1.0 } else { fallback_share }
}

/// How long permits in hand may be used, in milliseconds.
pub(super) fn permits_last_ms(settings: &Settings, usual_ms: i64) -> i64 {
    if planted!(settings, PermitsNeverExpire) { DAY_MS } else { usual_ms }
}

/// Until when a call may go out under its permit.
pub(super) fn permit_ends_at(settings: &Settings, usual: Timestamp) -> Timestamp {
    if planted!(settings, PermitsNeverExpire) { Timestamp::NEVER } else { usual }
}
