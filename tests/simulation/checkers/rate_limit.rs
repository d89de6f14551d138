//! Promise 6: the fleet never exceeds HealthFlow's rate limit. One exception, which DESIGN section 8 accepts: a worker
//! that wakes does not know yet that its share went to others, so for one heartbeat it may read (never write) on it.

use std::collections::VecDeque;

use crate::plan::Plan;

#[derive(Debug, Default)]
pub struct RateLimit {
    within: VecDeque<i64>,
    pub most: usize,
    most_at: i64,
    woke_at: i64,
}

/// Until a woken worker has heard of the group, and the second in which that shows is over, in milliseconds.
const UNAWARE_MS: i64 = 4_500;

impl RateLimit {
    /// A worker lets a call go.
    pub fn called(&mut self, now: i64) {
        self.within.push_back(now);
        while self.within.front().is_some_and(|first| now - first >= 1_000) {
            self.within.pop_front();
        }
        if self.within.len() > self.most && now - self.woke_at > UNAWARE_MS {
            (self.most, self.most_at) = (self.within.len(), now);
        }
    }

    /// A worker was paused and goes on.
    pub fn woke(&mut self, now: i64) {
        self.woke_at = now;
    }

    /// The limit, and the burst that each worker's share may hold: a tenth of a second's worth, at least one.
    pub fn broken(&self, plan: &Plan) -> Option<String> {
        let rate = plan.settings.requests_per_second;
        let most = rate + (rate / 10.0).max(1.0) + plan.workers as f64;
        (self.most as f64 > most)
            .then(|| format!("{} calls in the second before {}", self.most, self.most_at))
    }
}
