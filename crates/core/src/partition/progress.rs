//! How far a task has come on its lanes: what is unfinished, what may be fetched, where the next owner would go on.
//! Records without identity wait here for the committable offset, for after a restart only an offset shows that they were
//! dead-lettered (rules K3, K7, K9).

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use crate::event::Unusable;
use crate::hash::{HashMap, HashSet};
use crate::partition::lane::{Fetching, LaneProgress};
use crate::partition::start::Start;
use crate::settings::Settings;
use crate::state::{ReadingState, TaskPositions, TopicIds};
use crate::status::LaneStatus;
use crate::time::Timestamp;
use crate::topics::{Lane, Position};
use crate::unordered::hash_entries;

/// How old the copy of the offsets in state may become, in milliseconds.
const HOURLY_MS: i64 = 3_600_000;

/// How far a task has come on all its lanes.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Each lane that the task reads.
    lanes: HashMap<Lane, LaneProgress>,
    /// Unusable records without identity, by position: each is dead-lettered when the committable offset has come to it.
    unidentified: BTreeMap<Position, Unusable>,
    /// Where `appointments.requested` ended at the acquisition: what lies before it, an earlier owner may have read.
    requested_end: i64,
    /// Which topics the offsets are positions in: remembered with them.
    topic_ids: TopicIds,
    /// When this owner last wrote the copy of the offsets into state; none before it did.
    copied_at: Option<Timestamp>,
}

impl Progress {
    /// Of a task that goes on at `start`.
    pub fn new(start: &Start) -> Self {
        let lanes = start.next_offsets.iter().map(|next| (next.lane, LaneProgress::new(next.offset)));
        Progress {
            lanes: lanes.collect(),
            unidentified: BTreeMap::new(),
            requested_end: start.requested_end,
            topic_ids: start.topic_ids.clone(),
            copied_at: None,
        }
    }

    /// A record arrived; `since` is when its booking was asked for, where that is known.
    pub fn arrived(&mut self, position: Position, size_bytes: usize, since: Option<Timestamp>) {
        if let Some(progress) = self.lanes.get_mut(&position.lane) {
            progress.arrived(position.offset, size_bytes, since);
        }
    }

    /// A record is there that cannot be read yet; it will arrive later.
    pub fn delayed(&mut self, position: Position, size_bytes: usize, since: Option<Timestamp>) {
        if let Some(progress) = self.lanes.get_mut(&position.lane) {
            progress.delayed(position.offset, size_bytes, since);
        }
    }

    /// What the record called for is in the batch that is being gathered.
    pub fn finished(&mut self, position: impl Into<Option<Position>>) {
        let Some(position) = position.into() else { return };
        if let Some(progress) = self.lanes.get_mut(&position.lane) {
            progress.finished(position.offset);
        }
    }

    /// Keeps a record without identity until the committable offset has come to it.
    pub fn keep_unidentified(&mut self, position: Position, unusable: Unusable) {
        self.unidentified.insert(position, unusable);
    }

    /// Takes out and finishes a record without identity that the committable offset has come to.
    pub fn finish_unidentified(&mut self) -> Option<(Position, Unusable)> {
        let is_next = |position: &&Position| {
            let progress = self.lanes.get(&position.lane);
            progress.is_some_and(|progress| progress.committable_offset() == position.offset)
        };
        let position = self.unidentified.keys().find(is_next).copied()?;
        let unusable = self.unidentified.remove(&position)?;
        self.finished(position);
        Some((position, unusable))
    }

    /// What to do about fetching `lane`, given how many records of it wait elsewhere; none to leave it as it is.
    pub fn backpressure(&mut self, lane: Lane, waiting: usize, settings: &Settings) -> Option<Fetching> {
        self.lanes.get_mut(&lane)?.backpressure(waiting, settings)
    }

    /// Whether a lane holds as much in memory as it may.
    pub fn is_full(&self, settings: &Settings) -> bool {
        self.lanes.values().any(|lane| lane.bytes() > settings.read_ahead_bytes)
    }

    /// The offset after the last record of `appointments.requested` that arrived.
    pub fn next_requested(&self) -> i64 {
        self.lanes.get(&Lane::Requested).map_or(0, LaneProgress::next)
    }

    /// Whether every record of `appointments.requested` was read that an earlier owner may have read.
    pub fn is_caught_up(&self) -> bool {
        self.lanes.get(&Lane::Requested).is_none_or(|lane| lane.is_read_until(self.requested_end))
    }

    /// The same, of those before this offset only.
    pub fn is_caught_up_until(&self, offset: i64) -> bool {
        let end = offset.min(self.requested_end);
        self.lanes.get(&Lane::Requested).is_none_or(|lane| lane.has_read_before(end))
    }

    /// The first offset of a lane that is not finished: what keeps its committed offset from moving.
    pub fn head(&self, lane: Lane) -> Option<i64> {
        self.lanes.get(&lane).filter(|lane| !lane.is_empty()).map(LaneProgress::committable_offset)
    }

    /// Whether a commit would move the committed offset of a lane.
    pub fn has_moved(&self) -> bool {
        self.lanes.values().any(LaneProgress::has_moved)
    }

    /// The first offset of every lane that is not finished: what a commit carries.
    pub fn committable_offsets(&self) -> Vec<Position> {
        let mut offsets: Vec<_> =
            self.lanes.iter().map(|(lane, of)| lane.at(of.committable_offset())).collect();
        offsets.sort_unstable();
        offsets
    }

    /// These offsets are committed.
    pub fn committed(&mut self, offsets: &[Position]) {
        for position in offsets {
            if let Some(progress) = self.lanes.get_mut(&position.lane) {
                progress.committed(position.offset);
            }
        }
    }

    /// Whether the copy of the offsets in state is an hour old; none if this owner has not written one yet.
    pub fn is_copy_old(&self, now: Timestamp) -> Option<bool> {
        self.copied_at.map(|at| now.since_ms(at) >= HOURLY_MS)
    }

    /// The copy of `offsets` that goes into state now.
    pub fn copy(
        &mut self,
        now: Timestamp,
        offsets: &[Position],
        partition_count: u32,
        reading: ReadingState,
    ) -> TaskPositions {
        self.copied_at = Some(now);
        let (next_offsets, topic_ids) = (offsets.to_vec(), self.topic_ids.clone());
        TaskPositions { partition_count, next_offsets, topic_ids, reading, open_outage: None }
    }

    /// When each booking's record was written that is there and cannot be read yet.
    pub fn delayed_bookings(&self) -> impl Iterator<Item = Option<Timestamp>> {
        let of_bookings = self.lanes.iter().filter(|(lane, _)| lane.brings_bookings());
        of_bookings.flat_map(|(_, progress)| progress.delayed_since())
    }

    /// The state of every lane, as far as the task knows; `parked` are the offsets of retry records that wait for their time.
    pub fn status(&self, parked: &HashSet<i64>) -> Vec<LaneStatus> {
        let nothing = HashSet::default();
        let waiting = |lane: Lane| if lane.brings_parked() { parked } else { &nothing };
        let mut lanes: Vec<_> =
            self.lanes.iter().map(|(lane, progress)| progress.status(*lane, waiting(*lane))).collect();
        lanes.sort_by_key(|lane| lane.lane.topic());
        lanes
    }
}

impl Hash for Progress {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Progress { lanes, unidentified, requested_end, topic_ids, copied_at } = self;
        hash_entries(lanes, hasher);
        (unidentified, requested_end, topic_ids, copied_at).hash(hasher);
    }
}

#[cfg(test)]
mod tests;
