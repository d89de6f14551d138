//! The section `[breaker]`: when the circuit breaker opens, how it asks, how it closes.

use serde::Deserialize;

use super::signed;
use healthflow_core::limits::BreakerLimits;

/// The section `[breaker]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// How far back calls count (milliseconds).
    pub window_ms: u64,
    /// It judges no fewer calls than this; 0: there is no breaker.
    pub calls_min: u32,
    /// Part of the calls that must fail (0 to 1).
    pub failed_share: f64,
    /// A call that takes this long is slow (milliseconds).
    pub slow_ms: u64,
    /// Part of the calls that must be slow (0 to 1).
    pub slow_share: f64,
    /// From its opening to the first probe (milliseconds).
    pub probe_min_ms: u64,
    /// The longest time from one probe to the next (milliseconds).
    pub probe_max_ms: u64,
    /// From the first probe that was answered to full speed (milliseconds).
    pub ramp_ms: u64,
    /// After how long open a notice says so (milliseconds); 0: none does.
    pub notice_after_ms: u64,
}

impl Breaker {
    pub(super) fn limits(&self) -> BreakerLimits {
        BreakerLimits {
            window_ms: signed(self.window_ms),
            calls_min: self.calls_min as usize,
            failed_share: self.failed_share,
            slow_ms: signed(self.slow_ms),
            slow_share: self.slow_share,
            probe_min_ms: signed(self.probe_min_ms),
            probe_max_ms: signed(self.probe_max_ms),
            ramp_ms: signed(self.ramp_ms),
            notice_after_ms: signed(self.notice_after_ms),
        }
    }
}
