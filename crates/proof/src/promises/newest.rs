//! Promise 5: HealthFlow has the newest version that ended well, whatever the order of arrival.

use healthflow_core::booking::{BookingStatus, Version};
use healthflow_core::sync::{FailureReason, SyncedOutcome};

use super::results::Outcome;

/// An appointment of a booking, compared with a version that may be wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether it is cancelled.
    pub is_cancelled: bool,
    /// Whether all else is as the version wants it.
    pub is_as_wanted: bool,
}

/// The newest version that ended well, among these.
pub fn ended_well(versions: impl Iterator<Item = (Version, Outcome)>) -> Option<Version> {
    let well = |outcome: Outcome| outcome.is_ok_and(|one| one != SyncedOutcome::Superseded);
    versions.filter(|(_, outcome)| well(*outcome)).map(|(version, _)| version).max()
}

/// Whether HealthFlow has the right version of a booking. If versions newer than the one that ended well failed, those
/// or the ones that they superseded may have been carried out, with their answers lost: a version that was superseded
/// by one that HealthFlow rejects stays superseded (rule K5).
pub fn newest_version_wins(
    versions: impl Iterator<Item = (Version, Outcome)> + Clone,
    nothing_exists: bool,
    mut exists_as: impl FnMut(Version) -> bool,
) -> bool {
    let newest = ended_well(versions.clone());
    let least = newest.unwrap_or(0);
    let tried = |outcome: Outcome| outcome.is_err_and(|reason| reason != FailureReason::Impossible);
    let failed = versions.filter(|(_, outcome)| tried(*outcome)).map(|(version, _)| version).max();
    let most = failed.unwrap_or(least).max(least);
    (newest.is_none() && nothing_exists) || (least.max(1)..=most).any(&mut exists_as)
}

/// Whether HealthFlow shows a version of this status: one appointment as it wants it, or none or a cancelled one.
pub fn is_what_exists(wanted: BookingStatus, found: &[Found]) -> bool {
    match (wanted, found) {
        (BookingStatus::Cancelled, []) => true,
        // The time of a cancelled visit does not matter.
        (BookingStatus::Cancelled, [one]) => one.is_cancelled,
        (BookingStatus::Scheduled, [one]) => !one.is_cancelled && one.is_as_wanted,
        _ => false,
    }
}

/// Promise 3: whether an appointment is in the chart of one of those it was booked for.
pub fn right_chart<H: PartialEq>(chart_of: &H, mut booked_for: impl Iterator<Item = H>) -> bool {
    booked_for.any(|human| human == *chart_of)
}
