//! Points in time, as one integer. Pure code gets `now` as an argument; only the worker reads a clock. Without this rule no
//! test could say what happens in the second after a crash.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970-01-01T00:00:00Z. Avro writes it as `timestamp-millis`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Later than every instant that matters: "not before this" with no end.
    pub const NEVER: Timestamp = Timestamp(i64::MAX);

    /// This instant moved by `ms` milliseconds (negative: earlier). Saturates instead of wrapping.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// Days since 1970-01-01, in UTC. Avro writes it as `date`.
    pub const fn day(self) -> i32 {
        // Every `i64` of milliseconds fits, except for the saturated ends.
        let day = self.0.div_euclid(DAY_MS);
        if day > i32::MAX as i64 { i32::MAX } else { day as i32 }
    }

    /// Milliseconds from `earlier` to here; negative when `earlier` is later.
    #[must_use]
    pub const fn since_ms(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; the bare number if it is not a date.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}
