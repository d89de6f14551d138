//! Goal: whatever kills while it is read is found by its position in a known number of ends, nothing else is dead-lettered,
//! and a life after a clean end reads without a mark. Method: lives that read with the guard alone, with deadly records
//! anywhere.

use proptest::prelude::*;

use super::*;
use crate::life::{Loss, LostPosition};

const LANES: [Lane; Lane::ALL.len()] = Lane::ALL;
/// Ends under the mark of a single record after which it is dead-lettered.
const BURIED_AFTER: u32 = 3;

fn start() -> Start {
    Start { next_offsets: LANES.map(|lane| lane.at(0)).to_vec(), ..Start::default() }
}

/// What a process left that began at 0 and was lost before it marked anything.
fn ended() -> ReadingState {
    ReadingState { live_since: Some(Timestamp(0)), ..ReadingState::default() }
}

/// What one life leaves behind: what state says, and what it dead-lettered.
struct Left {
    state: ReadingState,
    dead_lettered: Vec<Position>,
}

/// One life of a process: fetches `records`, marks, reads, and dies of a deadly one.
fn live(process: i64, found: &ReadingState, records: &[Position], deadly: &[Position]) -> (Left, bool) {
    let mut guard = ReadGuard::new(Some(found), &start(), Timestamp(process));
    records.iter().for_each(|position| guard.hold(*position));
    let mut dead_lettered = Vec::new();
    while let Some((mark, left)) = guard.next_mark() {
        if ends_under(&mark) >= BURIED_AFTER {
            dead_lettered.push(mark.lane.at(mark.from));
            guard.passed(mark.lane.at(mark.from), 0);
            continue;
        }
        guard.step = Some(Step { mark: mark.clone(), left: left.clone(), sequence: 0, is_released: true });
        let state = guard.state(true);
        assert_eq!(state.marked, Some(mark.clone()));
        for offset in left {
            if deadly.contains(&mark.lane.at(offset)) {
                return (Left { state, dead_lettered }, true);
            }
            guard.passed(mark.lane.at(offset), 0);
        }
        assert!(guard.step.is_none(), "the step is over with its last record");
    }
    (Left { state: guard.state(true), dead_lettered }, false)
}

proptest! {
    #[test]
    fn what_kills_is_found_by_its_position_and_nothing_else_is_dead_lettered(
        gaps in proptest::collection::vec((1_i64..4, 0..2_usize), 1..400),
        chosen in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let mut next = [0; 2];
        let records: Vec<Position> = gaps
            .iter()
            .map(|(gap, lane)| {
                next[*lane] += gap;
                LANES[*lane].at(next[*lane])
            })
            .collect();
        let mut deadly: Vec<Position> = chosen.iter().map(|index| *index.get(&records)).collect();
        deadly.sort_unstable();
        deadly.dedup();
        let mut state = ended();
        let (mut dead_lettered, mut ends) = (Vec::new(), 0);
        loop {
            // What was dead-lettered is committed before anything else is read.
            let (left, _): (Vec<_>, Vec<_>) = records.iter().partition(|record| !dead_lettered.contains(*record));
            let (life, dies) = live(ends + 1, &state, &left, &deadly);
            dead_lettered.extend(life.dead_lettered);
            state = life.state;
            if !dies {
                break;
            }
            ends += 1;
            prop_assert!(ends < 60, "it is found");
        }
        dead_lettered.sort_unstable();
        prop_assert_eq!(&dead_lettered, &deadly);
        // All, a sixteenth, one, and then alone until it counts enough.
        prop_assert!(ends <= deadly.len() as i64 * (3 + i64::from(BURIED_AFTER)), "{} ends", ends);
    }
}

#[test]
fn only_an_end_while_a_record_was_read_alone_counts() {
    let records: Vec<Position> = (0..100).map(|offset| Lane::Requested.at(offset)).collect();
    let deadly = [Lane::Requested.at(70)];
    let mut state = ended();
    let mut seen = Vec::new();
    for process in 1..7 {
        let (life, dies) = live(process, &state, &records, &deadly);
        assert!(dies && life.dead_lettered.is_empty());
        state = life.state;
        let mark = state.marked.as_ref().expect("it ended under a mark");
        seen.push((mark.from, mark.to, mark.alone, ends_under(mark)));
    }
    let one = |alone, ends| (70, 70, alone, ends);
    assert_eq!(
        seen,
        [(0, 99, false, 0), (66, 71, false, 0), one(false, 0), one(true, 0), one(true, 1), one(true, 2)]
    );
    let (life, dies) = live(7, &state, &records, &deadly);
    assert!(!dies);
    assert_eq!(life.dead_lettered, [Lane::Requested.at(70)]);
    assert!(life.state.suspects.is_empty() && life.state.marked.is_none());
}

#[test]
fn a_process_that_lost_its_task_and_lives_dead_letters_nothing() {
    let record = Lane::Requested.at(5);
    let at = ReadMark { lane: record.lane, from: 5, to: 5, records: 1, alone: false, ended: Vec::new() };
    let mut state = ReadingState { suspects: vec![at], ..ended() };
    // Each reads it alone, and the commit that would say that it lives is lost: twice its own task, then another's in turns.
    for process in [1, 1, 1, 1, 2, 1, 2, 1, 2, 2, 1] {
        let mut guard = ReadGuard::new(Some(&state), &start(), Timestamp(process));
        guard.hold(record);
        let (mark, left) = guard.next_mark().expect("it is there");
        assert!(mark.alone && mark.ended.len() <= 1, "{process}: {mark:?}");
        guard.step = Some(Step { mark, left, sequence: 0, is_released: true });
        state = guard.state(true);
    }
    // Three that do not come back count.
    for process in 3..6 {
        let mut guard = ReadGuard::new(Some(&state), &start(), Timestamp(process));
        guard.hold(record);
        let (mark, left) = guard.next_mark().expect("it is there");
        guard.step = Some(Step { mark, left, sequence: 0, is_released: true });
        state = guard.state(true);
    }
    assert_eq!(state.suspects_of_next(Timestamp(6))[0].ended, [2, 1, 3, 4, 5].map(Timestamp));
    assert_eq!(state.suspects_of_next(Timestamp(4))[0].ended, [2, 1, 3, 5].map(Timestamp));
    // What it read itself when it lost the task ended nobody.
    let range = ReadMark { lane: record.lane, from: 6, to: 60, records: 55, alone: false, ended: Vec::new() };
    let own =
        ReadingState { live_since: Some(Timestamp(6)), marked: Some(range.clone()), suspects: Vec::new() };
    assert_eq!(own.suspects_of_next(Timestamp(6)), []);
    assert_eq!(own.suspects_of_next(Timestamp(7)), [range]);
}

#[test]
fn after_a_clean_end_and_for_what_is_not_there_any_more_nobody_is_suspected() {
    let ended = vec![Timestamp(1), Timestamp(2)];
    let mark = ReadMark { lane: Lane::Requested, from: 5, to: 5, records: 1, alone: true, ended };
    let left = |live_since| ReadingState { live_since, marked: Some(mark.clone()), suspects: Vec::new() };
    let (lost, clean) = (left(Some(Timestamp(3))), left(None));
    let suspects = |found: &ReadingState, start: &Start| {
        ReadGuard::new(Some(found), start, Timestamp(4)).suspects.iter().map(ends_under).collect::<Vec<_>>()
    };
    assert!(lost.is_suspicious() && !clean.is_suspicious());
    assert_eq!(suspects(&clean, &start()), [0_u32; 0]);
    assert_eq!(suspects(&lost, &start()), [3]);
    let further = Start { next_offsets: vec![Lane::Requested.at(6)], ..start() };
    assert_eq!(suspects(&lost, &further), [0_u32; 0]);
    let topic = LostPosition { lane: Lane::Requested, why: Loss::TopicRecreated, from: None, to: 0 };
    let anew = Start { lost: vec![topic], ..start() };
    assert_eq!(suspects(&lost, &anew), [0_u32; 0]);
}
