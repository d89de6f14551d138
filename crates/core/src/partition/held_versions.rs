//! The versions that wait for a person, with their content, and who waits behind whose review. Without it a decision that carries
//! only ids would find no booking, and nobody would know whom it lets go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::booking::{Booking, BookingKey, PatientKey, Version, VersionKey};
use crate::event::Decision;
use crate::settings::Settings;
use crate::state::{Asks, Held};
use crate::time::Timestamp;
use crate::topics::Position;

/// One of those that wait behind a review: in the order in which they came.
type Waiter = (i64, VersionKey);

/// What is due about a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Due {
    /// To look whether HealthFlow answers it meanwhile.
    Look,
    /// To report that the visit draws near.
    Urgent,
}

/// What is due about which version, and when.
type Timer = (Timestamp, Due, VersionKey);

/// A held version, and what is due about it.
#[derive(Clone, Debug, Hash)]
struct Entry {
    held: Held,
    due: Vec<(Timestamp, Due)>,
}

/// Every held version of a task.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct HeldVersions {
    /// By booking and version.
    held: BTreeMap<VersionKey, Entry>,
    /// Whose bookings wait behind a review of the same patient.
    behind: BTreeMap<PatientKey, BTreeSet<Waiter>>,
    /// The patients whose bookings wait for the review of this booking.
    holds: BTreeMap<BookingKey, BTreeSet<PatientKey>>,
    /// Bookings that are to be looked at.
    ended: BTreeSet<BookingKey>,
    /// Bookings that held somebody under the owner before: whether anything of them is left is not known until all that it read
    /// is read again.
    doubted: BTreeSet<BookingKey>,
    /// What is due about whom, in that order.
    timers: BTreeSet<Timer>,
    /// Bookings of which an earlier worker's record lies in the topic.
    of_old: BTreeSet<BookingKey>,
    /// How many contents are in memory.
    contents: usize,
    /// What the next commits carry into the topic.
    fresh: VecDeque<(u64, VersionKey)>,
    /// Whose content is needed, and only in the topic.
    wanted: BTreeSet<VersionKey>,
    /// Whose content is being read.
    being_read: BTreeSet<VersionKey>,
    /// Which of them are looked at once their content is here.
    looks: BTreeSet<VersionKey>,
    /// Decisions that wait for the content of what they are about.
    undecided: Vec<(Decision, Position)>,
}

impl HeldVersions {
    /// Adds a version that the commit `sequence` will carry into the topic. Until then its content is here only.
    pub fn lay(&mut self, held: Held, sequence: u64, now: Timestamp, settings: &Settings) {
        self.fresh.push_back((sequence, held.version_key()));
        self.put(held, now, settings);
    }

    /// The commit `sequence` is known good.
    pub fn committed(&mut self, sequence: u64, contents_max: usize) {
        while self.fresh.front().is_some_and(|(carried_by, _)| *carried_by <= sequence) {
            let Some((_, of)) = self.fresh.pop_front() else { break };
            self.empty(&of, contents_max);
        }
    }

    /// Adds a version that lies in the topic.
    pub fn inherit(&mut self, mut held: Held, now: Timestamp, settings: &Settings) {
        held.content.take_if(|_| self.contents >= settings.review_contents_max);
        self.put(held, now, settings);
    }

    /// Adds a version at `now`, or replaces what was known of it. What was due about it before `now` was seen to by the owner that held it
    /// then.
    fn put(&mut self, held: Held, now: Timestamp, settings: &Settings) {
        let of = held.version_key();
        self.take(&of);
        if matches!(held.asks, Asks::Review(_)) {
            let waiter = (held.order, of.clone());
            self.behind.entry(held.patient.clone()).or_default().insert(waiter);
        }
        self.contents += usize::from(held.content.is_some());
        let due = due_times(&held, now, settings);
        self.timers.extend(due.iter().map(|(at, due)| (*at, *due, of.clone())));
        self.held.insert(of, Entry { held, due });
    }

    /// Takes a version out: it is held no more.
    pub fn take(&mut self, of: &VersionKey) -> Option<Held> {
        let Entry { held, due } = self.held.remove(of)?;
        for (at, due) in due {
            self.timers.remove(&(at, due, of.clone()));
        }
        if let Some(waiters) = self.behind.get_mut(&held.patient) {
            waiters.remove(&(held.order, of.clone()));
            if waiters.is_empty() {
                self.behind.remove(&held.patient);
            }
        }
        self.contents -= usize::from(held.content.is_some());
        Some(held)
    }

    /// The content of a version is needed: it is read from the topic.
    pub fn want(&mut self, of: VersionKey) {
        self.wanted.insert(of);
    }

    /// The same for a decision, which is carried out once the content is here.
    pub fn want_for(&mut self, decision: Decision, position: Position) {
        self.want(decision.key.version(decision.version));
        self.undecided.push((decision, position));
    }

    /// The same for a look.
    pub fn want_for_look(&mut self, of: &VersionKey) {
        self.want(of.clone());
        self.looks.insert(of.clone());
    }

    /// Whether the content was needed for a look; from now on it is not.
    pub fn takes_look(&mut self, of: &VersionKey) -> bool {
        self.looks.remove(of)
    }

    /// Whose content is to be read now; one reading at a time.
    pub fn take_wanted(&mut self) -> Vec<VersionKey> {
        if self.being_read.is_empty() {
            self.being_read = std::mem::take(&mut self.wanted);
            return self.being_read.iter().cloned().collect();
        }
        Vec::new()
    }

    /// The reading has ended; whose content it was for.
    pub fn take_read(&mut self) -> BTreeSet<VersionKey> {
        std::mem::take(&mut self.being_read)
    }

    /// The content of a version is here, for as long as it is needed.
    pub fn fill(&mut self, content: Arc<Booking>) {
        if let Some(Entry { held, .. }) = self.held.get_mut(&content.version_key()) {
            self.contents += usize::from(held.content.is_none());
            held.content = Some(content);
        }
    }

    /// The content of a version is not needed any more, unless there is room for it.
    pub fn empty(&mut self, of: &VersionKey, contents_max: usize) {
        let is_needed = self.wanted.contains(of) || self.being_read.contains(of);
        if is_needed || self.fresh.iter().any(|(_, fresh)| fresh == of) {
            return;
        }
        if let Some(Entry { held, .. }) = self.held.get_mut(of).filter(|_| self.contents > contents_max) {
            self.contents -= usize::from(held.content.take().is_some());
        }
    }

    /// Takes out the decisions that waited for content.
    pub fn take_undecided(&mut self) -> Vec<(Decision, Position)> {
        std::mem::take(&mut self.undecided)
    }

    /// Takes out what is due by `now`, and notes when a question is to be looked at again.
    pub fn take_due(&mut self, now: Timestamp, look_again_ms: i64) -> Option<(Due, VersionKey)> {
        let timer = self.timers.first().filter(|(at, ..)| *at <= now)?.clone();
        self.timers.remove(&timer);
        let (at, due, of) = timer;
        let entry = self.held.get_mut(&of)?;
        entry.due.retain(|one| *one != (at, due));
        if due == Due::Look {
            let next_at = now.plus_ms(look_again_ms);
            entry.due.push((next_at, due));
            self.timers.insert((next_at, due, of.clone()));
        }
        Some((due, of))
    }

    /// An earlier worker's record of this booking lies in the topic.
    pub fn note_of_old(&mut self, key: &BookingKey) {
        self.of_old.insert(key.clone());
    }

    /// Whether one does; from now on it does not.
    pub fn take_of_old(&mut self, key: &BookingKey) -> bool {
        self.of_old.remove(key)
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, ..)| *at)
    }

    /// Every held version, and whether it is urgent: a question whose visit draws near.
    pub fn iter(&self) -> impl Iterator<Item = (&Held, bool)> {
        self.held.values().map(|Entry { held, due }| {
            let is_question = matches!(held.asks, Asks::Person { .. });
            (held, is_question && !due.iter().any(|(_, due)| *due == Due::Urgent))
        })
    }

    /// This version, if it is held.
    pub fn get(&self, of: &VersionKey) -> Option<&Held> {
        self.held.get(of).map(|entry| &entry.held)
    }

    /// Whether the content of this version is in memory.
    pub fn has_content(&self, of: &VersionKey) -> bool {
        self.get(of).is_some_and(|held| held.content.is_some())
    }

    /// The held versions of a booking, oldest first.
    pub fn of(&self, key: &BookingKey) -> impl Iterator<Item = (Version, &Held)> {
        self.held.range(key.versions()).map(|(of, entry)| (of.version, &entry.held))
    }

    /// Who waits behind the review of `key` about this patient, in the order in which they came: bookings of the patient, and what
    /// else is wanted of `key` itself, whoever that is for.
    pub fn behind(&self, key: &BookingKey, patient: &PatientKey) -> Vec<VersionKey> {
        let own = self.of(key).filter(|(_, held)| held.waits_behind(key));
        let own = own.map(|(version, held)| (held.order, key.version(version)));
        let waiters: BTreeSet<Waiter> =
            self.behind.get(patient).into_iter().flatten().cloned().chain(own).collect();
        waiters.into_iter().map(|(_, of)| of).collect()
    }

    /// The versions of a booking that wait behind a question about its own write, oldest first.
    pub fn behind_itself(&self, key: &BookingKey) -> impl Iterator<Item = Version> {
        self.of(key).filter(|(_, held)| held.waits_behind(key)).map(|(version, _)| version)
    }

    /// From now on the bookings of `patient` wait for the review of `key`.
    pub fn begin_hold(&mut self, key: &BookingKey, patient: PatientKey) {
        self.holds.entry(key.clone()).or_default().insert(patient);
    }

    /// They do not any more.
    pub fn end_hold(&mut self, key: &BookingKey, patient: &PatientKey) {
        if let Some(patients) = self.holds.get_mut(key) {
            patients.remove(patient);
            if patients.is_empty() {
                self.holds.remove(key);
            }
        }
    }

    /// The patients whose bookings wait for the review of `key`.
    pub fn held_by(&self, key: &BookingKey) -> Vec<PatientKey> {
        self.holds.get(key).into_iter().flatten().cloned().collect()
    }

    /// A version of `key` has ended, or its write is a person's doubt now: what is held of it, and what waits for its review,
    /// is looked at. Returns whether there is anything.
    pub fn note_ended(&mut self, key: &BookingKey) -> bool {
        let is_any = self.of(key).next().is_some() || self.holds.contains_key(key);
        if is_any {
            self.ended.insert(key.clone());
        }
        is_any
    }

    /// The review of `key` held somebody under the owner before.
    pub fn doubt_holder(&mut self, key: BookingKey) {
        self.doubted.insert(key);
    }

    /// All that the owner before read is read again: a booking that held others is looked at.
    pub fn look_at_doubted(&mut self) {
        self.ended.append(&mut self.doubted);
    }

    /// Takes out a booking that is to be looked at.
    pub fn take_ended(&mut self) -> Option<BookingKey> {
        self.ended.pop_first()
    }
}

/// When which is due about a version that is held at `now`: nothing about one that waits behind another review.
fn due_times(held: &Held, now: Timestamp, settings: &Settings) -> Vec<(Timestamp, Due)> {
    let Asks::Person { reason, .. } = held.asks else { return Vec::new() };
    let mut due = Vec::new();
    let urgent_at = held.visit_start.plus_ms(-settings.review_urgent_before_ms);
    if urgent_at > now || held.since == now {
        due.push((urgent_at.max(now), Due::Urgent));
    }
    if reason.may_answer_itself() {
        // At the same moments under every owner, so that a new one does not look at all of them at once.
        let times = now.since_ms(held.since).max(0) / settings.review_look_again_ms.max(1) + 1;
        due.push((held.since.plus_ms(times.saturating_mul(settings.review_look_again_ms)), Due::Look));
    }
    due
}
