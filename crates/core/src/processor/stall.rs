//! Lanes that should move and do not: records lie beyond what was fetched, nothing of them is in memory, and nobody holds the
//! lane back. Without this such a lane looks like one that has nothing to do.

use crate::hash::HashMap;
use crate::life::Incarnation;
use crate::status::{Status, TaskPhase};
use crate::time::Timestamp;

/// How long a lane may stall before its worker is not ready, in milliseconds: several rounds of asking for ends and of
/// librdkafka's statistics, which are some seconds old each.
const STALL_MS: i64 = 20_000;

/// Since when which lanes stall, by topic and partition.
#[derive(Debug, Default)]
pub struct Stalls(HashMap<(&'static str, i32), Still>);

/// A lane that does not move.
#[derive(Debug)]
struct Still {
    at: Progress,
    since: Timestamp,
}

/// How far a lane has come. While nothing of it changes, the lane does not move.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    incarnation: Incarnation,
    next_offset: i64,
    fetched: Option<i64>,
}

impl Stalls {
    /// Sets for every lane in `status` since when it stalls, if it does. `fetched` returns how far a lane was fetched, ends of
    /// transactions included, where that is known.
    pub fn note(&mut self, status: &mut Status, fetched: impl Fn(&'static str, i32) -> Option<i64>) {
        let now = status.taken_at;
        let mut still = HashMap::default();
        for task in &mut status.tasks {
            for lane in &mut task.lanes {
                let place = (lane.lane.topic(), task.partition);
                let fetched = fetched(lane.lane.topic(), task.partition);
                let read = lane.next_offset.max(fetched.unwrap_or(lane.next_offset));
                let should_move = task.phase == TaskPhase::Live
                    && lane.read_ahead_records == 0
                    && !lane.paused
                    && lane.end_offset.is_some_and(|end| end > read);
                if !should_move {
                    continue;
                }
                let at = Progress { incarnation: task.incarnation, next_offset: lane.next_offset, fetched };
                let before = self.0.remove(&place).filter(|before| before.at == at);
                let since = before.map_or(now, |before| before.since);
                lane.stalled_since = (now.since_ms(since) >= STALL_MS).then_some(since);
                still.insert(place, Still { at, since });
            }
        }
        self.0 = still;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{LaneStatus, TaskStatus};
    use crate::topics::Lane;

    fn lane(next_offset: i64, end_offset: Option<i64>) -> LaneStatus {
        LaneStatus {
            lane: Lane::Retry,
            next_offset,
            end_offset,
            read_ahead_records: 0,
            read_ahead_bytes: 0,
            read_offset: next_offset,
            unread_records: None,
            waiting_records: 0,
            oldest_unfinished_at: None,
            stalled_since: None,
            paused: false,
        }
    }

    /// A worker with one lane, `at_ms` after the beginning, and since when that stalls.
    fn looks(stalls: &mut Stalls, at_ms: i64, lane: LaneStatus, fetched: i64) -> (bool, Option<Timestamp>) {
        let task = TaskStatus { phase: TaskPhase::Live, lanes: vec![lane], ..TaskStatus::acquiring(3, 1) };
        let taken_at = Timestamp(at_ms);
        let mut status = Status { taken_at, joined: true, tasks: vec![task], ..Status::default() };
        stalls.note(&mut status, |_, _| Some(fetched));
        (status.is_ready(), status.tasks[0].lanes[0].stalled_since)
    }

    #[test]
    fn a_lane_that_should_move_and_does_not_is_not_ready() {
        let mut stalls = Stalls::default();
        assert_eq!(looks(&mut stalls, 0, lane(5, Some(9)), 5), (true, None));
        assert_eq!(looks(&mut stalls, STALL_MS - 1, lane(5, Some(10)), 5), (true, None));
        assert_eq!(looks(&mut stalls, STALL_MS, lane(5, Some(10)), 5), (false, Some(Timestamp(0))));
        // It moves.
        assert_eq!(looks(&mut stalls, STALL_MS + 1, lane(6, Some(10)), 6), (true, None));
        assert_eq!(looks(&mut stalls, 2 * STALL_MS, lane(6, Some(10)), 6), (true, None));
    }

    #[test]
    fn a_lane_that_has_nothing_to_fetch_or_is_at_work_stands_still_in_good_order() {
        let full = LaneStatus { paused: true, ..lane(5, Some(9)) };
        let busy = LaneStatus { read_ahead_records: 1, ..lane(5, Some(9)) };
        // The end of a transaction takes an offset and is no record.
        for (lane, fetched) in
            [(lane(5, Some(5)), 5), (lane(5, Some(6)), 6), (lane(5, None), 5), (full, 5), (busy, 5)]
        {
            let mut stalls = Stalls::default();
            looks(&mut stalls, 0, lane.clone(), fetched);
            assert_eq!(looks(&mut stalls, 10 * STALL_MS, lane.clone(), fetched), (true, None), "{lane:?}");
        }
    }
}
