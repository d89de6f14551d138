//! One lane of a task, as its reader has it. A fetched record becomes an arrival at once, or when its schema is known,
//! or, after an unclean end, when its mark is durable.

use std::collections::BTreeMap;
use std::time::Instant;

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

use crate::registry::{RawRecord, Translator};
use healthflow_core::event::size::TooLarge;
use healthflow_core::event::{Arrival, Misrouted, arrival, home_partition};
use healthflow_core::life::Incarnation;
use healthflow_core::partition::read_guard::GuardedRange;
use healthflow_core::processor::Input;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

/// About how much memory a decoded record needs beside its bytes.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 512;

/// What is checked of a record before it is decoded.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) partition_count: u32,
    pub(super) input_bytes_max: usize,
}

/// One lane of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TaskLane {
    pub(super) partition: i32,
    pub(super) lane: Lane,
}

/// One lane of one life of a task.
pub(super) struct Reading {
    of: TaskLane,
    pub(super) incarnation: Incarnation,
    /// Keeps the order: records that librdkafka returns again after a pause are skipped.
    pub(super) next_offset: i64,
    /// Whether the processor has enough of it in memory.
    pub(super) is_paused: bool,
    /// Records whose schema is not known yet. Later records pass them; the committable offset does not.
    pub(super) awaiting_schema: Vec<AwaitingSchema>,
    /// In how many statistics in a row the lane was not fetched.
    pub(super) ended: u32,
    /// Below this offset records are decoded only on the processor's order.
    guarded_until: Option<i64>,
    guarded: BTreeMap<i64, Guarded>,
}

/// A record that is fetched and not decoded.
struct Guarded {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    written_at: Option<Timestamp>,
}

/// A record that is about to be decoded.
struct Taken<'a> {
    offset: i64,
    record: RawRecord<'a>,
    written_at: Option<Timestamp>,
}

/// A record whose schema is not known yet.
pub(super) struct AwaitingSchema {
    pub(super) offset: i64,
    pub(super) schema: u32,
    pub(super) since: Instant,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

impl Reading {
    pub(super) fn new(
        of: TaskLane,
        incarnation: Incarnation,
        next_offset: i64,
        guarded_until: Option<i64>,
    ) -> Self {
        Reading {
            of,
            incarnation,
            next_offset,
            is_paused: false,
            awaiting_schema: Vec::new(),
            ended: 0,
            guarded_until,
            guarded: BTreeMap::new(),
        }
    }

    /// Takes a fetched record; one that is guarded is only kept.
    pub(super) fn fetched(
        &mut self,
        translator: &Translator,
        now: Timestamp,
        limits: Limits,
        message: &BorrowedMessage<'_>,
        batch: &mut Vec<Input>,
    ) {
        let record = RawRecord { key: message.key(), value: message.payload() };
        let (offset, written_at) = (message.offset(), message.timestamp().to_millis().map(Timestamp));
        // In their order, so that the first copy of a version is decoded first.
        let is_guarded = self.guarded_until.is_some_and(|until| offset < until);
        if !is_guarded && self.guarded.is_empty() {
            self.take(translator, now, limits, Taken { offset, record, written_at }, batch);
            return;
        }
        let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
        self.guarded.insert(offset, Guarded { key, value, written_at });
        let Reading { of: TaskLane { partition, lane }, incarnation, .. } = *self;
        let size_bytes = record.size_bytes() + RECORD_OVERHEAD_BYTES;
        batch.push(Input::Guarded { partition, incarnation, lane, offset, size_bytes });
    }

    /// Decodes kept records, or dead-letters them undecoded.
    pub(super) fn read(
        &mut self,
        translator: &Translator,
        now: Timestamp,
        limits: Limits,
        release: GuardedRange,
        batch: &mut Vec<Input>,
    ) {
        let Reading { of: TaskLane { partition, lane }, incarnation, .. } = *self;
        let offsets: Vec<i64> = self.guarded.range(release.from..=release.to).map(|(at, _)| *at).collect();
        for offset in offsets {
            let Some(Guarded { key, value, written_at }) = self.guarded.remove(&offset) else { continue };
            let record = RawRecord { key: key.as_deref(), value: value.as_deref() };
            let Some(unclean_ends) = release.dead_lettered_after else {
                self.take(translator, now, limits, Taken { offset, record, written_at }, batch);
                continue;
            };
            let size_bytes = record.size_bytes() + RECORD_OVERHEAD_BYTES;
            let arrival = arrival::deadly(record.key, record.value, unclean_ends);
            batch.push(Input::Arrived { partition, incarnation, lane, offset, size_bytes, arrival });
        }
    }

    /// Decodes a record and hands it on. If its schema is not known yet, keeps it and reports it as delayed.
    fn take(
        &mut self,
        translator: &Translator,
        now: Timestamp,
        Limits { partition_count, input_bytes_max }: Limits,
        Taken { offset, record, written_at }: Taken<'_>,
        batch: &mut Vec<Input>,
    ) {
        let Reading { of: TaskLane { partition, lane }, incarnation, .. } = *self;
        let size_bytes = record.size_bytes() + RECORD_OVERHEAD_BYTES;
        let arrival = match home_partition::misrouted(record.key, record.value, partition, partition_count) {
            Some(misrouted) => Ok(passed_on(lane, record, misrouted, input_bytes_max)),
            None => translator.arrival(lane, record, input_bytes_max, now),
        };
        match arrival {
            Ok(arrival) => {
                batch.push(Input::Arrived { partition, incarnation, lane, offset, size_bytes, arrival });
            }
            Err(schema) => {
                translator.schema_state(schema);
                let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
                self.awaiting_schema.push(AwaitingSchema {
                    offset,
                    schema,
                    since: Instant::now(),
                    key,
                    value,
                });
                batch.push(Input::Delayed { partition, incarnation, lane, offset, size_bytes, written_at });
            }
        }
    }
}

/// A misrouted record, if its own partition can take it. Otherwise it is dead-lettered here without its identity: only
/// the task that owns its version knows whether that has a result.
fn passed_on(lane: Lane, record: RawRecord<'_>, misrouted: Misrouted, bytes_max: usize) -> Arrival {
    match TooLarge::check(record.key, record.value, bytes_max) {
        Some(sizes) => arrival::too_large(lane, record.key, record.value, None, sizes),
        None => Arrival::Misrouted(Box::new(misrouted)),
    }
}

impl RawRecord<'_> {
    pub(super) fn size_bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }
}
