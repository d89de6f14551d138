//! Offsets that nothing else would move: brokers forget them, so they are committed again and copied into state (rules T2,
//! K9).

use healthflow_core::event::Outgoing;
use healthflow_core::healthflow::Operation;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{ReadingState, StateRecord, TaskPositions, TopicIds};
use healthflow_core::topics::Lane;

use crate::desk::*;

const HOUR_MS: i64 = 3_600_000;

/// Every copy of the offsets that was committed.
fn copies(desk: &Desk) -> Vec<TaskPositions> {
    let copy = |record: &Outgoing| match record {
        Outgoing::State(state) => match &**state {
            StateRecord::Task(positions) => Some(positions.clone()),
            _ => None,
        },
        _ => None,
    };
    desk.committed.iter().filter_map(copy).collect()
}

fn at(requested: i64) -> TaskPositions {
    let next_offsets = vec![Lane::Requested.at(requested), Lane::Retry.at(0), Lane::Decisions.at(0)];
    let reading = ReadingState { live_since: Some(START), ..ReadingState::default() };
    TaskPositions {
        partition_count: 1,
        next_offsets,
        topic_ids: TopicIds::default(),
        reading,
        open_outage: None,
    }
}

#[test]
fn the_first_commit_of_an_owner_carries_its_start_and_a_copy_of_it() {
    let desk = Desk::new(GuardMode::IdempotencyKey);
    assert_eq!(desk.offsets[&Lane::Retry], 0);
    assert_eq!(copies(&desk), [at(0)]);
}

#[test]
fn the_copy_in_state_is_written_again_hourly_with_the_offsets_of_its_transaction() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("a", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(copies(&desk).len(), 1);
    desk.pass_ms(HOUR_MS);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    let newest = copies(&desk).pop();
    assert!([at(1), at(2)].map(Some).contains(&newest), "{newest:?}");
    assert_eq!(copies(&desk).len(), 2);
}

#[test]
fn an_idle_task_commits_its_offsets_again_once_a_day() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("a", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.offsets.clear();
    desk.pass_ms(23 * HOUR_MS);
    assert!(desk.offsets.is_empty(), "{:?}", desk.offsets);
    desk.pass_ms(2 * HOUR_MS);
    assert_eq!((desk.offsets[&Lane::Requested], desk.offsets[&Lane::Retry]), (1, 0));
}
