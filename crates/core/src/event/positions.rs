//! The task record in `appointments.state`: how far a task has come, and how its owner reads.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::remembered_notices::OpenOutageRecord;
use crate::state::{OpenOutage, ReadMark, ReadingState, TaskPositions, TopicId, TopicIds};
use crate::time::Timestamp;
use crate::topics::{Lane, Position};

/// Field by field as in `schemas/appointments.state.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "TaskPositions")]
pub(super) struct TaskPositionsRecord {
    partition_count: u32,
    next_offsets: Vec<NextOffsetRecord>,
    topic_ids: Vec<TopicIdRecord>,
    live_since: Option<i64>,
    reading: Option<ReadMarkRecord>,
    suspects: Vec<ReadMarkRecord>,
    open_outage: Option<OpenOutageRecord>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "TopicId")]
struct TopicIdRecord {
    topic: Arc<str>,
    id: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "NextOffset")]
struct NextOffsetRecord {
    topic: Arc<str>,
    offset: i64,
}

/// Some records of an input topic, field by field as in `schemas/appointments.state.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "ReadMark")]
struct ReadMarkRecord {
    topic: Arc<str>,
    from: i64,
    to: i64,
    records: u32,
    alone: bool,
    ended: Vec<i64>,
}

impl From<ReadMark> for ReadMarkRecord {
    fn from(mark: ReadMark) -> Self {
        let ReadMark { lane, from, to, records, alone, ended } = mark;
        let ended = ended.into_iter().map(|Timestamp(began)| began).collect();
        ReadMarkRecord { topic: lane.topic().into(), from, to, records, alone, ended }
    }
}

impl ReadMarkRecord {
    /// None for a topic that this version does not read.
    fn mark(self) -> Option<ReadMark> {
        let ReadMarkRecord { topic, from, to, records, alone, ended } = self;
        let lane = Lane::of(&topic)?;
        Some(ReadMark { lane, from, to, records, alone, ended: ended.into_iter().map(Timestamp).collect() })
    }
}

impl From<&TaskPositions> for TaskPositionsRecord {
    fn from(positions: &TaskPositions) -> Self {
        let next =
            |next: &Position| NextOffsetRecord { topic: next.lane.topic().into(), offset: next.offset };
        let topic_id =
            |(topic, TopicId(id)): (&str, &TopicId)| TopicIdRecord { topic: topic.into(), id: id.clone() };
        TaskPositionsRecord {
            partition_count: positions.partition_count,
            next_offsets: positions.next_offsets.iter().map(next).collect(),
            topic_ids: positions.topic_ids.iter().map(topic_id).collect(),
            live_since: positions.reading.live_since.map(|Timestamp(began)| began),
            reading: positions.reading.marked.clone().map(ReadMarkRecord::from),
            suspects: positions.reading.suspects.iter().cloned().map(ReadMarkRecord::from).collect(),
            open_outage: positions.open_outage.clone().map(OpenOutageRecord::from),
        }
    }
}

impl From<TaskPositionsRecord> for TaskPositions {
    /// Topics that this version does not read are left out.
    fn from(record: TaskPositionsRecord) -> Self {
        let next = |next: &NextOffsetRecord| Some(Lane::of(&next.topic)?.at(next.offset));
        let mut topic_ids = TopicIds::default();
        for TopicIdRecord { topic, id } in record.topic_ids {
            topic_ids.note(&topic, TopicId(id));
        }
        TaskPositions {
            partition_count: record.partition_count,
            next_offsets: record.next_offsets.iter().filter_map(next).collect(),
            topic_ids,
            reading: ReadingState {
                live_since: record.live_since.map(Timestamp),
                marked: record.reading.and_then(ReadMarkRecord::mark),
                suspects: record.suspects.into_iter().filter_map(ReadMarkRecord::mark).collect(),
            },
            open_outage: record.open_outage.map(OpenOutage::from),
        }
    }
}
