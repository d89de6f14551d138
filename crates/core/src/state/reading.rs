//! What a task remembers of its reading, so that a record that kills the process that reads it is found by its position
//! (rule K6): whether an owner works on the task, what is read right now, and what is suspect.

use crate::time::Timestamp;
use crate::topics::Lane;

/// Most suspect ranges; the oldest is forgotten first.
const SUSPECTS_MAX: usize = 8;

/// The reading of a task, as in its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReadingState {
    /// When the owner's process began, if one works on the task. A new owner that finds this knows that the old one was lost:
    /// its process ended, or it could not commit. Only that process can know which, once it is the owner again.
    pub live_since: Option<Timestamp>,
    /// What is read right now; the task reads nothing else meanwhile.
    pub marked: Option<ReadMark>,
    /// What was read when workers ended.
    pub suspects: Vec<ReadMark>,
}

/// A range of records of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadMark {
    /// The lane.
    pub lane: Lane,
    /// The offset of the first.
    pub from: i64,
    /// The offset of the last.
    pub to: i64,
    /// How many there are.
    pub records: u32,
    /// Whether it is one record, and its process does nothing else meanwhile: an end counts against it.
    pub alone: bool,
    /// The starts of the processes that were lost while they read it alone.
    pub ended: Vec<Timestamp>,
}

impl ReadingState {
    /// Whether the next owner must read with care.
    pub fn is_suspicious(&self) -> bool {
        self.live_since.is_some() || !self.suspects.is_empty()
    }

    /// The suspect ranges for an owner that finds this and whose process began at `process`. Only an end while a record was
    /// read alone counts, once per process, and not that of a process that is still alive.
    pub fn suspects_of_next(&self, process: Timestamp) -> Vec<ReadMark> {
        let mut suspects = self.suspects.clone();
        let lost = self.live_since.filter(|owner| *owner != process);
        if let Some((mark, owner)) = self.marked.as_ref().zip(lost) {
            // The range that contained it is not suspect any more: its other records were read.
            suspects.retain(|suspect| !suspect.overlaps(mark));
            let mut suspect = ReadMark { alone: false, ..mark.clone() };
            if mark.alone && !mark.ended.contains(&owner) {
                suspect.ended.push(owner);
            }
            suspects.insert(0, suspect);
            suspects.truncate(SUSPECTS_MAX);
        }
        for suspect in &mut suspects {
            suspect.ended.retain(|ended| *ended != process);
        }
        suspects
    }
}

impl ReadMark {
    /// Whether the record at `offset` of `lane` is one of these.
    pub fn holds(&self, lane: Lane, offset: i64) -> bool {
        self.lane == lane && (self.from..=self.to).contains(&offset)
    }

    fn overlaps(&self, other: &ReadMark) -> bool {
        self.lane == other.lane && self.from <= other.to && other.from <= self.to
    }
}
