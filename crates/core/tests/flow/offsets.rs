//! When a commit carries the offsets; and offsets that nothing else would move: brokers forget them, so they are committed
//! again and copied into state (rules T2, K9).

use healthflow_core::event::Outgoing;
use healthflow_core::healthflow::Operation;
use healthflow_core::processor::Input;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{ReadingState, StateRecord, TaskPositions, TopicIds};
use healthflow_core::sync::FailureReason;
use healthflow_core::topics::Lane;

use crate::bad_input::poison;
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

#[test]
fn offsets_that_moved_go_along_once_a_second_and_a_restart_skips_what_lies_between() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("a", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.offsets[&Lane::Requested], 1, "the last ones were old");
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert_eq!((desk.results().len(), desk.offsets[&Lane::Requested]), (2, 1));

    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.arrive(a_booking("b", 1));
    next.expect_silence();
    assert!(next.results().is_empty(), "state shows that it was answered");
    next.pass_ms(1_000);
    assert_eq!(next.offsets[&Lane::Requested], 2);

    desk.pass_ms(1_000);
    assert_eq!(desk.offsets[&Lane::Requested], 2, "they go alone if nothing else goes");
}

#[test]
fn what_state_does_not_show_is_committed_with_its_offset_however_young_the_last_ones_are() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("a", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive_on(Lane::Requested, poison(FailureReason::Undecodable, None));
    assert_eq!((desk.dead_letters().len(), desk.offsets[&Lane::Requested]), (1, 2));
}

#[test]
fn a_task_that_is_given_back_commits_its_offsets_however_young_the_last_ones_are() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    for (booking, appointment) in [("a", "a-1"), ("b", "a-2")] {
        desk.arrive(a_booking(booking, 1));
        desk.expect_and_answer(Operation::CreateAppointment, created(appointment));
    }
    assert_eq!(desk.offsets[&Lane::Requested], 1);
    desk.handle(Input::TaskRevoked { partition: 0 });
    assert_eq!(desk.offsets[&Lane::Requested], 2);
}
