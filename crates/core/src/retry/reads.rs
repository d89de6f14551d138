//! Kinds of reads that HealthFlow does not answer: one job asks, and the others wait for it. Without it reads that fail take
//! the permits and places of those that work: after an outage no fresh booking would pass the look-ups of doubts, or the
//! searches.

use std::collections::BTreeMap;
use std::hash::Hash;

use crate::healthflow::Operation;
use crate::retry::schedule::delay_ms;
use crate::time::Timestamp;

/// After this many failed reads of a kind in a row, one asks for all.
const FAILED_IN_A_ROW: u32 = 3;

/// How much later than the one that asks the others check whether it was answered: from once to twice this, in
/// milliseconds.
const LOOK_AGAIN_MS: i64 = 1_000;

/// The kinds of reads that failed last time.
#[derive(Clone, Debug, Default, Hash)]
pub struct Reads {
    failing: BTreeMap<Operation, Failing>,
}

/// One kind.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Failing {
    in_a_row: u32,
    /// When the next one may ask, once it failed often enough.
    next_at: Timestamp,
    /// The one that asks for all, while it is under way.
    call: Option<u64>,
}

impl Reads {
    /// Until when `key` may not make such a read; none if it may. The first to wake is the one that asks.
    pub fn wait_until(&self, operation: Operation, key: &impl Hash, now: Timestamp) -> Option<Timestamp> {
        let failing = self.failing.get(&operation).filter(|failing| failing.in_a_row >= FAILED_IN_A_ROW)?;
        let is_open = failing.call.is_none() && failing.next_at <= now;
        let spread_ms = delay_ms(key, 0, 1, LOOK_AGAIN_MS, 2 * LOOK_AGAIN_MS);
        (!is_open).then(|| failing.next_at.max(now).plus_ms(spread_ms))
    }

    /// Whether such reads fail at present.
    pub fn do_fail(&self, operation: Operation) -> bool {
        self.failing.get(&operation).is_some_and(|failing| failing.in_a_row >= FAILED_IN_A_ROW)
    }

    /// A read goes out: if its kind fails, it asks for all.
    pub fn is_sent(&mut self, operation: Operation, call: u64) {
        let failing = self.failing.get_mut(&operation);
        if let Some(failing) = failing.filter(|failing| failing.in_a_row >= FAILED_IN_A_ROW) {
            failing.call.get_or_insert(call);
        }
    }

    /// HealthFlow answered, whatever the answer. Returns whether the kind had failed.
    pub fn is_answered(&mut self, operation: Operation) -> bool {
        let did_fail = self.do_fail(operation);
        self.failing.remove(&operation);
        did_fail
    }

    /// HealthFlow did not process the read: another job asks for all.
    pub fn is_put_off(&mut self, operation: Operation, call: u64) {
        if let Some(failing) = self.failing.get_mut(&operation) {
            failing.call.take_if(|asking| *asking == call);
        }
    }

    /// The read was not answered. Returns whether one asks for all from now on, at least every `pause_max_ms`.
    pub fn has_failed(
        &mut self,
        operation: Operation,
        call: u64,
        pause_min_ms: i64,
        pause_max_ms: i64,
        now: Timestamp,
    ) -> bool {
        let failing = self.failing.entry(operation).or_default();
        let asked_for_all = failing.call.take_if(|asking| *asking == call).is_some();
        // Reads that were under way when it began are no news.
        if !asked_for_all && failing.in_a_row >= FAILED_IN_A_ROW {
            return false;
        }
        failing.in_a_row = failing.in_a_row.saturating_add(1).min(FAILED_IN_A_ROW + 20);
        let times = failing.in_a_row.saturating_sub(FAILED_IN_A_ROW) + 1;
        failing.next_at =
            now.plus_ms(delay_ms(&operation, 0, times, pause_min_ms.min(pause_max_ms), pause_max_ms));
        failing.in_a_row == FAILED_IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIND: Operation = Operation::FindAppointment;
    const MIN_MS: i64 = 2_000;
    const MAX_MS: i64 = 30_000;

    fn failing() -> Reads {
        let mut reads = Reads::default();
        let reported: Vec<bool> =
            (0..4).map(|call| reads.has_failed(FIND, call, MIN_MS, MAX_MS, Timestamp(0))).collect();
        assert_eq!(reported, [false, false, true, false], "reported once");
        reads
    }

    #[test]
    fn one_asks_for_all_and_its_answer_lets_them_go() {
        let mut reads = failing();
        assert!(reads.wait_until(FIND, &1, Timestamp(1_999)).is_some());
        assert!(reads.wait_until(Operation::SearchPatients, &1, Timestamp(0)).is_none(), "of its kind only");
        let later = Timestamp(4_000);
        assert!(reads.wait_until(FIND, &1, later).is_none());
        reads.is_sent(FIND, 9);
        assert!(reads.wait_until(FIND, &2, later).is_some_and(|at| at > later));
        assert!(reads.is_answered(FIND));
        assert!(reads.wait_until(FIND, &2, later).is_none());
    }

    /// Goal: a failing kind is asked ever more rarely, and never given up. Method: every job that may ask does, for an hour.
    #[test]
    fn what_is_down_is_asked_less_and_less() {
        let (mut reads, mut asked) = (failing(), Vec::new());
        for second in 0..3_600 {
            let now = Timestamp(second * 1_000);
            if reads.wait_until(FIND, &second, now).is_none() {
                asked.push(now.0);
                reads.is_sent(FIND, asked.len() as u64);
                reads.has_failed(FIND, asked.len() as u64, MIN_MS, MAX_MS, now);
            }
        }
        assert!((120..600).contains(&asked.len()), "{}", asked.len());
        assert!(asked.windows(2).all(|two| two[1] - two[0] <= 31_000), "{asked:?}");
    }

    #[test]
    fn a_single_failure_holds_nobody_back() {
        let mut reads = Reads::default();
        for call in 0..20 {
            assert!(!reads.has_failed(FIND, call, MIN_MS, MAX_MS, Timestamp(0)));
            assert!(reads.wait_until(FIND, &call, Timestamp(0)).is_none());
            assert!(!reads.is_answered(FIND));
        }
    }
}
