//! Reading with care after an unclean end (rule K6): what kills the process before there is an intent is found by its
//! position. A task marks durably what the life before may have read, all that is fetched at once, before it decodes it. A
//! life that ends under a mark leaves a suspect range to the next life, which reads it in smaller steps, at last a single
//! record. That one is read alone: no other task reads with care and no call is under way in its process, so an end under its
//! mark is due to it. After `worker.crash_review_after` of those it is dead-lettered undecoded. Without this, one record that
//! the decoder cannot survive would end every worker for ever.

use std::collections::{BTreeMap, BTreeSet};

use crate::partition::outbox::Outbox;
use crate::partition::rules;
use crate::partition::start::Start;
use crate::settings::Settings;
use crate::state::{ReadMark, ReadingState};
use crate::time::Timestamp;
use crate::topics::{Lane, Position};

/// In how many steps a task reads a suspect range, each with a commit. More steps find the record that kills in fewer ends;
/// with fewer the records behind it wait less.
const NARROWING: u32 = 16;

/// How a task reads.
#[derive(Clone, Debug, Default, Hash)]
pub struct ReadGuard {
    /// When this process began.
    process: Timestamp,
    /// What was fetched and is not decoded.
    undecoded: BTreeMap<Lane, BTreeSet<i64>>,
    suspects: Vec<ReadMark>,
    step: Option<Step>,
    /// Until this commit is good, state holds a mark of a step that is over; whether that mark counts.
    cleared_by: Option<(u64, bool)>,
    /// Whether the next commit must carry it.
    is_news: bool,
}

#[derive(Clone, Debug, Hash)]
struct Step {
    mark: ReadMark,
    left: BTreeSet<i64>,
    /// The commit that marks it.
    sequence: u64,
    is_released: bool,
}

/// Records to be decoded now, or dead-lettered undecoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardedRange {
    /// The lane.
    pub lane: Lane,
    /// The first offset.
    pub from: i64,
    /// The last offset.
    pub to: i64,
    /// How many ends it has caused, if it is dead-lettered undecoded for that.
    pub dead_lettered_after: Option<u32>,
}

/// What else is under way in this process while a task reads with care: an end of the process could be due to that.
#[derive(Clone, Copy, Debug)]
pub struct Others {
    /// Whether another task has a mark, or a call is under way.
    pub work: bool,
    /// Whether another task reads a record alone.
    pub one_reads_alone: bool,
}

impl ReadGuard {
    /// For an owner that found `found` and goes on at `start`, in a process that began at `process`. Suspects of another
    /// topic of the same name, or below the start, do not count.
    pub(super) fn new(found: Option<&ReadingState>, start: &Start, process: Timestamp) -> Self {
        let is_here = |suspect: &ReadMark| {
            suspect.lane.offset_in(&start.next_offsets).is_some_and(|next| next <= suspect.to)
                && start.lost.iter().all(|lost| lost.lane != suspect.lane)
        };
        let mut suspects = found.map(|found| found.suspects_of_next(process)).unwrap_or_default();
        suspects.retain(is_here);
        ReadGuard { process, suspects, ..ReadGuard::default() }
    }

    /// What the task record holds of it. The next owner takes this one for alive unless it has drained.
    pub(super) fn state(&mut self, is_live: bool) -> ReadingState {
        self.is_news = false;
        let marked = self.step.as_ref().map(|step| step.mark.clone());
        let live_since = is_live.then_some(self.process);
        ReadingState { live_since, marked, suspects: self.suspects.clone() }
    }

    /// Whether the next commit must carry how this task reads.
    pub(super) fn is_news(&self) -> bool {
        self.is_news
    }

    /// The next commit must carry whether an owner lives.
    pub(super) fn tell(&mut self) {
        self.is_news = true;
    }

    /// A record was fetched that is not decoded before its mark is committed.
    pub(super) fn hold(&mut self, position: Position) {
        self.undecoded.entry(position.lane).or_default().insert(position.offset);
    }

    /// The record was decoded, or waits for its schema: the process lives. The commit `sequence` takes a mark off state that is
    /// over with it.
    pub(super) fn passed(&mut self, position: Position, sequence: u64) {
        let Position { lane, offset } = position;
        if let Some(undecoded) = self.undecoded.get_mut(&lane) {
            undecoded.remove(&offset);
        }
        let before = self.suspects.len();
        self.suspects.retain(|suspect| !(suspect.lane == lane && suspect.to == offset));
        self.is_news |= self.suspects.len() != before;
        if let Some(step) = self.step.as_mut().filter(|step| step.mark.holds(lane, offset)) {
            step.left.remove(&offset);
        }
        if let Some(step) = self.step.take_if(|step| step.left.is_empty()) {
            self.cleared_by = Some((sequence, step.mark.alone));
            self.is_news = true;
        }
    }

    /// The records that may be read together next: those of the first lane that has some, up to a suspect or within it.
    fn next_mark(&self) -> Option<(ReadMark, BTreeSet<i64>)> {
        let (lane, undecoded) = self.undecoded.iter().find(|(_, undecoded)| !undecoded.is_empty())?;
        let (lane, first) = (*lane, *undecoded.first()?);
        let within = self.suspects.iter().find(|suspect| suspect.holds(lane, first));
        let next_suspect = self
            .suspects
            .iter()
            .filter(|suspect| suspect.lane == lane && suspect.from > first)
            .map(|s| s.from)
            .min();
        let count = within.map_or(usize::MAX, |suspect| (suspect.records / NARROWING).max(1) as usize);
        let is_one = |offset: &&i64| {
            next_suspect.is_none_or(|from| **offset < from)
                && within.is_none_or(|suspect| **offset <= suspect.to)
        };
        let offsets: BTreeSet<i64> = undecoded.iter().take_while(is_one).take(count).copied().collect();
        let (to, records) = (*offsets.last()?, u32::try_from(offsets.len()).unwrap_or(u32::MAX));
        let known = within.filter(|suspect| suspect.records == 1 && records == 1);
        let (alone, ended) = (known.is_some(), known.map_or_else(Vec::new, |suspect| suspect.ended.clone()));
        Some((ReadMark { lane, from: first, to, records, alone, ended }, offsets))
    }

    /// The mark of this task that state may hold, if there is one: whether it is of a record that is read alone.
    pub(super) fn open_mark(&self) -> Option<bool> {
        let counts = self.step.as_ref().is_some_and(|step| step.mark.alone)
            || self.cleared_by.is_some_and(|(_, counts)| counts);
        (self.step.is_some() || self.cleared_by.is_some()).then_some(counts)
    }

    /// Whether the next record is to be read alone: nothing new is begun until it was.
    pub(super) fn wants_to_read_alone(&self, is_draining: bool, settings: &Settings) -> bool {
        let next =
            || self.next_mark().is_some_and(|(mark, _)| mark.alone && !is_dead_lettered(&mark, settings));
        self.open_mark() == Some(true) || self.step.is_none() && !is_draining && next()
    }

    /// Forgets the mark of a step that is over, once the commit is good that takes it off state.
    pub(super) fn forget_cleared(&mut self, outbox: &Outbox) {
        if self.cleared_by.is_some_and(|(sequence, _)| outbox.is_good(sequence)) {
            self.cleared_by = None;
        }
    }

    /// Gives what is read next, or marks what will be. A task that drains begins nothing.
    pub(super) fn read_on(
        &mut self,
        others: Others,
        is_draining: bool,
        outbox: &Outbox,
        settings: &Settings,
    ) -> Option<GuardedRange> {
        if let Some(step) = &mut self.step {
            if step.is_released || !outbox.is_good(step.sequence) {
                return None;
            }
            step.is_released = true;
            let ReadMark { lane, from, to, .. } = step.mark;
            return Some(GuardedRange { lane, from, to, dead_lettered_after: None });
        }
        if is_draining {
            return None;
        }
        let (mark, left) = self.next_mark()?;
        if is_dead_lettered(&mark, settings) {
            // No mark: nothing is decoded.
            self.undecoded.get_mut(&mark.lane)?.remove(&mark.from);
            let (ends, ReadMark { lane, from, to, .. }) = (ends_under(&mark), mark);
            return Some(GuardedRange { lane, from, to, dead_lettered_after: Some(ends) });
        }
        if others.one_reads_alone || others.work && mark.alone {
            return None;
        }
        self.step = Some(Step { mark, left, sequence: outbox.next_sequence(), is_released: false });
        self.is_news = true;
        None
    }
}

/// How many processes were lost while they read it alone.
fn ends_under(mark: &ReadMark) -> u32 {
    u32::try_from(mark.ended.len()).unwrap_or(u32::MAX)
}

fn is_dead_lettered(mark: &ReadMark, settings: &Settings) -> bool {
    rules::is_deadly(ends_under(mark), settings)
}

#[cfg(test)]
mod tests;
