//! Where a lane goes on when its task is acquired: apart from the broker, so that every way to have lost an offset has a
//! test. Beginning at the wrong place would skip bookings for ever (rule K9).

use crate::event::topics::Lane;
use crate::kafka::KafkaFault;
use crate::state::TaskState;

/// What is known of a lane at the acquisition.
pub(super) struct Known {
    /// The lane.
    pub(super) lane: Lane,
    /// The task.
    pub(super) partition: i32,
    /// What the group has committed.
    pub(super) committed: Option<i64>,
    /// The first offset there is, and one past the last.
    pub(super) ends: (i64, i64),
    /// Whether a task that never remembered anything begins at the end.
    pub(super) begins_at_end: bool,
}

/// The next offset to be read. Only a task that has never remembered anything begins at the beginning; one whose group
/// has lost the offset takes the copy in its state: what lies between was answered, and reading it again repeats nothing
/// (rule K3).
///
/// # Errors
/// Neither the group nor the state knows, or what they know cannot be true of the topic.
pub(super) fn position(known: &Known, state: &TaskState) -> Result<i64, KafkaFault> {
    let &Known { lane, partition, committed, ends: (low, high), begins_at_end } = known;
    let topic = lane.topic();
    let copy = state.positions.as_ref().and_then(|positions| {
        positions.next_offsets.iter().find(|(of, _)| *of == lane).map(|(_, offset)| *offset)
    });
    let offset = match (committed, copy) {
        (Some(offset), _) => offset,
        (None, Some(offset)) => {
            tracing::error!(
                topic,
                partition,
                offset,
                "the group has lost its offset; going on from the copy in state"
            );
            offset
        }
        (None, None) if state.is_empty() => {
            return Ok(if begins_at_end { high } else { low });
        }
        (None, None) => {
            return Err(KafkaFault(format!(
                "there is no committed offset for {topic}/{partition}, although the task has state; put it back with \
                 kafka-consumer-groups --reset-offsets (reading again is harmless)"
            )));
        }
    };
    if offset > high {
        return Err(KafkaFault(format!(
            "the committed offset {offset} of {topic}/{partition} lies behind its end {high}: was the topic made anew? \
             Reset the group's offsets once that is clear"
        )));
    }
    // Control records that end a transaction take offsets too, so some missing ones need not be a loss.
    if offset < low {
        tracing::error!(
            topic,
            partition,
            "records {offset} to {low} were deleted before they were read; compare the topic's retention with the lag and \
             ask DentScheduler to publish them again"
        );
    }
    Ok(offset.max(low))
}

/// Whether the state was written with as many partitions as there are now (rule K8).
///
/// # Errors
/// It was not: practices that moved to another partition would be met there without their state.
pub(super) fn check_partition_count(partition: i32, state: &TaskState, count: u32) -> Result<(), KafkaFault> {
    match state.positions.as_ref().map(|positions| positions.partition_count) {
        Some(written) if written != count => Err(KafkaFault(format!(
            "the state of task {partition} was written with {written} partitions a topic, and now there are {count}; stop \
             all workers and run `healthflow-sync repartition`"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{StateRecord, TaskPositions};

    fn remembers(next_offsets: &[(Lane, i64)]) -> TaskState {
        let mut state = TaskState::default();
        let next_offsets = next_offsets.to_vec();
        state.apply(StateRecord::Task(TaskPositions { partition_count: 12, next_offsets }));
        state
    }

    fn known(committed: Option<i64>, begins_at_end: bool) -> Known {
        Known { lane: Lane::Requested, partition: 3, committed, ends: (10, 90), begins_at_end }
    }

    #[test]
    fn only_a_first_start_begins_at_an_end_of_the_topic() {
        let empty = TaskState::default();
        assert_eq!(position(&known(None, false), &empty), Ok(10));
        assert_eq!(position(&known(None, true), &empty), Ok(90));
        assert_eq!(position(&known(Some(40), true), &empty), Ok(40));
    }

    #[test]
    fn a_group_that_lost_its_offsets_goes_on_from_the_copy_in_state() {
        assert_eq!(position(&known(None, true), &remembers(&[(Lane::Requested, 40)])), Ok(40));
        assert_eq!(position(&known(Some(60), true), &remembers(&[(Lane::Requested, 40)])), Ok(60));
        let refused =
            position(&known(None, true), &remembers(&[(Lane::Retry, 40)])).expect_err("nobody knows");
        assert!(refused.0.contains("no committed offset for appointments.requested/3"), "{refused}");
    }

    #[test]
    fn what_was_deleted_is_passed_and_what_cannot_be_is_refused() {
        let empty = TaskState::default();
        assert_eq!(position(&known(Some(4), false), &empty), Ok(10));
        let refused = position(&known(Some(91), false), &empty).expect_err("behind the end");
        assert!(refused.0.contains("91 of appointments.requested/3 lies behind its end 90"), "{refused}");
    }

    #[test]
    fn state_of_another_partition_count_is_refused() {
        assert_eq!(check_partition_count(3, &TaskState::default(), 24), Ok(()));
        assert_eq!(check_partition_count(3, &remembers(&[]), 12), Ok(()));
        let refused = check_partition_count(3, &remembers(&[]), 24).expect_err("another count");
        assert!(refused.0.contains("written with 12 partitions a topic, and now there are 24"), "{refused}");
    }
}
