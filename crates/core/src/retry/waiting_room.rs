//! Records of the retry lane that were read but are not due, ordered by due time, so that a record that is due late never
//! holds up one behind it that is due earlier.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use crate::booking::{BookingKey, PracticeId, Version, VersionKey};
use crate::event::RetryEntry;
use crate::hash::HashMap;
use crate::retry::WaitReason;
use crate::time::Timestamp;
use crate::unordered::hash_entries;

/// A record that waits, with its offset in the lane.
#[derive(Clone, Debug, Hash)]
pub struct Waiting {
    /// The record.
    pub entry: RetryEntry,
    /// Its offset in the retry lane.
    pub offset: i64,
    /// Since when it is in memory.
    pub since: Timestamp,
}

impl Waiting {
    /// What it waits for; none if the record names no reason that we know.
    pub fn reason(&self) -> Option<WaitReason> {
        WaitReason::of(&self.entry.schedule.last_error)
    }

    /// Whether it waits for a slot that another booking will free.
    pub fn awaits_slot(&self) -> bool {
        self.reason() == Some(WaitReason::AwaitsSlot)
    }
}

/// Bookings of one task that wait for their time; each version of one at most once.
#[derive(Clone, Debug, Default)]
pub struct WaitingRoom {
    by_booking: HashMap<BookingKey, BTreeMap<Version, Waiting>>,
    by_due: BTreeMap<(Timestamp, i64), VersionKey>,
    by_offset: BTreeMap<i64, VersionKey>,
}

impl Hash for WaitingRoom {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // The same records by their offsets.
        let WaitingRoom { by_booking, by_due, by_offset: _ } = self;
        hash_entries(by_booking, hasher);
        by_due.hash(hasher);
    }
}

impl WaitingRoom {
    /// How many records wait.
    pub fn len(&self) -> usize {
        self.by_due.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.by_due.is_empty()
    }

    /// Every record, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.by_booking.values().flat_map(BTreeMap::values)
    }

    /// When the earliest record is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.by_due.first_key_value().map(|((due, _), _)| *due)
    }

    /// Adds a record. Returns the one of the same version that waits already: it is a copy.
    pub fn enter(&mut self, waiting: Waiting) -> Option<Waiting> {
        let of = waiting.entry.booking.version_key();
        let older = self.take(&of.booking, of.version);
        self.by_offset.insert(waiting.offset, of.clone());
        self.by_due.insert((waiting.entry.schedule.not_before, waiting.offset), of.clone());
        self.by_booking.entry(of.booking).or_default().insert(of.version, waiting);
        older
    }

    /// The earliest record that is due at `now`.
    pub fn take_due(&mut self, now: Timestamp) -> Option<Waiting> {
        let ((due, _), of) = self.by_due.first_key_value()?;
        if *due > now {
            return None;
        }
        let of = of.clone();
        self.take(&of.booking, of.version)
    }

    /// Every record of `booking` that is older than `version`: it is superseded and need not wait.
    pub fn take_older(&mut self, booking: &BookingKey, version: Version) -> Vec<Waiting> {
        let Some(versions) = self.by_booking.get(booking) else { return Vec::new() };
        let older: Vec<Version> = versions.range(..version).map(|(version, _)| *version).collect();
        older.into_iter().filter_map(|version| self.take(booking, version)).collect()
    }

    /// Every record of `booking` that waits for a slot.
    pub fn take_slot_waiters(&mut self, booking: &BookingKey) -> Vec<Waiting> {
        let Some(versions) = self.by_booking.get(booking) else { return Vec::new() };
        let for_slot: Vec<Version> = versions
            .iter()
            .filter(|(_, waiting)| waiting.awaits_slot())
            .map(|(version, _)| *version)
            .collect();
        for_slot.into_iter().filter_map(|version| self.take(booking, version)).collect()
    }

    /// Every record of a practice that waits because the practice was paused or limited by hand.
    pub fn take_held_by_hand(&mut self, practice: &PracticeId) -> Vec<Waiting> {
        let is_held = |waiting: &Waiting| waiting.reason().is_some_and(WaitReason::is_stopped_by_hand);
        let of_practice = self.by_booking.iter().filter(|(booking, _)| booking.practice == *practice);
        let held = of_practice.flat_map(|(booking, versions)| {
            let held = versions.iter().filter(|(_, waiting)| is_held(waiting));
            held.map(|(version, waiting)| (waiting.offset, booking.version(*version)))
        });
        let mut held: Vec<(i64, VersionKey)> = held.collect();
        held.sort_unstable();
        held.into_iter().filter_map(|(_, of)| self.take(&of.booking, of.version)).collect()
    }

    /// Since when the record at this offset waits, if it is one that does.
    pub fn since(&self, offset: i64) -> Option<Timestamp> {
        let VersionKey { booking, version } = self.by_offset.get(&offset)?;
        Some(self.by_booking.get(booking)?.get(version)?.since)
    }

    /// The record at this offset.
    pub fn take_at(&mut self, offset: i64) -> Option<Waiting> {
        let of = self.by_offset.get(&offset)?.clone();
        self.take(&of.booking, of.version)
    }

    /// The record that is due first of those that wait for the end of a storm, and whose practice this allows.
    pub fn take_first_in_storm(&mut self, allows: impl Fn(&PracticeId) -> bool) -> Option<Waiting> {
        let waits = |of: &&VersionKey| {
            let waiting = self.by_booking.get(&of.booking).and_then(|versions| versions.get(&of.version));
            let in_storm = waiting.and_then(Waiting::reason).is_some_and(WaitReason::is_storm);
            in_storm && allows(&of.booking.practice)
        };
        let of = self.by_due.values().find(waits)?.clone();
        self.take(&of.booking, of.version)
    }

    fn take(&mut self, booking: &BookingKey, version: Version) -> Option<Waiting> {
        let versions = self.by_booking.get_mut(booking)?;
        let waiting = versions.remove(&version)?;
        if versions.is_empty() {
            self.by_booking.remove(booking);
        }
        self.by_due.remove(&(waiting.entry.schedule.not_before, waiting.offset));
        self.by_offset.remove(&waiting.offset);
        Some(waiting)
    }
}

#[cfg(test)]
mod tests;
