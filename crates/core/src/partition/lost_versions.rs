//! Which bookings have versions whose record is gone from the retry topic, and that are owed their dead letter for it. When each
//! gets it is decided in `lost_records.rs`.

use std::collections::BTreeSet;

use crate::booking::BookingKey;

/// The bookings with versions whose record is gone, until each of those versions has its dead letter.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct LostVersions {
    of: BTreeSet<BookingKey>,
}

impl LostVersions {
    /// Versions of this booking are owed their dead letter.
    pub fn owe(&mut self, key: BookingKey) {
        self.of.insert(key);
    }

    /// Whether versions of this booking are owed their dead letter.
    pub fn owes(&self, key: &BookingKey) -> bool {
        self.of.contains(key)
    }

    /// Takes all of them: whose turn has not come is owed again.
    pub fn take_all(&mut self) -> BTreeSet<BookingKey> {
        std::mem::take(&mut self.of)
    }
}
