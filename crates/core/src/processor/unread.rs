//! What lies in Kafka and nobody has read. The worker knows how far each lane has come and, every few seconds, where its topic
//! ends; from when it first saw each end follows for how long a record has been there, without reading it.

use std::collections::{HashMap, VecDeque};

use crate::status::{PROMISED_MS, Status, WaitPlace, Waits};
use crate::time::Timestamp;
use crate::topics::Lane;

/// Ends that are remembered of each lane. Beyond that every second one is forgotten, and ages are less exact.
const ENDS_MAX: usize = 256;

/// When which end of which topic was first seen, by topic and partition.
#[derive(Debug, Default)]
pub struct Unread(HashMap<(&'static str, i32), VecDeque<Seen>>);

/// An end of a topic: the records before it were there at this moment.
#[derive(Clone, Copy, Debug)]
struct Seen {
    end: i64,
    at: Timestamp,
}

impl Unread {
    /// Sets for every lane in `status` how many records are unread, and adds those that are bookings to its waits. `fetched`
    /// returns how far a lane was fetched, ends of transactions included, where that is known: they are no records.
    pub fn note(&mut self, status: &mut Status, fetched: impl Fn(&'static str, i32) -> Option<i64>) {
        let now = status.taken_at;
        let mut before = std::mem::take(&mut self.0);
        for task in &mut status.tasks {
            for lane in &mut task.lanes {
                let Some(end) = lane.end_offset else { continue };
                let place = (lane.lane.topic(), task.partition);
                let mut ends = before.remove(&place).unwrap_or_default();
                // A lane that is full has fetched what it has not read.
                let fetched = fetched(lane.lane.topic(), task.partition).filter(|_| !lane.paused);
                let read = lane.read_offset.max(fetched.unwrap_or(lane.read_offset));
                remember(&mut ends, Seen { end, at: now }, read);
                lane.unread_records = Some(end.saturating_sub(read).max(0));
                if lane.lane.brings_bookings() && !ends.is_empty() {
                    add(&mut status.waits, lane.lane, &ends, read, now);
                }
                self.0.insert(place, ends);
            }
        }
    }
}

fn remember(ends: &mut VecDeque<Seen>, seen: Seen, read: i64) {
    // A topic that was made anew ends before where the old one did.
    ends.retain(|known| known.end > read && known.end <= seen.end);
    if seen.end > read && ends.back().is_none_or(|last| last.end < seen.end) {
        ends.push_back(seen);
    }
    if ends.len() > ENDS_MAX {
        let mut is_kept = false;
        ends.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
    }
}

fn add(waits: &mut Vec<Waits>, lane: Lane, ends: &VecDeque<Seen>, read: i64, now: Timestamp) {
    let records =
        |end: Option<i64>| usize::try_from(end.map_or(0, |end| end.saturating_sub(read))).unwrap_or_default();
    let is_late = |seen: &&Seen| now.since_ms(seen.at) > PROMISED_MS;
    let (count, oldest_at) = (records(ends.back().map(|seen| seen.end)), ends.front().map(|seen| seen.at));
    let late = records(ends.iter().rev().find(is_late).map(|seen| seen.end));
    let of_lane = |waits: &&mut Waits| waits.place == WaitPlace::Unread && waits.why == lane.topic();
    match waits.iter_mut().find(of_lane) {
        Some(known) => {
            known.count += count;
            known.oldest_at = known.oldest_at.into_iter().chain(oldest_at).min();
            known.late += late;
        }
        None => {
            let why = lane.topic().into();
            waits.push(Waits { place: WaitPlace::Unread, why, count, oldest_at, late });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{LaneStatus, TaskPhase, TaskStatus};

    fn status(lane: Lane, at: i64, read_offset: i64, end: i64) -> Status {
        let lane = LaneStatus {
            lane,
            next_offset: 0,
            read_offset,
            unread_records: None,
            end_offset: Some(end),
            read_ahead_records: 0,
            read_ahead_bytes: 0,
            waiting_records: 0,
            oldest_unfinished_at: None,
            stalled_since: None,
            paused: false,
        };
        let task = |partition| TaskStatus {
            phase: TaskPhase::Live,
            lanes: vec![lane.clone()],
            ..TaskStatus::acquiring(partition, 1)
        };
        Status { taken_at: Timestamp(at), tasks: vec![task(1), task(2)], ..Status::default() }
    }

    /// What is seen: records, age and late records of both partitions together.
    fn seen(unread: &mut Unread, mut status: Status, fetched: Option<i64>) -> Option<(usize, i64, usize)> {
        unread.note(&mut status, |_, _| fetched);
        let waits = status.waits.first()?;
        assert_eq!((waits.place, status.waits.len()), (WaitPlace::Unread, 1));
        Some((waits.count, status.taken_at.since_ms(waits.oldest_at?), waits.late))
    }

    #[test]
    fn a_record_is_as_old_as_the_first_end_behind_it() {
        let mut unread = Unread::default();
        let mut at = |at, read, end| seen(&mut unread, status(Lane::Requested, at, read, end), None);
        assert_eq!(at(0, 5, 5), None);
        assert_eq!(at(1_000, 5, 8), Some((6, 0, 0)));
        assert_eq!(at(32_000, 5, 9), Some((8, 31_000, 6)));
        assert_eq!(at(33_000, 6, 9), Some((6, 32_000, 4)));
        assert_eq!(at(34_000, 8, 9), Some((2, 2_000, 0)));
        assert_eq!(at(35_000, 9, 9), None);
        assert_eq!(at(36_000, 1, 2), Some((2, 0, 0)), "another topic of that name");
    }

    #[test]
    fn the_end_of_a_transaction_is_no_record_and_a_decision_no_booking() {
        let mut unread = Unread::default();
        assert_eq!(seen(&mut unread, status(Lane::Retry, 0, 5, 6), Some(6)), None);
        let mut full = status(Lane::Retry, 1, 5, 9);
        full.tasks.iter_mut().for_each(|task| task.lanes[0].paused = true);
        assert_eq!(seen(&mut unread, full, Some(9)), Some((8, 0, 0)), "it is fetched and not read");
        let mut decisions = status(Lane::Decisions, 0, 5, 6);
        unread.note(&mut decisions, |_, _| None);
        assert_eq!((decisions.waits.len(), decisions.tasks[0].lanes[0].unread_records), (0, Some(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_stays() {
        let mut unread = Unread::default();
        let last =
            (0..5_000).map(|at| seen(&mut unread, status(Lane::Requested, at, 0, at + 1), None)).last();
        assert_eq!(last, Some(Some((10_000, 4_999, 0))));
        assert!(unread.0.values().all(|ends| ends.len() <= ENDS_MAX));
    }
}
