//! The versions that wait for a person, with their content, and who waits behind whose review. Without it a decision that carries
//! only ids would find no booking, and nobody would know whom it lets go.

use std::collections::{BTreeMap, BTreeSet};

use crate::booking::{BookingKey, PatientKey, Version};
use crate::state::{Asks, Held};

/// One of those that wait behind a review: in the order in which they came.
type Waiter = (i64, BookingKey, Version);

/// Every held version of a task.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct HeldVersions {
    /// By booking.
    held: BTreeMap<BookingKey, BTreeMap<Version, Held>>,
    /// Whose bookings wait behind a review of the same patient.
    behind: BTreeMap<PatientKey, BTreeSet<Waiter>>,
    /// The patients whose bookings wait for the review of this booking.
    holds: BTreeMap<BookingKey, BTreeSet<PatientKey>>,
    /// Bookings that are to be looked at.
    ended: BTreeSet<BookingKey>,
}

impl HeldVersions {
    /// Adds a version, or replaces what was known of it.
    pub fn put(&mut self, held: Held) {
        let (key, version) = (held.booking.key.clone(), held.booking.version);
        self.take(&key, version);
        if matches!(held.asks, Asks::Review(_)) {
            let waiter = (held.order, key.clone(), version);
            self.behind.entry(held.booking.patient_key()).or_default().insert(waiter);
        }
        self.held.entry(key).or_default().insert(version, held);
    }

    /// Takes a version out: it is held no more.
    pub fn take(&mut self, key: &BookingKey, version: Version) -> Option<Held> {
        let versions = self.held.get_mut(key)?;
        let held = versions.remove(&version)?;
        if versions.is_empty() {
            self.held.remove(key);
        }
        let patient = held.booking.patient_key();
        if let Some(waiters) = self.behind.get_mut(&patient) {
            waiters.remove(&(held.order, key.clone(), version));
            if waiters.is_empty() {
                self.behind.remove(&patient);
            }
        }
        Some(held)
    }

    /// The held versions of a booking, oldest first.
    pub fn of(&self, key: &BookingKey) -> impl Iterator<Item = (Version, &Held)> {
        self.held.get(key).into_iter().flatten().map(|(version, held)| (*version, held))
    }

    /// Who waits behind a review of this patient, in the order in which they came.
    pub fn behind(&self, patient: &PatientKey) -> Vec<(BookingKey, Version)> {
        let waiters = self.behind.get(patient).into_iter().flatten();
        waiters.map(|(_, key, version)| (key.clone(), *version)).collect()
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

    /// A version of `key` has ended, or its write is a person's doubt now: what is held of it, and whoever waits for its review,
    /// is looked at. Returns whether there is anything.
    pub fn note_ended(&mut self, key: &BookingKey) -> bool {
        let is_any = self.held.contains_key(key) || self.holds.contains_key(key);
        if is_any {
            self.ended.insert(key.clone());
        }
        is_any
    }

    /// Takes out a booking that is to be looked at.
    pub fn take_ended(&mut self) -> Option<BookingKey> {
        self.ended.pop_first()
    }
}
