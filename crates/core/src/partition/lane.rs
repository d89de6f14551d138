//! How far a lane has come: its committable offset. Bookings finish out of order; the offset that is committed is the lowest
//! one that is not finished, and what finished above it is known from state (rule K3).

use std::collections::{BTreeMap, BTreeSet};

use crate::hash::HashSet;
use crate::settings::Settings;
use crate::status::LaneStatus;
use crate::time::Timestamp;
use crate::topics::Lane;

/// What to do about fetching a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetching {
    /// Enough of it is in memory: nothing more is fetched.
    Pause,
    /// There is room again: it is fetched on.
    Resume,
}

/// Progress of one lane of a task.
#[derive(Clone, Debug, Hash)]
pub struct LaneProgress {
    /// The offset after the last record that arrived.
    next: i64,
    /// What arrived and is not finished, by offset.
    unfinished: BTreeMap<i64, Unfinished>,
    /// Bytes of what is unfinished and weighs in the lane's window.
    bytes: usize,
    /// Records that are there and cannot be read yet.
    delayed: BTreeSet<i64>,
    /// The offset that was committed last; none before the first commit of this owner.
    committed: Option<i64>,
    /// Whether fetching is stopped because enough is in memory.
    paused: bool,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Unfinished {
    size_bytes: usize,
    since: Option<Timestamp>,
}

impl LaneProgress {
    /// A lane that goes on reading at `next`.
    pub fn new(next: i64) -> Self {
        LaneProgress {
            next,
            unfinished: BTreeMap::new(),
            bytes: 0,
            delayed: BTreeSet::new(),
            committed: None,
            paused: false,
        }
    }

    /// The offset after the last record that arrived.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// A record arrived. Offsets rise, but with gaps: transaction markers and compaction leave holes.
    /// `since` is when the booking was asked for, where that is known.
    pub fn arrived(&mut self, offset: i64, size_bytes: usize, since: Option<Timestamp>) {
        self.next = self.next.max(offset + 1);
        let delayed = self.unfinished.insert(offset, Unfinished { size_bytes, since });
        self.bytes = self.bytes + size_bytes - delayed.map_or(0, |record| record.size_bytes);
        self.delayed.remove(&offset);
    }

    /// A record is there that cannot be read yet; it will arrive later.
    pub fn delayed(&mut self, offset: i64, size_bytes: usize, since: Option<Timestamp>) {
        self.arrived(offset, size_bytes, since);
        self.delayed.insert(offset);
    }

    /// Whether every record before `end` was read.
    pub fn is_read_until(&self, end: i64) -> bool {
        self.next >= end && self.delayed.is_empty()
    }

    /// The same, whatever waits past `end`.
    pub fn has_read_before(&self, end: i64) -> bool {
        self.next >= end && self.delayed.first().is_none_or(|delayed| *delayed >= end)
    }

    /// What the record at `offset` called for is in the batch that is being gathered.
    pub fn finished(&mut self, offset: i64) {
        if let Some(record) = self.unfinished.remove(&offset) {
            self.bytes -= record.size_bytes;
        }
    }

    /// The first offset that is not finished: what a commit carries.
    pub fn committable_offset(&self) -> i64 {
        self.unfinished.first_key_value().map_or(self.next, |(offset, _)| *offset)
    }

    /// Whether a commit would move the committed offset.
    pub fn has_moved(&self) -> bool {
        self.committed != Some(self.committable_offset())
    }

    /// The commit that carried `offset` is good.
    pub fn committed(&mut self, offset: i64) {
        self.committed = Some(offset);
    }

    /// What to do about fetching, given `waiting` records of the lane that wait elsewhere; none to leave it as it is. It
    /// is resumed at half the limits, so that it does not flutter.
    pub fn backpressure(&mut self, waiting: usize, settings: &Settings) -> Option<Fetching> {
        let (bytes_max, waiting_max) = (settings.read_ahead_bytes, settings.waiting_room_max);
        let full = self.bytes > bytes_max || waiting > waiting_max;
        let half_empty = self.bytes <= bytes_max / 2 && waiting <= waiting_max / 2;
        let change = if self.paused { half_empty } else { full };
        change.then(|| {
            self.paused = !self.paused;
            if self.paused { Fetching::Pause } else { Fetching::Resume }
        })
    }

    /// When the oldest unfinished record was asked for; those `waiting` for their time do not count.
    fn oldest_unfinished_at(&self, waiting: &HashSet<i64>) -> Option<Timestamp> {
        let late = self.unfinished.iter().filter(|(offset, _)| !waiting.contains(offset));
        late.filter_map(|(_, record)| record.since).min()
    }

    /// When each record was written that is there and cannot be read yet.
    pub fn delayed_since(&self) -> impl Iterator<Item = Option<Timestamp>> {
        self.delayed.iter().map(|offset| self.unfinished.get(offset).and_then(|record| record.since))
    }

    /// Bytes of unfinished records in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Unfinished records in memory.
    pub fn len(&self) -> usize {
        self.unfinished.len()
    }

    /// The state of the lane, as far as the task knows; `waiting` are the offsets of records that wait for their time.
    pub fn status(&self, lane: Lane, waiting: &HashSet<i64>) -> LaneStatus {
        LaneStatus {
            lane,
            next_offset: self.committable_offset(),
            read_offset: self.next,
            unread_records: None,
            end_offset: None,
            read_ahead_records: self.len(),
            read_ahead_bytes: self.bytes,
            waiting_records: waiting.len(),
            oldest_unfinished_at: self.oldest_unfinished_at(waiting),
            stalled_since: None,
            paused: self.paused,
        }
    }

    /// Whether nothing is unfinished.
    pub fn is_empty(&self) -> bool {
        self.unfinished.is_empty()
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_that_is_delayed_is_not_read() {
        let mut lane = LaneProgress::new(3);
        assert!(lane.is_read_until(3) && !lane.is_read_until(4));
        lane.delayed(3, 10, None);
        lane.arrived(4, 10, None);
        assert!(!lane.is_read_until(5));
        lane.arrived(3, 10, None);
        assert!(lane.is_read_until(5));
    }

    proptest! {
        /// Goal: the committable offset never passes an unfinished record and ends at the end. Method: any order of finishing.
        #[test]
        fn the_committable_offset_is_the_lowest_unfinished_offset(
            gaps in proptest::collection::vec(1_i64..4, 1..40),
            order in any::<prop::sample::Index>(),
        ) {
            let mut lane = LaneProgress::new(0);
            let mut open: Vec<i64> = Vec::new();
            let mut offset = -1;
            for gap in gaps {
                offset += gap;
                lane.arrived(offset, 10, None);
                open.push(offset);
            }
            while !open.is_empty() {
                prop_assert_eq!(lane.committable_offset(), *open.iter().min().unwrap_or(&0));
                let done = open.remove(order.index(open.len()));
                lane.finished(done);
            }
            prop_assert_eq!((lane.committable_offset(), lane.bytes()), (offset + 1, 0));
        }
    }
}
