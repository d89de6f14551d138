//! What a task remembers of bookings and patients, and whose state the next commit must carry. Nothing of it is changed
//! without a note of that: what memory knew and no commit carried, the next owner would not know.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use crate::booking::{BookingKey, PatientKey};
use crate::event::Outgoing;
use crate::partition::job::Job;
use crate::partition::subject::Subject;
use crate::state::{BookingState, PackedMap, PatientState, StateRecord, TaskState};

/// The calls of a booking whose patient is not known: a search by our reference and by birthday, mostly, and two writes.
const CALLS_OF_A_NEWCOMER: u32 = 4;

/// The state of a task.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    bookings: PackedMap<BookingState>,
    patients: PackedMap<PatientState>,
    /// Whose state the next commit will carry, as it is by then. Ordered, so that the same life always writes the same
    /// batches.
    changed: BTreeSet<Subject>,
}

impl Ledger {
    /// Of a task that was just restored.
    pub fn new(restored: TaskState) -> Self {
        let TaskState { bookings, patients, held: _, positions: _, quotas: _ } = restored;
        Ledger { bookings, patients, changed: BTreeSet::new() }
    }

    /// Of bookings.
    pub fn bookings(&self) -> &PackedMap<BookingState> {
        &self.bookings
    }

    /// Of patients.
    pub fn patients(&self) -> &PackedMap<PatientState> {
        &self.patients
    }

    /// How many calls a job is expected to take: one if its patient is known, a search and more if not.
    pub fn expected_calls(&self, job: &Job) -> u32 {
        let patient = job.newest().map(|newest| newest.booking.patient_key());
        let is_known =
            |patient: PatientKey| self.patients.get(&patient).is_some_and(|state| state.link.is_some());
        if patient.is_none_or(is_known) { 1 } else { CALLS_OF_A_NEWCOMER }
    }

    /// Numbers that are others whenever the state of this booking or of this patient may have changed.
    pub fn stamp(&self, booking: &BookingKey, patient: &PatientKey) -> (u64, u64) {
        (self.bookings.stamp(booking), self.patients.stamp(patient))
    }

    /// The state of a booking, for change.
    pub fn change_booking(&mut self, key: &BookingKey) -> &mut BookingState {
        self.changed.insert(key.into());
        self.bookings.entry_mut(key)
    }

    /// The state of a patient, for change.
    pub fn change_patient(&mut self, key: &PatientKey) -> &mut PatientState {
        self.changed.insert(key.into());
        self.patients.entry_mut(key)
    }

    /// Offers every hot booking to `change`, which returns whether it changed it.
    pub fn change_hot_bookings(&mut self, mut change: impl FnMut(&BookingKey, &mut BookingState) -> bool) {
        let changed =
            self.bookings.hot_iter_mut().filter_map(|(key, state)| change(key, state).then_some(key));
        self.changed.extend(changed.map(Subject::from));
    }

    /// The same of every patient.
    pub fn change_hot_patients(&mut self, mut change: impl FnMut(&PatientKey, &mut PatientState) -> bool) {
        let changed =
            self.patients.hot_iter_mut().filter_map(|(key, state)| change(key, state).then_some(key));
        self.changed.extend(changed.map(Subject::from));
    }

    /// A job looks at this booking from now on: what is asked of open ones only is asked of it too.
    pub fn unpack(&mut self, key: &BookingKey) {
        self.bookings.unpack(key);
    }

    /// HealthFlow does not compare revisions any more: the one that is known of this booking is not named. A new owner finds
    /// that out for itself, so no commit has to carry it.
    pub fn forget_revision(&mut self, key: &BookingKey) {
        let placement = self.bookings.unpack(key).and_then(|state| state.placement.as_mut());
        placement.into_iter().for_each(|placement| placement.revision = None);
    }

    /// Forgets a booking; the next commit carries that.
    pub fn forget_booking(&mut self, key: BookingKey) {
        self.bookings.remove(&key);
        self.changed.insert(Subject::Booking(key));
    }

    /// Whether the next commit must carry somebody's state.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Takes out what the next commit must carry, as it is now. Whose state has nothing open is packed, but not that of a
    /// booking `at_hand`: its job looks at it again and again, and ends with a change.
    pub fn take_changed(&mut self, at_hand: impl Fn(&BookingKey) -> bool) -> Vec<Outgoing> {
        let changed = std::mem::take(&mut self.changed);
        let record = |subject| match subject {
            Subject::Patient(key) => self.patient_record(key),
            Subject::Booking(key) => {
                let is_at_hand = at_hand(&key);
                self.booking_record(key, is_at_hand)
            }
        };
        changed.into_iter().map(record).collect()
    }

    fn patient_record(&mut self, key: PatientKey) -> Outgoing {
        let patient = self.patients.get(&key).map(Cow::into_owned).unwrap_or_default();
        self.patients.pack(&key);
        Outgoing::State(Box::new(StateRecord::Patient(key, patient)))
    }

    fn booking_record(&mut self, key: BookingKey, is_at_hand: bool) -> Outgoing {
        let booking = self.bookings.get(&key).map(Cow::into_owned);
        if !is_at_hand {
            self.bookings.pack(&key);
        }
        match booking {
            Some(booking) => Outgoing::State(Box::new(StateRecord::Booking(key, booking))),
            None => Outgoing::Forgotten(key),
        }
    }
}

impl Hash for Ledger {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Ledger { bookings, patients, changed } = self;
        (bookings, patients, changed).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> BookingKey {
        BookingKey { practice: "p".into(), booking: id.into() }
    }

    fn written(ledger: &mut Ledger) -> Vec<Outgoing> {
        ledger.take_changed(|_| true)
    }

    #[test]
    fn whatever_is_changed_is_carried_once_as_it_is_by_then() {
        let mut ledger = Ledger::new(TaskState::default());
        assert!(!ledger.has_changed());
        ledger.change_booking(&key("b")).newest = 1;
        ledger.change_booking(&key("b")).newest = 2;
        ledger.change_booking(&key("a")).newest = 3;
        assert!(ledger.has_changed());
        let state = |id: &str, newest| {
            let state = BookingState { newest, ..BookingState::default() };
            Outgoing::State(Box::new(StateRecord::Booking(key(id), state)))
        };
        assert_eq!(written(&mut ledger), [state("a", 3), state("b", 2)]);
        assert!(!ledger.has_changed() && written(&mut ledger).is_empty());
        ledger.forget_booking(key("a"));
        assert_eq!(written(&mut ledger), [Outgoing::Forgotten(key("a"))]);
    }

    #[test]
    fn of_what_is_open_only_what_was_changed_is_carried() {
        let mut ledger = Ledger::new(TaskState::default());
        for id in ["a", "b"] {
            ledger.change_booking(&key(id)).lost = vec![1];
        }
        written(&mut ledger);
        ledger.change_hot_bookings(|of, state| {
            let is_meant = *of == key("b");
            state.incarnation += u32::from(is_meant);
            is_meant
        });
        let expected = BookingState { lost: vec![1], incarnation: 1, ..BookingState::default() };
        let expected = Outgoing::State(Box::new(StateRecord::Booking(key("b"), expected)));
        assert_eq!(written(&mut ledger), [expected]);
    }
}
