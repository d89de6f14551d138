//! How fast the worker may commit, and how many intents it writes ahead: as often and as many as help, and no more. Without
//! the first two waits for a fixed beat would be most of a booking's time; without the second a kill would leave a whole
//! queue in doubt, or a fast HealthFlow would wait for intents.

use crate::time::Timestamp;

/// So many records make a transaction cost the broker once more what its fixed part costs.
const RECORDS_PER_COST: f64 = 8.0;

/// A transaction costs at most this, however many records are in it: then gathering more spares nothing.
const COST_MAX: f64 = 4.5;

/// The budget holds at most a tenth of a second's worth, and at least one.
const BURST_SECONDS: f64 = 0.1;

/// How long a call is thought to take before the first one was answered, in milliseconds: short, so that nothing waits.
const CALL_AT_FIRST_MS: f64 = 10.0;

/// So many more intents than the calls of one commit's time need are written ahead, so that the rate can rise.
const HEADROOM: f64 = 1.5;

/// No commit takes less, in milliseconds: as long as the quickest transactions of a real Kafka.
const COMMIT_MIN_MS: i64 = 10;

/// A wait for a commit that is longer than this is no measure of how long one takes, in milliseconds.
const COMMIT_MAX_MS: i64 = 2_000;

/// The worker's budget of transactions: a bucket that fills by `worker.transactions_per_second_max`. A small transaction costs
/// one; one with many records costs more, so that under load a worker gathers by itself.
#[derive(Clone, Debug)]
pub struct CommitBudget {
    per_second: f64,
    left: f64,
    filled_at: Timestamp,
}

impl CommitBudget {
    /// A full one.
    pub fn new(per_second: f64, now: Timestamp) -> Self {
        CommitBudget { per_second, left: Self::burst(per_second), filled_at: now }
    }

    fn burst(per_second: f64) -> f64 {
        (per_second * BURST_SECONDS).max(1.0)
    }

    /// Whether another transaction may begin.
    pub fn has_room(&mut self, now: Timestamp) -> bool {
        self.fill(now);
        self.left >= 1.0
    }

    /// When the next one may begin.
    pub fn next_at(&mut self, now: Timestamp) -> Timestamp {
        self.fill(now);
        if self.left >= 1.0 {
            return now;
        }
        let wait_ms = ((1.0 - self.left) * 1_000.0 / self.per_second.max(0.001)).ceil();
        now.plus_ms((wait_ms as i64).max(1))
    }

    /// A transaction with so many records begins. One that must not wait may begin on credit.
    pub fn spend(&mut self, records: usize, now: Timestamp) {
        self.fill(now);
        self.left =
            (self.left - (1.0 + records as f64 / RECORDS_PER_COST).min(COST_MAX)).max(-self.per_second);
    }

    fn fill(&mut self, now: Timestamp) {
        let elapsed_ms = now.since_ms(self.filled_at).max(0) as f64;
        if self.per_second.is_finite() {
            let filled = self.left + elapsed_ms * self.per_second / 1_000.0;
            self.left = filled.min(Self::burst(self.per_second));
        } else {
            self.left = f64::MAX;
        }
        self.filled_at = self.filled_at.max(now);
    }
}

/// How long a call takes, and how long an intent waits for its commit.
#[derive(Clone, Debug)]
pub struct Pace {
    call_ms: Option<f64>,
    commit_ms: f64,
}

impl Pace {
    /// Nothing is known yet but the shortest time between two commits.
    pub fn new(commit_interval_ms: i64) -> Self {
        Pace { call_ms: None, commit_ms: commit_interval_ms.max(COMMIT_MIN_MS) as f64 }
    }

    /// A call ended.
    pub fn call_ended(&mut self, elapsed_ms: i64) {
        let elapsed_ms = elapsed_ms.max(1) as f64;
        let known_ms = self.call_ms.unwrap_or(elapsed_ms);
        self.call_ms = Some(known_ms * 0.95 + elapsed_ms * 0.05);
    }

    /// A commit is good: whoever waited longest for it waited for so long.
    pub fn committed(&mut self, waited_ms: i64) {
        let waited_ms = waited_ms.clamp(COMMIT_MIN_MS, COMMIT_MAX_MS) as f64;
        self.commit_ms = waited_ms.max(self.commit_ms * 0.9 + waited_ms * 0.1);
    }

    /// How long an intent waits for its commit at most, as far as that is known, in milliseconds.
    pub fn commit_ms(&self) -> i64 {
        self.commit_ms.ceil() as i64
    }

    /// How many intents should be ahead of the calls under way: as many calls as can end while one of them waits for its commit
    /// (Little's law), with all that may be under way; but no more than there are `permits` in that time.
    pub fn ahead(&self, max_in_flight: usize, permits: f64) -> usize {
        let call_ms = self.call_ms.unwrap_or(CALL_AT_FIRST_MS);
        let needed = HEADROOM * max_in_flight as f64 * self.commit_ms / call_ms;
        (needed.min(permits).ceil() as usize).max(1)
    }
}

#[cfg(test)]
mod tests;
