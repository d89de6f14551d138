//! What comes again and again is reported at once, and then once a minute with how often it came meanwhile: a line each time would
//! fill the log, and one line alone would scroll away.

use crate::time::Timestamp;

/// How often it is reported, in milliseconds.
pub const REPORT_EVERY_MS: i64 = 60_000;

/// Something that was reported and may come again.
#[derive(Clone, Copy, Debug)]
pub struct Repeats {
    /// When it was reported last.
    pub reported_at: Timestamp,
    /// How often it came since then.
    pub since: u64,
}

impl Repeats {
    /// It came for the first time at `now`, and is reported.
    pub const fn first(now: Timestamp) -> Self {
        Repeats { reported_at: now, since: 0 }
    }

    /// It comes again. If it is time for another report, how often it came since the last one, this time included.
    pub fn again(&mut self, now: Timestamp) -> Option<u64> {
        self.since += 1;
        if !self.is_due(now) {
            return None;
        }
        let times = self.since;
        *self = Repeats::first(now);
        Some(times)
    }

    /// Whether the last report is so long ago that the next time is reported.
    pub const fn is_due(&self, now: Timestamp) -> bool {
        now.since_ms(self.reported_at) >= REPORT_EVERY_MS
    }
}
