//! What HealthFlow's answers tell of its limits: several dialects in, one meaning out. Every value is bounded, and a field that
//! cannot be read is as if it were not there: a mistaken header must neither stop the fleet nor a worker.

mod structured;
mod x_rate_limit;

use crate::healthflow::wire::{LimitHeaders, WireReply};
use crate::time::{DAY_MS, Timestamp};

/// Limits that one answer may tell; the rest are not read.
pub const POLICIES_MAX: usize = 8;

/// The longest name of a limit, in bytes; a longer one is cut.
pub const NAME_BYTES_MAX: usize = 64;

/// The furthest reset that is believed, in milliseconds: a month's limit begins anew within it.
pub const RESET_MAX_MS: i64 = 32 * DAY_MS;

/// The longest window that is believed, in seconds.
const WINDOW_MAX_S: u64 = 32 * 86_400;

/// Numbers of calls above this are as good as no limit.
const CALLS_MAX: u64 = 1_000_000_000;

/// What one answer tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LimitsTold {
    /// The limits, each under another name.
    pub policies: Vec<PolicyTold>,
    /// Whether the answer is itself one that asks to wait (429, 503): then the fault says for how long.
    pub asks_to_wait: bool,
}

/// One limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PolicyTold {
    /// Its name, in printable ASCII.
    pub name: Box<str>,
    /// How many calls it allows.
    pub calls: Option<u64>,
    /// In how many seconds, at least one.
    pub window_s: Option<u64>,
    /// How many are left.
    pub remaining: Option<u64>,
    /// When it begins anew, in milliseconds from the answer; not negative.
    pub reset_ms: Option<i64>,
}

impl LimitsTold {
    /// What `reply` tells, if anything. `now` is for resets that are a time.
    pub fn by(reply: &WireReply, now: Timestamp) -> Option<LimitsTold> {
        let policies = policies(&reply.limits, now);
        let asks_to_wait = matches!(reply.status, 429 | 503);
        (!policies.is_empty()).then_some(LimitsTold { policies, asks_to_wait })
    }

    /// How long to wait because nothing is left, in milliseconds: until the last of the resets.
    pub fn wait_ms(&self) -> Option<i64> {
        let used_up = self.policies.iter().filter(|policy| policy.remaining == Some(0));
        used_up.filter_map(|policy| policy.reset_ms).filter(|ms| *ms > 0).max()
    }
}

/// The structured fields; the others only where there are none, for they say the same less exactly.
fn policies(headers: &LimitHeaders, now: Timestamp) -> Vec<PolicyTold> {
    let mut told = structured::policies(headers);
    if told.is_empty() {
        told.extend(x_rate_limit::policy(headers, now));
    }
    told.truncate(POLICIES_MAX);
    told
}

/// A name that can go into a log line and a configuration file.
fn name(text: &str) -> Box<str> {
    let plain = |c: char| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '_' };
    text.chars().take(NAME_BYTES_MAX).map(plain).collect::<String>().into()
}

#[cfg(test)]
mod tests;
