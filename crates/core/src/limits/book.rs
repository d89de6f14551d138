//! All configured limits and what this worker has used of each. The account's are shared by partitions: a worker has the part of
//! those that it owns. A practice's are whole, for a practice lives in one partition. What somebody else may have used of a window
//! is unknown: a partition that was taken over begins with nothing left of it.

mod long;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::booking::{BookingKey, PracticeId};
use crate::healthflow::{Operation, PolicyTold};
use crate::limits::account::PAUSE_MAX_MS;
use crate::limits::counter::{Fixed, Rate, Rolling};
use crate::limits::policy::{Operations, Policy, Scope};
use crate::limits::quotas::Quotas;
use crate::limits::reserved::Reserved;
use crate::limits::window::{Length, Window};
use crate::time::Timestamp;

pub use long::{Claim, QuotaWait};

/// How soon a booking looks again for which there is not enough left as a whole, in milliseconds.
const LOOK_AGAIN_MS: i64 = 1_000;

/// How long a booking's calls are kept for it after the last one, in milliseconds; it may have come to rest without them.
const KEPT_MS: i64 = 30_000;

/// From which length on a fixed window keeps what a booking will need, in milliseconds: a shorter one begins anew before it matters.
const WHOLE_FROM_MS: i64 = 10_000;

/// A booking may ask for no more than this part of a window to be left: one quarter.
const QUOTA_PARTS: u32 = 4;

/// Counters of practices above which those are forgotten that are as good as new.
const PRACTICES_MAX: usize = 10_000;

/// A call that is to go out.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The partition of its practice.
    pub partition: i32,
    /// Its practice.
    pub practice: &'a PracticeId,
    /// Its booking; none if it settles the doubt about a patient.
    pub booking: Option<&'a BookingKey>,
    /// What it asks.
    pub operation: Operation,
}

/// The limits of a worker.
#[derive(Clone, Debug)]
pub struct Book {
    policies: Arc<[Policy]>,
    /// The partitions that it owns, and since when.
    owned: BTreeMap<i32, Timestamp>,
    /// How many partitions there are.
    all: u32,
    /// Who counts the calls of the account.
    counted: Counted,
    counters: BTreeMap<CounterKey, Counter>,
    reserved: Reserved<CounterKey>,
    /// What HealthFlow told is used up, and until when.
    closed: BTreeMap<CounterKey, Timestamp>,
    /// The limits whose windows are longer than a minute.
    quotas: Quotas,
}

/// Which counter: of the policy with this number, for the account or for one practice of a partition.
type CounterKey = (usize, Option<(i32, PracticeId)>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counter {
    Rolling(Rolling),
    /// With the partitions whose part counts in the window that is counted, for the account.
    Fixed(Fixed, BTreeSet<i32>),
}

impl Hash for Book {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Book { policies: _, owned, all, counted, counters, reserved, closed, quotas } = self;
        (owned, all, counted, counters, reserved, closed, quotas).hash(hasher);
    }
}

impl Book {
    /// A worker that owns nothing yet, under these limits.
    pub fn new(policies: Arc<[Policy]>) -> Self {
        Book {
            quotas: Quotas::new(policies.clone()),
            policies,
            owned: BTreeMap::new(),
            all: 1,
            counted: Counted::Here { part_permille: 1_000 },
            counters: BTreeMap::new(),
            reserved: Reserved::default(),
            closed: BTreeMap::new(),
        }
    }

    /// The worker owns these of all partitions from now on.
    pub fn set_owned(&mut self, owned: &BTreeSet<i32>, all: u32, now: Timestamp) {
        self.all = all.max(1);
        self.owned.retain(|partition, _| owned.contains(partition));
        for partition in owned {
            self.owned.entry(*partition).or_insert(now);
        }
        let is_owned =
            |(_, of): &CounterKey| of.as_ref().is_none_or(|(partition, _)| owned.contains(partition));
        self.counters.retain(|key, _| is_owned(key));
        self.closed.retain(|key, _| is_owned(key));
        self.quotas.set_owned(owned, all);
        for index in 0..self.policies.len() {
            if self.policies[index].scope == Scope::Account && !self.policies[index].is_long() {
                self.share_account(index, owned, now);
            }
        }
    }

    fn share_account(&mut self, index: usize, owned: &BTreeSet<i32>, now: Timestamp) {
        let key = (index, None);
        match &self.policies[index].window {
            Window::Rolling { .. } => match (self.rate(index), self.counters.get_mut(&key)) {
                (None, _) => drop(self.counters.remove(&key)),
                (Some(rate), Some(Counter::Rolling(known))) => known.set_rate(rate, now),
                (Some(rate), _) => {
                    self.counters.insert(key, Counter::Rolling(Rolling::empty(rate, now)));
                }
            },
            Window::Fixed(window) => {
                let (begin, _) = window.around(now);
                let nothing = || Counter::Fixed(Fixed::empty(begin), BTreeSet::new());
                if let Counter::Fixed(_, counted) = self.counters.entry(key).or_insert_with(nothing) {
                    counted.retain(|partition| owned.contains(partition));
                }
            }
        }
    }

    /// Until when such a call waits for its limits; none if it may go out. What holds all calls is left to
    /// [`next_at`](Self::next_at).
    pub fn wait_until(&self, asking: Asking<'_>, is_begun: bool, now: Timestamp) -> Option<Timestamp> {
        let is_kept = is_begun || asking.booking.is_none_or(|booking| self.reserved.has(booking));
        let waits = (0..self.policies.len()).filter_map(|index| {
            let policy = Some(&self.policies[index]).filter(|policy| !policy.is_long())?;
            let key = key_of(index, policy, asking).filter(|_| self.is_here(policy))?;
            let need = if is_kept { 1 } else { need_of(policy) };
            let at = self.enough_at(&key, need, is_kept, now);
            (at > now && !(is_for_all(policy) && self.enough_at(&key, 1, true, now) > now)).then_some(at)
        });
        waits.max()
    }

    /// When the next call may go out as far as limits go that count every call.
    pub fn next_at(&self, now: Timestamp) -> Timestamp {
        let is_meant = |policy: &Policy| is_for_all(policy) && self.is_here(policy);
        let for_all = (0..self.policies.len()).filter(|index| is_meant(&self.policies[*index]));
        for_all.map(|index| self.enough_at(&(index, None), 1, true, now)).fold(now, Timestamp::max)
    }

    /// Calls a second that the limits which count every call leave this worker in the long run; none if there is no such limit.
    pub fn per_second(&self) -> Option<f64> {
        let part = self.owned.len() as f64 / f64::from(self.all);
        let for_all = self.policies.iter().filter(|policy| is_for_all(policy));
        let rates = for_all.filter_map(|policy| {
            let length_s = policy.window.length_s().filter(|length_s| *length_s > 0)?;
            Some(f64::from(policy.calls) / length_s as f64 * part)
        });
        rates.min_by(f64::total_cmp)
    }

    /// A call goes out.
    pub fn take(&mut self, asking: Asking<'_>, now: Timestamp) {
        if self.policies.is_empty() {
            return;
        }
        let mut needs = Vec::new();
        let mut kept_until = now.plus_ms(KEPT_MS);
        for index in 0..self.policies.len() {
            let policy = &self.policies[index];
            let key = key_of(index, policy, asking).filter(|_| self.is_here(policy));
            let Some(key) = key else { continue };
            if need_of(policy) > 1 {
                needs.push((key.clone(), need_of(policy)));
            }
            if let (Window::Fixed(window), true) = (&policy.window, policy.is_long()) {
                kept_until = kept_until.min(window.around(now).1);
            }
            if policy.is_long() {
                continue;
            }
            let mut counter = self.counters.remove(&key).or_else(|| self.new_counter(&key));
            match (&mut counter, &self.policies[index].window) {
                (Some(Counter::Rolling(rolling)), _) => rolling.take(now),
                (Some(Counter::Fixed(fixed, counted)), Window::Fixed(window)) => {
                    let (begin, end) = window.around(now);
                    kept_until = kept_until.min(end);
                    if fixed.take(begin) {
                        *counted = self.since_before(begin);
                    }
                }
                _ => {}
            }
            counter.into_iter().for_each(|counter| drop(self.counters.insert(key.clone(), counter)));
        }
        if let Some(booking) = asking.booking {
            let is_last =
                matches!(asking.operation, Operation::CreateAppointment | Operation::UpdateAppointment);
            self.reserved.takes(booking, needs, is_last, (now, kept_until));
        }
        if self.counters.len() > PRACTICES_MAX {
            self.forget_idle(now);
        }
    }

    /// HealthFlow tells what is left of a limit. Returns whether it is one of ours that does not hold all calls: then it is
    /// taken care of here.
    pub fn told(&mut self, told: &PolicyTold, asking: Asking<'_>, now: Timestamp) -> bool {
        let Some(index) = self.number_of(told) else { return false };
        let Some(key) = key_of(index, &self.policies[index], asking) else { return false };
        if is_for_all(&self.policies[index]) {
            return false;
        }
        match (told.remaining, told.reset_ms) {
            (Some(0), Some(reset_ms)) if reset_ms > 0 => {
                self.closed.insert(key, now.plus_ms(reset_ms.min(PAUSE_MAX_MS)));
            }
            (Some(_), _) => drop(self.closed.remove(&key)),
            (None, _) => {}
        }
        self.closed.retain(|_, until| *until > now);
        true
    }

    /// Whether a limit that HealthFlow tells is configured: under its name, or with as many calls in such a window.
    pub fn is_known(&self, told: &PolicyTold) -> bool {
        self.number_of(told).is_some()
    }

    fn number_of(&self, told: &PolicyTold) -> Option<usize> {
        let named = self.policies.iter().position(|policy| policy.name == told.name);
        let alike = |policy: &Policy| {
            told.calls == Some(u64::from(policy.calls)) && told.window_s == policy.window.length_s()
        };
        named.or_else(|| self.policies.iter().position(alike))
    }

    /// When so many calls of a counter may go out, beside what is kept for bookings that have begun.
    fn enough_at(&self, key: &CounterKey, need: u32, is_kept: bool, now: Timestamp) -> Timestamp {
        let open_at = self.closed.get(key).copied().unwrap_or(now).max(now);
        let counter = self.counters.get(key).cloned().or_else(|| self.new_counter(key));
        let at = match (counter, &self.policies[key.0].window) {
            (Some(Counter::Rolling(rolling)), _) => rolling.next_at(need, now),
            (Some(Counter::Fixed(fixed, counted)), Window::Fixed(window)) => {
                let (begin, end) = window.around(now);
                let quota = self.quota(key, &fixed, &counted, begin);
                let left = fixed.left(quota, begin);
                let kept = if is_kept { 0 } else { self.reserved.of(key, now) };
                // Few calls a window are not left unused for the sake of a whole booking.
                let need = need.min(quota / QUOTA_PARTS).max(1);
                if left.saturating_sub(kept) >= need {
                    now
                } else if left >= need {
                    end.min(now.plus_ms(LOOK_AGAIN_MS))
                } else {
                    end
                }
            }
            // A share of nothing.
            _ => now.plus_ms(LOOK_AGAIN_MS),
        };
        at.max(open_at)
    }

    /// How many calls a fixed window that begins at `begin` has for this counter.
    fn quota(&self, key: &CounterKey, fixed: &Fixed, counted: &BTreeSet<i32>, begin: Timestamp) -> u32 {
        let calls = self.policies[key.0].calls;
        if key.1.is_some() {
            return calls;
        }
        let part = |partition: &i32| part_of(calls, *partition, self.all, begin);
        let taken = |parts: u32| (u64::from(parts) * u64::from(self.part_permille()) / 1_000) as u32;
        taken(match fixed.counts(begin) {
            true => counted.iter().map(part).sum(),
            false => self.since_before(begin).iter().map(part).sum(),
        })
    }

    /// The partitions whose window that begins at `begin` nobody else counted in: nobody had them in that very millisecond.
    fn since_before(&self, begin: Timestamp) -> BTreeSet<i32> {
        self.owned.iter().filter(|(_, since)| **since < begin).map(|(partition, _)| *partition).collect()
    }

    /// A counter that was not used yet since its partition is here.
    fn new_counter(&self, (index, of): &CounterKey) -> Option<Counter> {
        let since = match of {
            Some((partition, _)) => *self.owned.get(partition)?,
            None => return None,
        };
        let policy = &self.policies[*index];
        Some(match &policy.window {
            Window::Rolling { ms } => {
                let rate = Rate::of(policy.calls, policy.burst, *ms, 1, 1)?;
                Counter::Rolling(Rolling::empty(rate, since))
            }
            Window::Fixed(window) => Counter::Fixed(Fixed::empty(window.around(since).0), BTreeSet::new()),
        })
    }

    fn rate(&self, index: usize) -> Option<Rate> {
        let Policy { calls, burst, window: Window::Rolling { ms }, .. } = &self.policies[index] else {
            return None;
        };
        let owned = u32::try_from(self.owned.len()).unwrap_or(u32::MAX).saturating_mul(self.part_permille());
        Rate::of(*calls, *burst, *ms, owned, self.all.saturating_mul(1_000))
    }

    fn forget_idle(&mut self, now: Timestamp) {
        let mut counters = std::mem::take(&mut self.counters);
        counters.retain(|key, counter| {
            let is_used = match (counter, &self.policies[key.0].window) {
                (Counter::Rolling(rolling), _) => !rolling.is_whole(now),
                (Counter::Fixed(fixed, _), Window::Fixed(window)) => fixed.counts(window.around(now).0),
                _ => false,
            };
            is_used || key.1.is_none()
        });
        self.counters = counters;
    }
}

/// How many calls must be left for a booking that begins.
fn need_of(policy: &Policy) -> u32 {
    let is_long = |length: &Length| match length {
        Length::Part(ms) => *ms >= WHOLE_FROM_MS,
        Length::Month => true,
    };
    match &policy.window {
        _ if policy.is_long() => policy.calls_of_a_booking().max(1),
        Window::Fixed(window) if is_long(&window.length) => policy.calls_of_a_booking().max(1),
        // A rolling window gives back one after the other.
        Window::Fixed(_) | Window::Rolling { .. } => 1,
    }
}

/// Whether every call counts in it, and whoever asks waits for it: a long one lets some ask when others may not.
fn is_for_all(policy: &Policy) -> bool {
    policy.scope == Scope::Account && policy.operations == Operations::ALL && !policy.is_long()
}

/// The counter of a call under a policy; none if it does not count.
fn key_of(index: usize, policy: &Policy, asking: Asking<'_>) -> Option<CounterKey> {
    let of = || match policy.scope {
        Scope::Account => None,
        Scope::Practice => Some((asking.partition, asking.practice.clone())),
    };
    policy.operations.has(asking.operation).then(|| (index, of()))
}

/// The part of `calls` that a partition has in the window that begins at `begin`. All parts are as many as there are calls, and
/// what cannot be divided goes to others each time.
pub(super) fn part_of(calls: u32, partition: i32, all: u32, begin: Timestamp) -> u32 {
    let all = u64::from(all.max(1));
    let mixed = begin.0.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let turn = mixed % all;
    let place = u64::from(partition.unsigned_abs()) + turn;
    let up_to = |place: u64| u64::from(calls) * place / all;
    u32::try_from(up_to(place + 1) - up_to(place)).unwrap_or(u32::MAX)
}

mod shared;
#[cfg(test)]
mod tests;

pub use shared::Counted;
