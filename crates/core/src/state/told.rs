//! What was reported of bookings that wait (`appointments.notices`): without it a restart or a take-over would tell it again, or never
//! tell that an outage has ended.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::Version;
use crate::time::Timestamp;

/// The newest version of a booking of which a notice said that it will not be confirmed in time. One a booking is enough: an older
/// version is told of no more, and its result comes with the newer one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ToldDelay {
    /// The version.
    pub version: Version,
    /// What it was promised last.
    pub promised_at: Timestamp,
    /// Whether that was the earliest moment only.
    pub at_earliest: bool,
}

/// An outage whose begin was reported, until a notice reports its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenOutage {
    /// Its id, which no other outage has.
    pub id: Arc<str>,
    /// Since when HealthFlow does not work.
    pub began_at: Timestamp,
    /// The class of the fault that its calls had, or `slow`.
    pub cause: Arc<str>,
}
