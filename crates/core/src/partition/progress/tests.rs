//! How far a task has come, from what arrives and what is finished alone.

use proptest::prelude::*;

use super::*;
use crate::sync::FailureReason;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Each lane goes on at 10; `appointments.requested` ended at 12.
fn progress() -> Progress {
    let next_offsets = Lane::ALL.map(|lane| lane.at(10)).to_vec();
    Progress::new(&Start { next_offsets, requested_end: 12, ..Start::default() })
}

fn unidentified() -> Unusable {
    let detail = "no version".into();
    Unusable {
        raw_key: None,
        raw_value: None,
        reason: FailureReason::NoIdentity,
        detail,
        identity: None,
        named: Default::default(),
        decision_id: None,
    }
}

#[test]
fn what_a_commit_moves_is_moved_once_it_is_good() {
    let mut progress = progress();
    assert!(progress.has_moved(), "the first commit carries the start positions");
    let begun = progress.committable_offsets();
    assert_eq!(begun, Lane::ALL.map(|lane| lane.at(10)));
    progress.committed(&begun);
    assert!(!progress.has_moved());
    progress.arrived(Lane::Retry.at(10), 1, None);
    assert!(!progress.has_moved());
    progress.finished(Lane::Retry.at(10));
    assert!(progress.has_moved());
    let moved = [Lane::Requested.at(10), Lane::Retry.at(11), Lane::Decisions.at(10)];
    assert_eq!(progress.committable_offsets(), moved);
}

#[test]
fn a_task_has_caught_up_once_everything_was_read_that_an_earlier_owner_may_have_read() {
    let mut progress = progress();
    for (offset, is_caught_up) in [(10, false), (11, true)] {
        progress.arrived(Lane::Requested.at(offset), 1, None);
        assert_eq!(progress.is_caught_up(), is_caught_up, "{offset}");
    }
    progress.delayed(Lane::Requested.at(12), 1, None);
    assert!(!progress.is_caught_up(), "its schema is not known yet");
    assert_eq!(progress.next_requested(), 13);
}

#[test]
fn a_task_has_caught_up_until_an_offset_once_every_record_before_it_was_read() {
    let mut progress = progress();
    progress.arrived(Lane::Requested.at(10), 1, None);
    assert_eq!(
        [10, 11, 12, 99].map(|offset| progress.is_caught_up_until(offset)),
        [true, true, false, false]
    );
    progress.delayed(Lane::Requested.at(11), 1, None);
    assert_eq!([11, 12].map(|offset| progress.is_caught_up_until(offset)), [true, false]);
    progress.arrived(Lane::Requested.at(11), 1, None);
    progress.delayed(Lane::Requested.at(12), 1, None);
    assert!(progress.is_caught_up_until(99), "no earlier owner may have read what waits for its schema");
}

#[test]
fn the_copy_in_state_is_written_at_first_and_is_old_after_an_hour() {
    let mut progress = progress();
    assert_eq!(progress.is_copy_old(NOW), None);
    let offsets = progress.committable_offsets();
    let copy = progress.copy(NOW, &offsets, 6, ReadingState::default());
    assert_eq!((copy.partition_count, copy.next_offsets), (6, offsets));
    assert_eq!(progress.is_copy_old(NOW.plus_ms(HOURLY_MS - 1)), Some(false));
    assert_eq!(progress.is_copy_old(NOW.plus_ms(HOURLY_MS)), Some(true));
}

#[test]
fn a_lane_stops_above_a_limit_and_goes_on_at_half_of_both() {
    let settings = Settings { read_ahead_bytes: 100, waiting_room_max: 10, ..Settings::for_tests() };
    for lane in Lane::ALL {
        let mut progress = progress();
        progress.arrived(lane.at(10), 60, None);
        progress.arrived(lane.at(11), 40, None);
        assert_eq!(progress.backpressure(lane, 10, &settings), None, "at the limits");
        progress.arrived(lane.at(12), 1, None);
        assert_eq!(progress.backpressure(lane, 0, &settings), Some(Fetching::Pause));
        assert_eq!(progress.backpressure(lane, 0, &settings), None, "it is told once");
        progress.finished(lane.at(10));
        assert_eq!(progress.backpressure(lane, 6, &settings), None, "half of one");
        assert_eq!(progress.backpressure(lane, 5, &settings), Some(Fetching::Resume));
        assert_eq!(progress.backpressure(lane, 11, &settings), Some(Fetching::Pause));
    }
}

proptest! {
    /// Goal: a record without identity is dead-lettered exactly when the committable offset has come to it, each once.
    /// Method: any records, some of them without identity, finished in any order.
    #[test]
    fn a_record_without_identity_is_dead_lettered_when_the_committable_offset_has_come_to_it(
        has_identity in prop::collection::vec(any::<bool>(), 1..40),
        order in any::<prop::sample::Index>(),
    ) {
        let mut progress = progress();
        let mut open = Vec::new();
        for (offset, has_identity) in (10_i64..).zip(&has_identity) {
            progress.arrived(Lane::Requested.at(offset), 1, None);
            if *has_identity {
                open.push(offset);
            } else {
                progress.keep_unidentified(Lane::Requested.at(offset), unidentified());
            }
        }
        let end = 10 + has_identity.len() as i64;
        let mut dead_lettered = Vec::new();
        loop {
            while let Some((Position { offset, .. }, _)) = progress.finish_unidentified() {
                dead_lettered.push(offset);
            }
            let committable = open.iter().min().copied().unwrap_or(end);
            prop_assert_eq!(progress.committable_offsets()[0].offset, committable);
            let passed: Vec<i64> = (10..committable).filter(|at| !has_identity[(at - 10) as usize]).collect();
            prop_assert_eq!(&dead_lettered, &passed);
            if open.is_empty() {
                break;
            }
            let done = open.remove(order.index(open.len()));
            progress.finished(Lane::Requested.at(done));
        }
    }
}
