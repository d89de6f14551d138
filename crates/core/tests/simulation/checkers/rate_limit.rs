//! Promise 6: the fleet never exceeds HealthFlow's rate limit. One exception (`docs/guarantees.md`, "What remains"): a worker
//! that wakes does not know yet that its share went to others, so until it hears of that it may call on it; so may one that lost touch with the group.

use std::collections::VecDeque;

use crate::plan::Plan;

#[derive(Debug, Default)]
pub struct RateLimit {
    within: VecDeque<i64>,
    pub most: usize,
    most_at: i64,
    shared_twice_until: i64,
}

/// Until the message that a share is lost is heard, and the second in which the double use shows is over.
const UNAWARE_MS: i64 = 1_700;

impl RateLimit {
    /// A worker lets a call go.
    pub fn called(&mut self, now: i64) {
        self.within.push_back(now);
        while self.within.front().is_some_and(|first| now - first >= 1_000) {
            self.within.pop_front();
        }
        if self.within.len() > self.most && now > self.shared_twice_until {
            (self.most, self.most_at) = (self.within.len(), now);
        }
    }

    /// A worker's share went to others; it is told at this time.
    pub fn shared_twice_until(&mut self, at: i64) {
        self.shared_twice_until = self.shared_twice_until.max(at + UNAWARE_MS);
    }

    /// The limit, and the burst that each worker's share may hold: a tenth of a second's worth, at least one.
    pub fn broken(&self, plan: &Plan) -> Option<String> {
        let rate = plan.settings.requests_per_second;
        let most = rate + (rate / 10.0).max(1.0) + plan.workers as f64;
        (self.most as f64 > most)
            .then(|| format!("{} calls in the second before {}", self.most, self.most_at))
    }
}
