//! A token bucket: a rate of calls a second, and a small burst at most.

use std::hash::{Hash, Hasher};

use crate::time::Timestamp;

/// Tokens that fill up with time; one is one call.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled_at: Timestamp,
}

impl Hash for TokenBucket {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let TokenBucket { per_second, burst, tokens, filled_at } = self;
        [per_second, burst, tokens].map(|number| number.to_bits()).hash(hasher);
        // It does not matter since when a full bucket is full.
        (tokens < burst).then_some(filled_at).hash(hasher);
    }
}

impl TokenBucket {
    /// A bucket that grants `per_second` tokens a second. It holds a tenth of a second's worth, at least one, so that no
    /// second gets noticeably more than its share.
    pub fn new(per_second: f64, now: Timestamp) -> Self {
        let mut bucket = TokenBucket { per_second: 0.0, burst: 1.0, tokens: 0.0, filled_at: now };
        bucket.set_rate(per_second, now);
        bucket
    }

    /// Changes the rate from now on; what has filled up stays, up to the new burst.
    pub fn set_rate(&mut self, per_second: f64, now: Timestamp) {
        self.fill(now);
        self.per_second = per_second.max(0.0);
        self.burst = (self.per_second / 10.0).max(1.0);
        self.tokens = self.tokens.min(self.burst);
    }

    /// Takes one token, if there is one.
    pub fn try_take(&mut self, now: Timestamp) -> bool {
        self.fill(now);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    /// How many tokens there will be within `ms`, if none is taken.
    pub fn granted_within(&self, ms: i64, now: Timestamp) -> f64 {
        let mut then = self.clone();
        then.fill(now);
        then.tokens + ms as f64 * then.per_second / 1_000.0
    }

    /// When the next token is there: `now` or later; never if the rate is zero.
    pub fn next_at(&mut self, now: Timestamp) -> Timestamp {
        self.fill(now);
        if self.tokens >= 1.0 {
            return now;
        }
        if self.per_second <= 0.0 {
            return Timestamp::NEVER;
        }
        let wait_ms = ((1.0 - self.tokens) * 1000.0 / self.per_second).ceil();
        now.plus_ms((wait_ms as i64).max(1))
    }

    fn fill(&mut self, now: Timestamp) {
        let elapsed_ms = now.since_ms(self.filled_at).max(0);
        self.tokens = (self.tokens + elapsed_ms as f64 * self.per_second / 1000.0).min(self.burst);
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Goal: no window of one second sees more than the rate and one burst. Method: greedy takes at random times.
        #[test]
        fn no_second_sees_more_than_rate_and_burst(
            per_second in 1_u32..500,
            gaps_ms in proptest::collection::vec(0_i64..40, 1..400),
        ) {
            let mut bucket = TokenBucket::new(f64::from(per_second), Timestamp(0));
            let mut now = Timestamp(0);
            let mut taken: Vec<i64> = Vec::new();
            for gap in gaps_ms {
                now = now.plus_ms(gap);
                while bucket.try_take(now) {
                    taken.push(now.0);
                }
                prop_assert!(bucket.next_at(now) > now);
            }
            let burst = (f64::from(per_second) / 10.0).max(1.0);
            for (index, start) in taken.iter().enumerate() {
                let within = taken[index..].iter().filter(|at| **at < start + 1000).count();
                prop_assert!(within as f64 <= f64::from(per_second) + burst + 1.0);
            }
        }
    }
}
