//! Rejection storms: a broken release, HealthFlow's or ours, makes HealthFlow refuse nearly everything. Each refusal by itself is
//! final, so without this part every booking of that time becomes a dead letter that somebody has to redrive. While a storm
//! lasts, what is refused waits, nobody else asks for the same, and one booking a minute is tried until one is accepted.

mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::booking::PracticeId;
use crate::healthflow::{Fault, Operation, Reply};
use crate::time::Timestamp;

use window::{Sample, Window};

/// So many practices whose bookings were tried in vain are passed over by the next trials.
const PASSED_OVER_MAX: usize = 8;

/// How long a booking that was taken out to be tried has until another one is taken, in milliseconds: it may give way to a newer
/// version, or wait for its patient.
const TAKE_ANOTHER_MS: i64 = 5_000;

/// When a storm begins and how it ends; each is a key of the section `[rejection_storm]`. Durations are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RejectionStormLimits {
    /// `rejection_storm.window_ms`: how far back calls count.
    pub window_ms: i64,
    /// `rejection_storm.calls_min`: the last so many calls are judged, and no fewer; 0: there are no storms.
    pub calls_min: usize,
    /// `rejection_storm.refused_share`: a storm begins if this part of them was refused by one rule.
    pub refused_share: f64,
    /// `rejection_storm.practices_min`: a storm of all practices needs refusals from so many.
    pub practices_min: usize,
    /// `rejection_storm.trial_ms`: from one trial to the next.
    pub trial_ms: i64,
    /// `rejection_storm.believed_after_ms`: refusals are believed after a storm lasted so long.
    pub believed_after_ms: i64,
}

#[cfg(any(test, feature = "for-tests"))]
impl RejectionStormLimits {
    /// The defaults of `config/default.toml`; a test of the configuration compares the two.
    pub const fn for_tests() -> Self {
        RejectionStormLimits {
            window_ms: 300_000,
            calls_min: 20,
            refused_share: 0.8,
            practices_min: 3,
            trial_ms: 60_000,
            believed_after_ms: 86_400_000,
        }
    }

    /// There are no storms.
    pub const fn off() -> Self {
        RejectionStormLimits { calls_min: 0, ..RejectionStormLimits::for_tests() }
    }
}

/// What is refused in a storm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StormOf {
    /// Whose bookings; none: everybody's.
    pub practice: Option<PracticeId>,
    /// Asking for what.
    pub operation: Operation,
}

/// How storms changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StormChange {
    /// One began.
    Began {
        /// Of what.
        of: StormOf,
        /// The rule by which most was refused: a field with HealthFlow's code, or `slot_taken`, or `no_field`.
        rule: Arc<str>,
        /// Calls that were judged.
        calls: usize,
        /// How many of them were refused by that rule.
        refused: usize,
    },
    /// One is over.
    Over {
        /// Of what.
        of: StormOf,
        /// How long it lasted.
        lasted_ms: u64,
        /// Whether HealthFlow accepted a booking; else it lasted so long that refusals are believed.
        is_accepted: bool,
    },
}

/// A storm as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StormView<'a> {
    /// Of what.
    pub of: &'a StormOf,
    /// The rule by which most was refused.
    pub rule: &'a Arc<str>,
    /// Since when.
    pub since: Timestamp,
}

/// A call that ended, as far as storms are concerned.
#[derive(Clone, Copy, Debug)]
pub struct CallEnded<'a> {
    /// Whose.
    pub practice: &'a PracticeId,
    /// What was asked for.
    pub operation: Operation,
    /// When it went out.
    pub sent_at: Timestamp,
    /// Whether its version was put aside in a storm before.
    pub was_in_storm: bool,
    /// What HealthFlow answered.
    pub reply: &'a Reply,
}

/// The storms of one worker.
#[derive(Clone, Debug)]
pub struct RejectionStorms {
    limits: RejectionStormLimits,
    account: BTreeMap<Operation, Window>,
    /// Only of practices with a refusal in their window.
    practices: BTreeMap<StormOf, Window>,
    storms: BTreeMap<StormOf, Storm>,
    /// What was refused for so long that it is believed, until one is accepted.
    believed: BTreeSet<StormOf>,
    /// What HealthFlow has accepted since this worker began, or since the last storm of all practices.
    accepted: BTreeSet<Operation>,
}

#[derive(Clone, Debug, Hash)]
struct Storm {
    rule: Arc<str>,
    since: Timestamp,
    next_trial_at: Timestamp,
    /// When a booking that waits is taken out to be tried.
    take_at: Timestamp,
    passed_over: VecDeque<PracticeId>,
}

impl RejectionStorms {
    /// No storm.
    pub fn new(limits: RejectionStormLimits) -> Self {
        RejectionStorms {
            limits,
            account: BTreeMap::new(),
            practices: BTreeMap::new(),
            storms: BTreeMap::new(),
            believed: BTreeSet::new(),
            accepted: BTreeSet::new(),
        }
    }

    /// The storms that last.
    pub fn views(&self) -> impl Iterator<Item = StormView<'_>> {
        self.storms.iter().map(|(of, storm)| StormView { of, rule: &storm.rule, since: storm.since })
    }

    /// Whether no storm concerns this practice.
    pub fn is_calm(&self, practice: &PracticeId) -> bool {
        self.over(practice).next().is_none()
    }

    /// Whether what this practice asks for is refused because of a storm.
    pub fn is_refused_in_storm(&self, practice: &PracticeId, operation: Operation) -> bool {
        self.over(practice).any(|(of, _)| of == operation)
    }

    /// Whether a booking of this practice may not ask for this now. One that was put aside in a storm asks for nothing at all
    /// before it may be tried: it would only search again in vain.
    pub fn holds(
        &self,
        practice: &PracticeId,
        operation: Operation,
        was_in_storm: bool,
        now: Timestamp,
    ) -> bool {
        self.over(practice)
            .filter(|(of, _)| was_in_storm || *of == operation)
            .any(|(_, storm)| !storm.may_try(practice, self.limits.trial_ms, now))
    }

    /// A call goes out: if it is one that a storm is about, that is its trial.
    pub fn is_sent(&mut self, practice: &PracticeId, operation: Operation, now: Timestamp) {
        if self.storms.is_empty() {
            return;
        }
        for practice_of in [None, Some(practice.clone())] {
            let of_account = practice_of.is_none();
            let Some(storm) = self.storms.get_mut(&StormOf { practice: practice_of, operation }) else {
                continue;
            };
            storm.next_trial_at = now.plus_ms(self.limits.trial_ms);
            storm.take_at = storm.next_trial_at;
            if of_account {
                storm.passed_over.retain(|one| one != practice);
                storm.passed_over.push_back(practice.clone());
                if storm.passed_over.len() > PASSED_OVER_MAX {
                    storm.passed_over.pop_front();
                }
            }
        }
    }

    /// A call ended.
    pub fn ended(&mut self, call: CallEnded<'_>, now: Timestamp) -> Vec<StormChange> {
        // A look-up that is refused ends no booking.
        if self.limits.calls_min == 0 || call.operation == Operation::FindAppointment {
            return Vec::new();
        }
        match call.reply {
            Ok(_) => self.accepted(call, now),
            Err(Fault::Refused { fields, .. }) if fields.is_empty() => {
                self.refused(call, ["no_field".into()].into(), now)
            }
            Err(Fault::Refused { fields, .. }) => {
                self.refused(call, fields.iter().map(|field| Arc::from(&**field)).collect(), now)
            }
            Err(Fault::SlotTaken) => self.refused(call, ["slot_taken".into()].into(), now),
            Err(_) => Vec::new(),
        }
    }

    /// The storms for which a booking that waits is to be tried now; whoever asks takes one out for each.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<StormOf> {
        let mut due = Vec::new();
        for (of, storm) in &mut self.storms {
            if storm.take_at <= now {
                storm.take_at = now.plus_ms(TAKE_ANOTHER_MS.min(self.limits.trial_ms.max(1)));
                due.push(of.clone());
            }
        }
        due
    }

    /// Ends the storms that lasted so long that refusals are believed.
    pub fn believe(&mut self, now: Timestamp) -> Vec<StormChange> {
        let longest_ms = self.limits.believed_after_ms;
        let is_over = |storm: &Storm| now.since_ms(storm.since) >= longest_ms;
        let over: Vec<StormOf> =
            self.storms.iter().filter(|(_, storm)| is_over(storm)).map(|(of, _)| of.clone()).collect();
        let changes: Vec<StormChange> = over.iter().filter_map(|of| self.end(of, false, now)).collect();
        self.believed.extend(over);
        changes
    }

    /// When a booking is to be taken out, or a storm to be believed.
    pub fn next_at(&self) -> Option<Timestamp> {
        let next = |storm: &Storm| storm.take_at.min(storm.since.plus_ms(self.limits.believed_after_ms));
        self.storms.values().map(next).min()
    }

    fn over<'a>(&'a self, practice: &'a PracticeId) -> impl Iterator<Item = (Operation, &'a Storm)> {
        let all = if self.storms.is_empty() { &[][..] } else { &Operation::ALL[..] };
        all.iter().flat_map(move |operation| {
            let of = |practice| self.storms.get(&StormOf { practice, operation: *operation });
            let both = [of(None), of(Some(practice.clone()))];
            both.into_iter().flatten().map(|storm| (*operation, storm))
        })
    }

    fn accepted(&mut self, call: CallEnded<'_>, now: Timestamp) -> Vec<StormChange> {
        let CallEnded { practice, operation, sent_at, .. } = call;
        let of_practice = StormOf { practice: Some(practice.clone()), operation };
        let of_account = StormOf { practice: None, operation };
        self.accepted.insert(operation);
        self.believed.remove(&of_account);
        self.believed.remove(&of_practice);
        let mut over = Vec::new();
        for of in [of_account, of_practice] {
            // What went out before is no news.
            if self.storms.get(&of).is_some_and(|storm| storm.since <= sent_at) {
                over.extend(self.end(&of, true, now));
            }
        }
        self.sample(practice, operation, [].into(), now);
        over
    }

    fn refused(&mut self, call: CallEnded<'_>, rules: Arc<[Arc<str>]>, now: Timestamp) -> Vec<StormChange> {
        let CallEnded { practice, operation, was_in_storm, .. } = call;
        let of_practice = StormOf { practice: Some(practice.clone()), operation };
        let of_account = StormOf { practice: None, operation };
        self.sample(practice, operation, Arc::clone(&rules), now);
        if self.is_refused_in_storm(practice, operation) || self.believed.contains(&of_account) {
            return Vec::new();
        }
        for rule in rules.iter() {
            let window = self.account.get(&operation);
            let of_several = window.filter(|window| window.is_of_several(rule, &self.limits));
            if let Some(refused) = of_several.and_then(|window| window.too_many(rule, &self.limits)) {
                self.accepted.remove(&operation);
                return self.begin(of_account, rule, self.limits.calls_min, refused, now);
            }
        }
        if self.believed.contains(&of_practice) {
            return Vec::new();
        }
        for rule in rules.iter() {
            let window = self.practices.get(&of_practice);
            if let Some(refused) = window.and_then(|window| window.too_many(rule, &self.limits)) {
                return self.begin(of_practice, rule, self.limits.calls_min, refused, now);
            }
        }
        // Another worker saw the storm begin, and nobody has seen it end.
        match rules.first() {
            Some(rule) if was_in_storm && !self.accepted.contains(&operation) => {
                self.begin(of_practice, rule, 1, 1, now)
            }
            _ => Vec::new(),
        }
    }

    fn sample(
        &mut self,
        practice: &PracticeId,
        operation: Operation,
        rules: Arc<[Arc<str>]>,
        now: Timestamp,
    ) {
        let of = StormOf { practice: Some(practice.clone()), operation };
        let sample = Sample { at: now, practice: practice.clone(), rules };
        self.account.entry(operation).or_default().take_in(sample.clone(), &self.limits);
        if sample.rules.is_empty() {
            if let Some(window) = self.practices.get_mut(&of) {
                window.take_in(sample, &self.limits);
            }
        } else {
            let limits = self.limits;
            self.practices.retain(|_, window| window.has_refusals(now, &limits));
            self.practices.entry(of).or_default().take_in(sample, &limits);
        }
    }

    fn begin(
        &mut self,
        of: StormOf,
        rule: &Arc<str>,
        calls: usize,
        refused: usize,
        now: Timestamp,
    ) -> Vec<StormChange> {
        let next_trial_at = now.plus_ms(self.limits.trial_ms);
        let storm = Storm {
            rule: Arc::clone(rule),
            since: now,
            next_trial_at,
            take_at: next_trial_at,
            passed_over: VecDeque::new(),
        };
        self.forget_calls(&of);
        self.storms.insert(of.clone(), storm);
        vec![StormChange::Began { of, rule: Arc::clone(rule), calls, refused }]
    }

    fn end(&mut self, of: &StormOf, is_accepted: bool, now: Timestamp) -> Option<StormChange> {
        let storm = self.storms.remove(of)?;
        self.forget_calls(of);
        let lasted_ms = now.since_ms(storm.since).max(0).unsigned_abs();
        Some(StormChange::Over { of: of.clone(), lasted_ms, is_accepted })
    }

    fn forget_calls(&mut self, of: &StormOf) {
        match of.practice {
            None => self.account.get_mut(&of.operation).into_iter().for_each(Window::clear),
            Some(_) => drop(self.practices.remove(of)),
        }
    }
}

impl Storm {
    /// Whether a booking of this practice may be the trial. One whose bookings were tried in vain leaves others a little time, the
    /// more the later that was: what was refused may have been its own fault.
    fn may_try(&self, practice: &PracticeId, trial_ms: i64, now: Timestamp) -> bool {
        let tried = self.passed_over.iter().position(|one| one == practice);
        let patience_ms = tried.map_or(0, |index| trial_ms / 4 * (index as i64 + 1) / PASSED_OVER_MAX as i64);
        self.next_trial_at.plus_ms(patience_ms) <= now
    }
}

impl Hash for RejectionStorms {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let RejectionStorms { limits: _, account, practices, storms, believed, accepted } = self;
        (account, practices, storms, believed, accepted).hash(hasher);
    }
}

#[cfg(test)]
mod tests;
