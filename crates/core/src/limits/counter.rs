//! What was used of one limit: for rolling windows by the generic cell rate algorithm in whole nanoseconds, for fixed ones by
//! counting. Whoever does not know what others used before begins as if nothing were left.

use crate::time::Timestamp;

const MS_NS: i128 = 1_000_000;

/// A part of the calls that a rolling window may see: one each interval, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rate {
    /// Between two calls, in nanoseconds.
    interval_ns: i128,
    /// How many may come at once, at least one.
    most: i128,
}

impl Rate {
    /// Of `calls` in `window_ms`, with a burst: the part that `owned` of `all` partitions have; none if they have none.
    pub fn of(calls: u32, burst: u32, window_ms: i64, owned: u32, all: u32) -> Option<Rate> {
        let all = i128::from(all.max(owned).max(1));
        let part = |number: u32| i128::from(number) * i128::from(owned);
        let calls = part(calls);
        if calls == 0 {
            return None;
        }
        let window_ns = i128::from(window_ms.max(1)) * MS_NS * all;
        // Rounded up: a window sees rather one call too few.
        Some(Rate { interval_ns: (window_ns + calls - 1) / calls, most: part(burst) / all + 1 })
    }
}

/// The calls of rolling windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rolling {
    rate: Rate,
    /// When all that was taken has come back, in nanoseconds since 1970.
    whole_at_ns: i128,
}

impl Rolling {
    /// Nothing is left yet at `now`.
    pub fn empty(rate: Rate, now: Timestamp) -> Self {
        Rolling { rate, whole_at_ns: ns(now) + rate.most * rate.interval_ns }
    }

    /// Whether all that was taken has come back.
    pub fn is_whole(&self, now: Timestamp) -> bool {
        self.owed_ns(now) == 0
    }

    /// When `calls` of them may go out at once; no more are waited for than ever may.
    pub fn next_at(&self, calls: u32, now: Timestamp) -> Timestamp {
        let calls = i128::from(calls).clamp(1, self.rate.most);
        let over_ns = self.owed_ns(now) - (self.rate.most - calls) * self.rate.interval_ns;
        now.plus_ms(i64::try_from(over_ns.max(0).div_ceil_by(MS_NS)).unwrap_or(i64::MAX))
    }

    /// One call goes out.
    pub fn take(&mut self, now: Timestamp) {
        self.whole_at_ns = self.whole_at_ns.max(ns(now)) + self.rate.interval_ns;
    }

    /// From now on the rate is another one; what was left stays left, and no more.
    pub fn set_rate(&mut self, rate: Rate, now: Timestamp) {
        let owed_ns = self.owed_ns(now);
        let owed_now_ns = (owed_ns * rate.interval_ns).div_ceil_by(self.rate.interval_ns);
        let more = (rate.most - self.rate.most) * rate.interval_ns;
        *self = Rolling { rate, whole_at_ns: ns(now) + (owed_now_ns + more).max(0) };
    }

    fn owed_ns(&self, now: Timestamp) -> i128 {
        (self.whole_at_ns - ns(now)).max(0)
    }
}

/// The calls of a fixed window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fixed {
    /// The window that was counted last.
    begin: Timestamp,
    used: u32,
}

impl Fixed {
    /// Nothing is left of the window that begins at `begin`.
    pub fn empty(begin: Timestamp) -> Self {
        Fixed { begin, used: u32::MAX }
    }

    /// How many are left of `quota` in the window that begins at `begin`.
    pub fn left(&self, quota: u32, begin: Timestamp) -> u32 {
        // A clock that goes back does not fill a window again.
        quota.saturating_sub(if self.counts(begin) { self.used } else { 0 })
    }

    /// Whether it is in the window that begins at `begin` that it counts.
    pub fn counts(&self, begin: Timestamp) -> bool {
        begin <= self.begin
    }

    /// One call goes out in the window that begins at `begin`. Returns whether it is the first one of a new window.
    pub fn take(&mut self, begin: Timestamp) -> bool {
        let is_new = !self.counts(begin);
        if is_new {
            *self = Fixed { begin, used: 0 };
        }
        self.used = self.used.saturating_add(1);
        is_new
    }
}

fn ns(at: Timestamp) -> i128 {
    i128::from(at.0) * MS_NS
}

trait DivCeil {
    /// Divides what is not negative and rounds up.
    fn div_ceil_by(self, by: i128) -> i128;
}

impl DivCeil for i128 {
    fn div_ceil_by(self, by: i128) -> i128 {
        (self + by - 1).div_euclid(by)
    }
}
