//! One HealthFlow account as this worker may use it: its share of the rate, and the pauses HealthFlow asks for.

use std::hash::{Hash, Hasher};

use crate::booking::PracticeId;
use crate::limits::TokenBucket;
use crate::time::Timestamp;

/// The longest pause that is believed: a `Retry-After` beyond it is a mistake of the server.
pub const PAUSE_MAX_MS: i64 = 3_600_000;

/// So many practices that are forbidden (403) one after the other, while nobody is served, are no longer matters of
/// theirs: the account has lost its rights.
pub const FORBIDDEN_PRACTICES_MAX: usize = 3;

/// Whether a call may go out now.
#[derive(Clone, Debug)]
pub struct Account {
    requests_per_second: f64,
    bucket: TokenBucket,
    paused_until: Timestamp,
    /// Practices that were forbidden since anybody was served.
    forbidden: Vec<PracticeId>,
}

impl Hash for Account {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Account { requests_per_second, bucket, paused_until, forbidden } = self;
        (requests_per_second.to_bits(), bucket, paused_until, forbidden).hash(hasher);
    }
}

impl Account {
    /// An account with the fleet's limit of `requests_per_second`, none of which is ours yet.
    pub fn new(requests_per_second: f64, now: Timestamp) -> Self {
        Account {
            requests_per_second,
            bucket: TokenBucket::new(0.0, now),
            paused_until: Timestamp(0),
            forbidden: Vec::new(),
        }
    }

    /// Sets this worker's share: owned partitions out of all.
    pub fn set_share(&mut self, owned: usize, all: u32, now: Timestamp) {
        let share = owned as f64 / f64::from(all.max(1));
        self.bucket.set_rate(self.requests_per_second * share, now);
    }

    /// Sends nothing before `now + pause_ms`; `Retry-After` wins over everything, so a pause is never shortened.
    /// Returns its end.
    pub fn pause(&mut self, pause_ms: i64, now: Timestamp) -> Timestamp {
        self.paused_until = self.paused_until.max(now.plus_ms(pause_ms.clamp(0, PAUSE_MAX_MS)));
        self.paused_until
    }

    /// A call for `practice` was forbidden: whether that is the account's by now, not the practice's.
    pub fn is_forbidden(&mut self, practice: &PracticeId) -> bool {
        if self.forbidden.len() < FORBIDDEN_PRACTICES_MAX && !self.forbidden.contains(practice) {
            self.forbidden.push(practice.clone());
        }
        self.forbidden.len() >= FORBIDDEN_PRACTICES_MAX
    }

    /// HealthFlow looked at what a call asked for: the account has its rights.
    pub fn is_served(&mut self) {
        self.forbidden.clear();
    }

    /// The end of the pause under way, if there is one.
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        (self.paused_until > now).then_some(self.paused_until)
    }

    /// Takes the permit for one call, if there is one.
    pub fn try_take(&mut self, now: Timestamp) -> bool {
        now >= self.paused_until && self.bucket.try_take(now)
    }

    /// When the next permit is there.
    pub fn next_at(&mut self, now: Timestamp) -> Timestamp {
        if now < self.paused_until { self.paused_until } else { self.bucket.next_at(now) }
    }
}
