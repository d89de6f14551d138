//! What a worker asks the shared counter, and what that answers. The counter decides by this alone: it knows no configuration.

use serde::Serialize;

/// One ask. All times are microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PermitAsk {
    /// Its number in this process; the answer comes under it.
    #[serde(skip)]
    pub number: u64,
    /// Permits that are wanted; 0: the worker only says that it is there.
    pub want: usize,
    /// The partitions that the worker works on.
    pub partitions: Vec<i32>,
    /// How many there are.
    pub all: u32,
    /// The counter's clock in the last answer that reached this worker; 0: none did.
    pub answered_us: i64,
    /// How much of its part a worker takes that goes on alone.
    pub fallback_share: f64,
    /// How far ahead of their moment permits are given.
    pub ahead_us: i64,
    /// How long a partition is thought to be served after the last sign of it.
    pub silent_us: i64,
    /// Nobody sends anything for so long, because HealthFlow asked this worker to wait; 0: it did not.
    pub hold_us: i64,
    /// What goes back.
    pub back: Back,
    /// Rolling windows.
    pub rates: Vec<RateTold>,
    /// Fixed windows.
    pub windows: Vec<WindowTold>,
}

/// A rolling window: one call each interval, and a burst.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RateTold {
    /// Its name.
    pub name: String,
    /// Between two calls.
    pub interval_us: f64,
    /// How many more may come at once.
    pub burst: u32,
    /// The longer interval that HealthFlow's answers call for now; 0: none.
    pub paced_us: f64,
}

/// A fixed window, which begins at multiples of its length since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WindowTold {
    /// Its name.
    pub name: String,
    /// How many calls it may see.
    pub calls: u32,
    /// How long it is.
    pub length_us: i64,
}

/// Permits that were not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Back {
    /// How many at the end of the newest batch: where nobody took any since, their moments are given anew.
    pub newest: u32,
    /// The counter's clock when that batch was given.
    pub newest_us: i64,
    /// How many of all batches: in the fixed window in which the oldest was given they count no more.
    pub all: u32,
    /// The counter's clock when the oldest was given.
    pub oldest_us: i64,
}

impl Back {
    /// One that was given then was not used.
    pub(super) fn count(&mut self, given_us: i64) {
        if given_us > self.newest_us {
            (self.newest_us, self.newest) = (given_us, 0);
        }
        self.newest += u32::from(given_us == self.newest_us);
        self.oldest_us = if self.all == 0 { given_us } else { self.oldest_us.min(given_us) };
        self.all += 1;
    }

    /// One that was given then was used: whatever of its batch was passed over lies before it.
    pub(super) fn is_used(&mut self, given_us: i64) {
        if given_us >= self.newest_us {
            (self.newest_us, self.newest) = (given_us, 0);
        }
    }
}

/// What the counter answers. All times are microseconds since 1970, on its clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its clock.
    pub now_us: i64,
    /// If it gave fewer than were wanted: after how long there may be more.
    pub again_us: i64,
    /// When the fixed window ends in which it counted them, if there is one.
    pub ends_us: Option<i64>,
    /// The moments of the permits that it gave.
    pub slots_us: Vec<i64>,
}
