//! Which bookings get a notice that they are late, each once, in the order in which they became late. Which are late, and what their
//! notice contains, is decided in `late.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::booking::{Booking, BookingKey};
use crate::retry::WaitReason;
use crate::time::Timestamp;

/// The bookings that get a notice.
#[derive(Clone, Debug, Default)]
pub(super) struct Notices {
    /// By booking, so that none is twice among them.
    due: BTreeMap<BookingKey, Late>,
    /// In the order in which they became late.
    turns: VecDeque<BookingKey>,
    /// Versions that this owner parked and whose records it has not read again: they are work before others, and nowhere else.
    away: usize,
}

/// A version that is late.
#[derive(Clone, Debug, Hash)]
pub(super) struct Late {
    /// Which.
    pub booking: Arc<Booking>,
    /// Why it was parked, and until when; none if it is in memory.
    pub parked: Option<(WaitReason, Timestamp)>,
}

impl Hash for Notices {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // How many are away only makes a promise longer.
        let Notices { due, turns, away: _ } = self;
        (due, turns).hash(hasher);
    }
}

impl Notices {
    /// A version is parked.
    pub fn went_away(&mut self) {
        self.away += 1;
    }

    /// A record of the retry topic is read.
    pub fn came_back(&mut self) {
        self.away = self.away.saturating_sub(1);
    }

    /// How many are parked and not read again.
    pub fn away(&self) -> usize {
        self.away
    }

    /// Whether a notice is due.
    pub fn are_due(&self) -> bool {
        !self.turns.is_empty()
    }

    /// A version is late: a notice about it is due.
    pub fn add(&mut self, key: &BookingKey, late: Late) {
        if self.due.insert(key.clone(), late).is_none() {
            self.turns.push_back(key.clone());
        }
    }

    /// Takes the next one.
    pub fn next(&mut self) -> Option<(BookingKey, Late)> {
        self.due.remove_entry(&self.turns.pop_front()?)
    }
}
