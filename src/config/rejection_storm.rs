//! The section `[rejection_storm]`: when refusals are not believed, how one is tried, when they are believed after all.

use serde::Deserialize;

use super::signed;
use healthflow_core::limits::RejectionStormLimits;

/// The section `[rejection_storm]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectionStorm {
    /// How far back calls count (milliseconds).
    pub window_ms: u64,
    /// The last so many calls are judged, and no fewer; 0: every refusal is believed.
    pub calls_min: u32,
    /// Part of them that must be refused by one rule (0 to 1).
    pub refused_share: f64,
    /// Practices that must be refused for a storm of all.
    pub practices_min: u32,
    /// From one trial to the next (milliseconds).
    pub trial_ms: u64,
    /// How long a storm lasts at most (milliseconds).
    pub believed_after_ms: u64,
}

impl RejectionStorm {
    pub(super) fn limits(&self) -> RejectionStormLimits {
        RejectionStormLimits {
            window_ms: signed(self.window_ms),
            calls_min: self.calls_min as usize,
            refused_share: self.refused_share,
            practices_min: self.practices_min as usize,
            trial_ms: signed(self.trial_ms),
            believed_after_ms: signed(self.believed_after_ms),
        }
    }
}
