//! How long an answer takes: longer in proportion, once more calls are under way than HealthFlow can work on at the same time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use healthflow_core::time::Timestamp;

/// When the calls under way are answered, the first on top.
#[derive(Clone, Debug, Default)]
pub(super) struct Busy(BinaryHeap<Reverse<Timestamp>>);

impl Busy {
    /// How long an answer takes that is begun now and would take `latency_ms` alone, where `saturates_at` calls do not slow each
    /// other down; 0: no number of calls does.
    pub fn latency_ms(&mut self, latency_ms: u64, saturates_at: u32, now: Timestamp) -> u64 {
        if saturates_at == 0 {
            return latency_ms;
        }
        while self.0.peek().is_some_and(|Reverse(at)| *at <= now) {
            self.0.pop();
        }
        let under_way = self.0.len() as u64 + 1;
        latency_ms * under_way.max(saturates_at.into()) / u64::from(saturates_at)
    }

    /// A call is under way until then.
    pub fn until(&mut self, answered_at: Timestamp, saturates_at: u32) {
        if saturates_at > 0 {
            self.0.push(Reverse(answered_at));
        }
    }
}
