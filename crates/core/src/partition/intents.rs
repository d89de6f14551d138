//! What this owner knows of its open intents beyond what state records, for bookings and patients alike: which commit
//! carries each, what was sent under it, whether its outcome is in doubt; and how long it may write at all. Lives in
//! memory only: a new owner starts with a doubt for every intent that it finds open (rule K1).

mod fault_outcome;
mod open_write;

use std::hash::{Hash, Hasher};

use crate::booking::BookingKey;
use crate::hash::HashMap;
use crate::healthflow::Fault;
use crate::partition::outbox::Outbox;
use crate::partition::rules;
use crate::partition::subject::Subject;
use crate::partition::turn::Turn;
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::unordered::hash_entries;

pub(super) use fault_outcome::{FaultOutcome, fields_of};
pub(super) use open_write::Doubt;
use open_write::OpenWrite;

/// So many look-ups that failed make the longest pause, whatever follows.
const LOOK_UPS_MAX: u32 = 30;

/// The open intents of a task, and its lease.
#[derive(Clone, Debug)]
pub(super) struct Intents {
    /// What goes with each open intent. An intent that is left to a person stays open in state, and is not here.
    open: HashMap<Subject, OpenWrite>,
    /// F: when the old owner was fenced.
    fenced_at: Timestamp,
    /// When the last good commit was begun: the lease runs from there (rule W2). None before the first: there is no lease.
    lease_from: Option<Timestamp>,
}

impl Intents {
    /// Those of a task whose old owner was fenced at `fenced_at`. No write before the first commit is good: an owner that
    /// was fenced while it restored may have read what its successor intends, would take it for a doubt and repeat it,
    /// and the successor may yet withdraw it (W2).
    pub fn new(fenced_at: Timestamp) -> Self {
        Intents { open: HashMap::default(), fenced_at, lease_from: None }
    }

    /// F: when the old owner was fenced.
    pub fn fenced_at(&self) -> Timestamp {
        self.fenced_at
    }

    /// Until when an old owner's writes may still land unseen.
    pub fn inherited_settles_at(&self, settings: &Settings) -> Timestamp {
        self.fenced_at.plus_ms(rules::old_lease_ms(settings) + settings.settle_ms())
    }

    /// A commit that was begun at `started_at` is known good: no other worker was the owner then.
    pub fn renew_lease(&mut self, started_at: Timestamp) {
        self.lease_from = self.lease_from.max(Some(started_at));
    }

    /// Until when this owner may write; none if it may not yet.
    pub fn lease_until(&self, settings: &Settings) -> Option<Timestamp> {
        let from = rules::lease_from(self.lease_from, self.fenced_at, settings)?;
        Some(from.plus_ms(settings.lease_ms))
    }

    /// An intent was found open in state, and may have been sent under: its outcome is in doubt until then, and longer.
    pub fn inherit(&mut self, subject: Subject, settles_at: Timestamp) {
        self.open.insert(subject, OpenWrite::inherited(self.fenced_at, settles_at));
    }

    /// The commit `sequence` will carry the intent as it is now; if it was not open, it is opened, and nothing was sent
    /// under it.
    pub fn open(&mut self, subject: impl Into<Subject>, sequence: u64) {
        self.open.entry(subject.into()).or_default().sequence = sequence;
    }

    /// The commit `sequence` will carry what must be durable before anything more is asked under the intent, if it is
    /// open.
    pub fn raise(&mut self, subject: &Subject, sequence: u64) {
        self.open.get_mut(subject).into_iter().for_each(|open| open.sequence = sequence);
    }

    /// The intent is closed, or left to a person: nothing is known of it any more. Gives its doubt, if it was in doubt.
    pub fn forget(&mut self, subject: impl Into<Subject>) -> Option<Doubt> {
        self.open.remove(&subject.into()).and_then(|open| open.doubt)
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether an intent is open, and not left to a person.
    pub fn is_open(&self, subject: impl Into<Subject>) -> bool {
        self.open.contains_key(&subject.into())
    }

    /// Whether the intent is open in its newest form in a commit that is known good.
    pub fn is_durable(&self, subject: &Subject, outbox: &Outbox) -> bool {
        self.open.get(subject).is_some_and(|open| outbox.is_good(open.sequence))
    }

    /// Whether the intent is open and nothing that was sent under it can still have an effect: then it may be withdrawn
    /// or replaced.
    pub fn is_unsent(&self, subject: impl Into<Subject>) -> bool {
        self.open.get(&subject.into()).is_some_and(OpenWrite::is_unsent)
    }

    /// Whether the intent is open and something that was sent under it may have had an effect, or may yet have one.
    pub fn may_have_effect(&self, subject: impl Into<Subject>) -> bool {
        self.open.get(&subject.into()).is_some_and(|open| !open.is_unsent())
    }

    /// All that are unsent.
    pub fn all_unsent(&self) -> Vec<Subject> {
        let unsent = self.open.iter().filter(|(_, open)| open.is_unsent());
        unsent.map(|(subject, _)| subject.clone()).collect()
    }

    /// The doubt about it, if its outcome is in doubt (rule W4).
    pub fn doubt(&self, subject: impl Into<Subject>) -> Option<Doubt> {
        self.open.get(&subject.into()).and_then(|open| open.doubt)
    }

    /// When the doubt about it settles; `now` if there is none.
    pub fn settles_at(&self, subject: impl Into<Subject>, now: Timestamp) -> Timestamp {
        self.doubt(subject).map_or(now, |doubt| doubt.settles_at)
    }

    /// Whether its outcome is in doubt.
    pub fn is_in_doubt(&self, subject: impl Into<Subject>) -> bool {
        self.doubt(subject).is_some()
    }

    /// Every doubt.
    pub fn doubts(&self) -> impl Iterator<Item = Doubt> {
        self.open.values().filter_map(|open| open.doubt)
    }

    /// The bookings whose write is in doubt.
    pub fn bookings_in_doubt(&self) -> impl Iterator<Item = &BookingKey> {
        self.open.iter().filter(|(_, open)| open.doubt.is_some()).filter_map(|(subject, _)| match subject {
            Subject::Booking(key) => Some(key),
            Subject::Patient(_) => None,
        })
    }

    /// Whether a look-up of it was inconclusive.
    pub fn is_unclear(&self, subject: impl Into<Subject>) -> bool {
        self.doubt(subject).is_some_and(|doubt| doubt.unclear)
    }

    /// Whether a request under it, or the look-up that settles it, is under way.
    pub fn is_in_flight(&self, subject: impl Into<Subject>) -> bool {
        self.open.get(&subject.into()).is_some_and(|open| open.in_flight)
    }

    /// A request goes out under it, or asks what became of it.
    pub fn sent(&mut self, subject: &Subject, is_write: bool) {
        if let Some(open) = self.open.get_mut(subject) {
            open.in_flight = true;
            open.sends += u32::from(is_write);
        }
    }

    /// The look-up under way ended. False if the intent is not open any more.
    pub fn looked_up(&mut self, subject: impl Into<Subject>) -> bool {
        let open = self.open.get_mut(&subject.into());
        open.map(|open| open.in_flight = false).is_some()
    }

    /// What the fault of a request under it means for it (rules W3, W4); none if it is not open any more.
    pub fn apply_fault(
        &mut self,
        subject: impl Into<Subject>,
        fault: &Fault,
        settles_at: Timestamp,
        turn: &Turn<'_>,
    ) -> Option<FaultOutcome> {
        let open = self.open.get_mut(&subject.into())?;
        Some(fault_outcome::apply(open, fault, settles_at, turn))
    }

    /// A look-up of it was inconclusive: the doubt waits for a record that can go to review.
    pub fn leave_unclear(&mut self, subject: impl Into<Subject>) {
        let doubt = self.open.get_mut(&subject.into()).and_then(|open| open.doubt.as_mut());
        doubt.into_iter().for_each(|doubt| doubt.unclear = true);
    }

    /// A look-up that would settle the doubt failed: how many did by now, one after the other; one where all of them
    /// fail, for that is not its own trouble. None if there is no doubt.
    pub fn look_up_failed(&mut self, subject: &Subject, do_all: bool) -> Option<u32> {
        let doubt = self.open.get_mut(subject).and_then(|open| open.doubt.as_mut())?;
        doubt.look_ups = if do_all { 1 } else { (doubt.look_ups + 1).min(LOOK_UPS_MAX) };
        Some(doubt.look_ups)
    }

    /// The doubt is asked about again at `again_at`, not before.
    pub fn ask_again_at(&mut self, subject: &Subject, again_at: Timestamp) {
        let doubt = self.open.get_mut(subject).and_then(|open| open.doubt.as_mut());
        doubt.into_iter().for_each(|doubt| doubt.settles_at = again_at);
    }
}

impl Hash for Intents {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Intents { open, fenced_at, lease_from } = self;
        (fenced_at, lease_from).hash(hasher);
        hash_entries(open, hasher);
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
