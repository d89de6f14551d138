//! HealthFlow's rate limit and daily quota.

use super::faults::Faults;
use healthflow_core::time::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// What the headers `RateLimit` and `RateLimit-Policy` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second.
    pub quota: u64,
    /// How many are left right now.
    pub remaining: u64,
}

/// Token bucket and day counter.
#[derive(Clone, Debug, Default)]
pub(super) struct Throttle {
    tokens: f64,
    filled_at: Option<Timestamp>,
    day: i64,
    in_day: u64,
}

impl Throttle {
    /// Takes one token; if there is none, returns after how many seconds there will be one.
    pub(super) fn take(&mut self, faults: &Faults, now: Timestamp) -> Result<(), u64> {
        self.take_from_day(faults.requests_per_day, now)?;
        let rate = faults.requests_per_second;
        if rate <= 0.0 {
            return Ok(());
        }
        let most = if faults.burst == 0 { rate.max(1.0) } else { f64::from(faults.burst) };
        let grown = self.filled_at.map_or(most, |at| now.since_ms(at).max(0) as f64 * rate / 1_000.0);
        self.tokens = (self.tokens + grown).min(most);
        self.filled_at = Some(now);
        if self.tokens < 1.0 {
            return Err(((1.0 - self.tokens) / rate).ceil().max(1.0) as u64);
        }
        self.tokens -= 1.0;
        Ok(())
    }

    fn take_from_day(&mut self, quota: u64, now: Timestamp) -> Result<(), u64> {
        let day = now.0.div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.in_day) = (day, 0);
        }
        if quota > 0 && self.in_day >= quota {
            return Err((DAY_MS - now.0.rem_euclid(DAY_MS)).unsigned_abs().div_ceil(1_000));
        }
        self.in_day += 1;
        Ok(())
    }

    /// What the headers say; none if there is no limit.
    pub(super) fn state(&self, faults: &Faults) -> Option<RateLimit> {
        let rate = faults.requests_per_second;
        (rate > 0.0)
            .then_some(RateLimit { quota: rate.ceil() as u64, remaining: self.tokens.max(0.0) as u64 })
    }
}
