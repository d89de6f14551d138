//! Where the lanes of a task go on when it is acquired: a pure decision, so that every way to have lost a position has a
//! test. A position is believed only in the topic it was written for; beginning at the wrong place would skip bookings for
//! ever (rule K9).

use std::collections::HashSet;

use crate::booking::{Version, VersionKey};
use crate::life::{Loss, LostPosition};
use crate::state::{ParkingPlace, TaskState, TopicIds};
use crate::time::Timestamp;
use crate::topics::{APPOINTMENT_STATE, Lane, PATIENT_STATE, Position};

/// What Kafka reports at the acquisition of a task, after the fence.
#[derive(Clone, Debug)]
pub struct Known {
    /// The task.
    pub partition: i32,
    /// The ids of the topics that exist now, as far as Kafka reports them.
    pub topic_ids: TopicIds,
    /// Every lane.
    pub lanes: Vec<KnownLane>,
    /// Whether a task that never remembered anything begins at the end of `appointments.requested`.
    pub begins_at_end: bool,
}

/// What Kafka reports of one lane.
#[derive(Clone, Copy, Debug)]
pub struct KnownLane {
    /// The lane.
    pub lane: Lane,
    /// What the group has committed.
    pub committed: Option<i64>,
    /// The first offset there is.
    pub low: i64,
    /// One past the last.
    pub high: i64,
}

/// Where a task goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The next offset to be read, of every lane.
    pub next_offsets: Vec<Position>,
    /// Where `appointments.requested` ended: what lies before it, an earlier owner may have read.
    pub requested_end: i64,
    /// The topics of these positions, to be remembered with them.
    pub topic_ids: TopicIds,
    /// Positions from which the task could not go on, to be reported.
    pub lost: Vec<LostPosition>,
    /// Whether records of the retry lane may be gone that versions wait in: the acquisition finds out which.
    pub is_retry_cut: bool,
    /// Up to where each lane is read with care: what the owner before may have read, if it ended uncleanly (rule K6).
    pub guarded: Vec<Position>,
}

/// What acquiring a task found.
#[derive(Clone, Debug)]
pub struct Acquired {
    /// When `init_transactions` returned: the lease runs from then at the earliest.
    pub fenced_at: Timestamp,
    /// Where each lane goes on reading, and what was lost on the way there.
    pub start: Start,
    /// The restored state.
    pub state: TaskState,
    /// How many records the restore read.
    pub restored_records: u64,
    /// When the restore was done.
    pub restored_at: Timestamp,
}

/// Why a task cannot go on, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The state topic is not the one that the state was written to.
    #[error(
        "{topic} was recreated since task {partition} wrote its state there; restore it from a copy, or, if this one is \
         that copy, stop all workers and run `healthflow-sync accept-topics`"
    )]
    StateRecreated {
        /// Which.
        topic: &'static str,
        /// The task.
        partition: i32,
    },
    /// The group has offsets of a task that state knows nothing of.
    #[error(
        "{APPOINTMENT_STATE}/{partition} holds nothing of task {partition}, although the group has committed offset {offset} \
         of {topic}/{partition}: was the state topic recreated or emptied? Restore it; the runbook says how to begin anew \
         without it (\"The state is gone\")"
    )]
    StateGone {
        /// The task.
        partition: i32,
        /// A lane of it.
        topic: &'static str,
        /// What is committed there.
        offset: i64,
    },
    /// Neither the group nor the state knows where to go on.
    #[error(
        "there is no committed offset for {topic}/{partition}, although the task has state; put it back with \
         kafka-consumer-groups --reset-offsets (reading again is harmless)"
    )]
    NoPosition {
        /// The lane's topic.
        topic: &'static str,
        /// The task.
        partition: i32,
    },
    /// The position cannot be one in this topic.
    #[error(
        "the committed offset {offset} of {topic}/{partition} is past the end of its log ({high}): records were lost, or the topic was \
         recreated; reset the group's offsets of it to the earliest once that is clear (reading again is harmless)"
    )]
    PastTheEnd {
        /// The lane's topic.
        topic: &'static str,
        /// The task.
        partition: i32,
        /// The position.
        offset: i64,
        /// One past the last offset there is.
        high: i64,
    },
}

impl Start {
    /// Decides where the task goes on. Only a task that has never remembered anything begins as it is configured; what lies
    /// between a position and an older one was answered, and reading it again repeats nothing (rule K3).
    ///
    /// # Errors
    /// What Kafka reports and what state holds do not fit one task and the same topics.
    pub fn decide(known: &Known, state: &TaskState) -> Result<Start, Refusal> {
        let nothing = TopicIds::default();
        let remembered = state.positions.as_ref().map_or(&nothing, |positions| &positions.topic_ids);
        check_state(known, state, remembered)?;
        let mut start = Start { topic_ids: known.topic_ids.clone().or(remembered), ..Start::default() };
        let is_suspicious = state.positions.as_ref().is_some_and(|known| known.reading.is_suspicious());
        for lane in &known.lanes {
            let is_new = known.topic_ids.differs(lane.lane.topic(), remembered);
            let (offset, lost) = position(known, lane, is_new, state)?;
            start.next_offsets.push(lane.lane.at(offset));
            if is_suspicious && offset < lane.high {
                start.guarded.push(lane.lane.at(lane.high));
            }
            if lane.lane.brings_requests() {
                start.requested_end = lane.high;
            }
            let is_cut = lost.iter().any(|lost| lost.why != Loss::OffsetForgotten);
            start.is_retry_cut |= is_cut && lane.lane.brings_parked();
            start.lost.extend(lost);
        }
        Ok(start)
    }
}

/// A task is nothing without its state: going on without it would create every booking again.
fn check_state(known: &Known, state: &TaskState, remembered: &TopicIds) -> Result<(), Refusal> {
    let partition = known.partition;
    for topic in [APPOINTMENT_STATE, PATIENT_STATE] {
        if known.topic_ids.differs(topic, remembered) {
            return Err(Refusal::StateRecreated { topic, partition });
        }
    }
    // The first commit of every owner carries its positions into state.
    let committed = known.lanes.iter().find_map(|lane| Some((lane.lane.topic(), lane.committed?)));
    match (committed, &state.positions) {
        (Some((topic, offset)), None) => Err(Refusal::StateGone { partition, topic, offset }),
        _ => Ok(()),
    }
}

/// The next offset of one lane, and what was lost on the way to it.
fn position(
    known: &Known,
    lane: &KnownLane,
    is_new: bool,
    state: &TaskState,
) -> Result<(i64, Vec<LostPosition>), Refusal> {
    let &KnownLane { lane, committed, low, high } = lane;
    let (topic, partition) = (lane.topic(), known.partition);
    let copy = state.positions.as_ref().and_then(|positions| lane.offset_in(&positions.next_offsets));
    let loss = |why, from, to| LostPosition { lane, why, from, to };
    if is_new {
        return Ok((low, vec![loss(Loss::TopicRecreated, committed.or(copy), low)]));
    }
    let mut lost = Vec::new();
    let offset = match (committed, copy) {
        (Some(offset), _) => offset,
        (None, Some(offset)) => {
            lost.push(loss(Loss::OffsetForgotten, None, offset));
            offset
        }
        (None, None) if state.is_empty() => {
            return Ok((if known.begins_at_end && lane.brings_requests() { high } else { low }, lost));
        }
        // An owner writes a position for every lane it reads: no owner has read this one yet.
        (None, None) if state.positions.as_ref().is_some_and(|known| !known.next_offsets.is_empty()) => {
            return Ok((low, lost));
        }
        (None, None) => return Err(Refusal::NoPosition { topic, partition }),
    };
    if offset > high {
        return Err(Refusal::PastTheEnd { topic, partition, offset, high });
    }
    // Control records that end a transaction take offsets too, so some missing ones need not be a loss.
    if offset < low {
        lost.push(loss(Loss::RecordsDeleted, Some(offset), low));
    }
    Ok((offset.max(low), lost))
}

/// A version that waits in the retry topic, and the generation of its record there.
pub type InRetry = (VersionKey, u32);

/// Marks every version as lost that waits in the retry topic and whose record was not found there. Returns how many.
pub fn mark_lost(state: &mut TaskState, found: &HashSet<InRetry>) -> usize {
    let mut count = 0;
    // Every booking with a version that waits is hot.
    for (key, state) in state.bookings.hot_iter_mut() {
        let gone = state.parked.iter().filter(|parked| {
            parked.place == ParkingPlace::Retry
                && !found.contains(&(key.version(parked.version), parked.generation))
        });
        let gone: Vec<Version> = gone.map(|parked| parked.version).collect();
        count += gone.len();
        state.lost = gone;
    }
    count
}

#[cfg(test)]
mod tests;
