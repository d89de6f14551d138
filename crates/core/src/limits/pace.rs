//! A slower pace, where HealthFlow tells that little is left: what is left is spread over the time until there is more, so that
//! it lasts, and no call is spent on a 429.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use crate::healthflow::PolicyTold;
use crate::limits::account::PAUSE_MAX_MS;
use crate::time::Timestamp;

/// Little is left if it is no more than this part of what the limit allows: one fifth.
const LOW_PART: u64 = 5;

/// Limits whose pace is remembered; HealthFlow tells a few, and a name that changes each time must not fill the memory.
const PACES_MAX: usize = 16;

/// The paces, by the name of the limit.
#[derive(Clone, Debug, Default, Hash)]
pub struct Paces {
    paces: BTreeMap<Box<str>, Pace>,
}

/// So many calls a second, until then.
#[derive(Clone, Copy, Debug)]
struct Pace {
    per_second: f64,
    until: Timestamp,
}

impl Hash for Pace {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Pace { per_second, until } = self;
        (per_second.to_bits(), until).hash(hasher);
    }
}

impl Paces {
    /// HealthFlow tells what is left of a limit; the newest word about it counts.
    pub fn told(&mut self, policy: &PolicyTold, now: Timestamp) {
        self.end(now);
        match Pace::of(policy, now) {
            Some(pace) if self.paces.len() < PACES_MAX || self.paces.contains_key(&policy.name) => {
                self.paces.insert(policy.name.clone(), pace);
            }
            Some(_) => {}
            None if policy.remaining.is_some() => drop(self.paces.remove(&policy.name)),
            None => {}
        }
    }

    /// Forgets what is over.
    pub fn end(&mut self, now: Timestamp) {
        self.paces.retain(|_, pace| now < pace.until);
    }

    /// The slowest of them, in calls a second for the whole fleet.
    pub fn slowest(&self) -> Option<f64> {
        self.paces.values().map(|pace| pace.per_second).min_by(f64::total_cmp)
    }

    /// When the first of them is over.
    pub fn first_end(&self) -> Option<Timestamp> {
        self.paces.values().map(|pace| pace.until).min()
    }
}

impl Pace {
    /// The pace at which what is left lasts; none if enough is left. It is at least one call in the longest pause, so that a
    /// mistaken header stops nobody for longer.
    fn of(policy: &PolicyTold, now: Timestamp) -> Option<Pace> {
        let remaining = policy.remaining.filter(|remaining| *remaining > 0)?;
        let reset_ms = policy.reset_ms.filter(|ms| *ms > 0)?;
        let is_low = policy.calls.is_none_or(|calls| remaining.saturating_mul(LOW_PART) <= calls);
        let least = 1_000.0 / PAUSE_MAX_MS as f64;
        let per_second = (remaining as f64 * 1_000.0 / reset_ms as f64).max(least);
        is_low.then_some(Pace { per_second, until: now.plus_ms(reset_ms.min(PAUSE_MAX_MS)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Account;
    use proptest::prelude::*;

    fn left(remaining: u64, reset_ms: i64) -> PolicyTold {
        let (calls, window_s) = (Some(100), Some(60));
        PolicyTold {
            name: "minute".into(),
            calls,
            window_s,
            remaining: Some(remaining),
            reset_ms: Some(reset_ms),
        }
    }

    #[test]
    fn little_is_spread_over_the_time_until_there_is_more() {
        let mut paces = Paces::default();
        paces.told(&left(21, 10_000), Timestamp(0));
        assert_eq!(paces.slowest(), None);
        paces.told(&left(20, 10_000), Timestamp(0));
        assert_eq!((paces.slowest(), paces.first_end()), (Some(2.0), Some(Timestamp(10_000))));
        // An answer without the state says nothing about it.
        paces.told(&PolicyTold { remaining: None, ..left(0, 0) }, Timestamp(0));
        assert_eq!(paces.slowest(), Some(2.0));
        paces.told(&left(99, 60_000), Timestamp(5_000));
        assert_eq!(paces.slowest(), None);
        paces.told(&left(20, 10_000), Timestamp(5_000));
        paces.end(Timestamp(15_000));
        assert_eq!(paces.slowest(), None);
    }

    proptest! {
        /// Goal: no more is taken than is left, and no wait is longer than the longest pause. Method: greedy takes until the end.
        #[test]
        fn no_more_is_taken_than_is_left(
            remaining in 1_u64..20,
            reset_ms in 1_i64..40 * 86_400_000,
            per_second in 1_u32..200,
        ) {
            let start = Timestamp(1_000_000);
            let mut account = Account::new(f64::from(per_second), 30_000, start);
            account.set_share(1, 1, start);
            account.told(&left(remaining, reset_ms), start);
            let end = start.plus_ms(reset_ms.min(PAUSE_MAX_MS));
            let mut now = start;
            let mut taken = 0_u64;
            while now < end {
                let next = account.next_at(now);
                prop_assert!(next.since_ms(now) <= PAUSE_MAX_MS, "waits for {} ms", next.since_ms(now));
                if next > now {
                    now = next;
                } else {
                    prop_assert!(account.try_take(now));
                    taken += 1;
                }
            }
            prop_assert!(taken <= remaining.max(1), "{taken} of {remaining}");
        }
    }
}
