//! Restores the state of a task: everything that any owner has committed (rule K1). A restore up to the end that
//! `read_committed` sees would stop below a dead owner's open transaction and miss what is committed above it. So it
//! reads to the end that a `read_uncommitted` handle sees, and waits until no transaction below it is open.

mod held;
mod records;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::context::QuietContext;
use crate::kafka::fault::{KafkaFault, RecordName};
use crate::kafka::settings::KafkaSettings;
use crate::registry::{DecodeFault, RawRecord, Translator};
use healthflow_core::event::Arrival;
use healthflow_core::event::key::FLEET;
use healthflow_core::partition::start::InRetry;
use healthflow_core::state::TaskState;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{APPOINTMENT_STATE, Lane, NamePrefix, PATIENT_STATE, Position, RETRY};

pub(crate) use records::{decode, try_decode, usable};

const ASK: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
const STABLE_PAUSE: Duration = Duration::from_millis(20);

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The state.
    pub state: TaskState,
    /// How many records were read for it.
    pub records: u64,
}

/// Where a lane of a task goes on; none if no offset is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneOffset {
    pub(crate) lane: Lane,
    pub(crate) next: Option<i64>,
}

/// Where the log of a partition begins and ends.
#[derive(Clone, Copy)]
pub(crate) struct LogBounds {
    /// The first offset there is.
    pub(crate) low: i64,
    /// One past the last.
    pub(crate) high: i64,
}

/// The handles that an acquisition needs: one that sees what is committed, one that sees everything.
pub(crate) struct Readers {
    committed: BaseConsumer<QuietContext>,
    uncommitted: BaseConsumer<QuietContext>,
    no_progress: Duration,
    held_contents_max: usize,
    prefix: NamePrefix,
}

impl Readers {
    pub(crate) fn new(settings: &KafkaSettings) -> Result<Self, KafkaFault> {
        let refused = || KafkaFault::settings("the restore's consumer");
        Ok(Readers {
            committed: settings.restore().create_with_context(QuietContext("restore")).map_err(refused())?,
            uncommitted: settings
                .uncommitted()
                .create_with_context(QuietContext("watermark"))
                .map_err(refused())?,
            no_progress: Duration::from_millis(
                settings.restore_no_progress_ms + settings.transaction_timeout_ms,
            ),
            held_contents_max: settings.held_contents_max,
            prefix: settings.prefix.clone(),
        })
    }

    /// The committed offset of every lane. Waits for a pending transaction of the old owner, as every `read_committed`
    /// client does (KIP-447, `require_stable`).
    pub(crate) fn committed_offsets(&self, partition: i32) -> Result<Vec<LaneOffset>, KafkaFault> {
        let mut list = TopicPartitionList::new();
        for lane in Lane::ALL {
            list.add_partition(&self.prefix.on_cluster(lane.topic()), partition);
        }
        let list = self.committed.committed_offsets(list, ASK).map_err(|error| match error {
            KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut) => {
                KafkaFault::OffsetsPending { partition, error }
            }
            _ => KafkaFault::of(format!("cannot read the committed offsets of task {partition}"), error),
        })?;
        let offset = |lane: Lane| {
            let topic = self.prefix.on_cluster(lane.topic());
            let element = list.find_partition(&topic, partition);
            match element.map(|element| (element.offset(), element.error())) {
                Some((Offset::Offset(offset), Ok(()))) => Ok(LaneOffset { lane, next: Some(offset) }),
                Some((_, Ok(()))) | None => Ok(LaneOffset { lane, next: None }),
                Some((_, Err(error))) => {
                    let what = format!("cannot read the committed offset of {topic}/{partition}");
                    Err(KafkaFault::of(what, error))
                }
            }
        };
        Lane::ALL.into_iter().map(offset).collect()
    }

    /// Commits offsets of a task's lanes for their group, which must have no members.
    pub(crate) fn commit_offsets(&self, partition: i32, next_offsets: &[Position]) -> Result<(), KafkaFault> {
        let failed = |error| KafkaFault::of(format!("cannot commit offsets of partition {partition}"), error);
        let mut list = TopicPartitionList::new();
        for &Position { lane, offset } in next_offsets {
            let topic = self.prefix.on_cluster(lane.topic());
            list.add_partition_offset(&topic, partition, Offset::Offset(offset)).map_err(failed)?;
        }
        self.committed.commit(&list, CommitMode::Sync).map_err(failed)
    }

    /// Where a partition begins and ends, committed or not.
    pub(crate) fn bounds(&self, topic: &str, partition: i32) -> Result<LogBounds, KafkaFault> {
        self.bounds_within(topic, partition, ASK)
    }

    /// The same, from a broker that answers within `limit`.
    pub(super) fn bounds_within(
        &self,
        topic: &str,
        partition: i32,
        limit: Duration,
    ) -> Result<LogBounds, KafkaFault> {
        let topic = self.prefix.on_cluster(topic);
        let bounds = self.uncommitted.fetch_watermarks(&topic, partition, limit);
        let (low, high) = bounds.map_err(|error| {
            let what = format!("cannot read the bounds of {topic}/{partition}");
            KafkaFault::on_topic(what, "Describe", &topic, error)
        })?;
        Ok(LogBounds { low, high })
    }

    /// Reads one partition of a state topic from its start to its end.
    fn read(
        &self,
        topic: &'static str,
        partition: i32,
        translator: &Translator,
        cancelled: &AtomicBool,
        restored: &mut Restored,
    ) -> Result<(), KafkaFault> {
        // The whole fleet's is not the task's.
        let Newest { by_key, records } =
            self.newest(topic, partition, cancelled, |key| key != FLEET.as_bytes())?;
        restored.records += records;
        for (key, Raw { offset, value }) in by_key {
            check_cancelled(cancelled)?;
            let record = try_decode(translator, cancelled, || translator.state(topic, &value))?;
            let record = record.and_then(|record| usable(&key, record));
            let at = RecordName { topic, partition, offset };
            restored.state.apply(record.map_err(|flaw| KafkaFault::Stray { record: at, flaw })?);
        }
        Ok(())
    }

    /// The newest value of each key that is wanted, of those that have one.
    pub(crate) fn newest(
        &self,
        topic: &'static str,
        partition: i32,
        cancelled: &AtomicBool,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Newest, KafkaFault> {
        let mut by_key: HashMap<Box<[u8]>, Raw> = HashMap::new();
        let records = self.each_record(topic, partition, cancelled, |message| {
            let key = message.key().unwrap_or_default();
            match message.payload() {
                _ if !is_wanted(key) => {}
                Some(value) => {
                    by_key.insert(key.into(), Raw { offset: message.offset(), value: value.into() });
                }
                None => drop(by_key.remove(key)),
            }
            Ok(())
        })?;
        Ok(Newest { by_key, records })
    }

    /// The versions whose record is in the retry topic, of those that wait there by `state`. Skips unreadable records:
    /// their lane dead-letters them.
    pub(super) fn in_retry(
        &self,
        partition: i32,
        translator: &Translator,
        cancelled: &AtomicBool,
        state: &TaskState,
        now: Timestamp,
    ) -> Result<HashSet<InRetry>, KafkaFault> {
        let mut found = HashSet::new();
        self.each_record(RETRY, partition, cancelled, |message| {
            let record = RawRecord { key: message.key(), value: message.payload() };
            let at = RecordName { topic: RETRY, partition, offset: message.offset() };
            let arrival = decode(at, translator, cancelled, || {
                translator.arrival(Lane::Retry, record, usize::MAX, now).map_err(DecodeFault::UnknownSchema)
            })?;
            if let Arrival::Retry(entry) = arrival
                && let Some(parked) =
                    state.bookings.get_hot(&entry.booking.key).and_then(|of| of.parked(entry.booking.version))
                && parked.generation == entry.generation
            {
                found.insert((entry.booking.version_key(), entry.generation));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Hands every committed record of a partition to `take`, from its start to its present end; returns how many.
    pub(crate) fn each_record(
        &self,
        topic: &'static str,
        partition: i32,
        cancelled: &AtomicBool,
        take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), KafkaFault>,
    ) -> Result<u64, KafkaFault> {
        self.try_each_record(topic, partition, cancelled, take)
    }

    /// The same for a `take` that may refuse for reasons of its own.
    pub(crate) fn try_each_record<E: From<KafkaFault>>(
        &self,
        topic: &'static str,
        partition: i32,
        cancelled: &AtomicBool,
        take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let bounds = self.bounds(topic, partition)?;
        self.each_record_between(topic, partition, bounds, cancelled, take)
    }

    /// The same from `low` on, to an end at or past `high`.
    pub(super) fn each_record_between<E: From<KafkaFault>>(
        &self,
        topic: &'static str,
        partition: i32,
        LogBounds { low, high }: LogBounds,
        cancelled: &AtomicBool,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        if low >= high {
            return Ok(0);
        }
        let (mut records, mut next) = (0, RecordName { topic, partition, offset: low });
        loop {
            self.wait_until_stable(topic, partition, high, cancelled)?;
            let before = records;
            self.each_to_an_end(next, cancelled, |message| {
                records += 1;
                next.offset = message.offset() + 1;
                take(message)
            })?;
            // A broker that took the partition over a moment ago may report an end below its predecessor's. So the end
            // counts only if a second pass, after `wait_until_stable`, finds no further record.
            if records == before {
                return Ok(records);
            }
        }
    }

    /// Hands every committed record from `next` on to `take`, up to the end that the leader reports.
    fn each_to_an_end<E: From<KafkaFault>>(
        &self,
        RecordName { topic, partition, offset: next }: RecordName,
        cancelled: &AtomicBool,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let on_cluster = self.prefix.on_cluster(topic);
        let failed = |error| KafkaFault::of(format!("cannot restore {on_cluster}/{partition}"), error);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&on_cluster, partition, Offset::Offset(next)).map_err(failed)?;
        self.committed.assign(&list).map_err(failed)?;
        drop(list);
        let mut progress_at = Instant::now();
        loop {
            check_cancelled(cancelled)?;
            match self.committed.poll(POLL) {
                Some(Ok(message)) => {
                    take(&message)?;
                    progress_at = Instant::now();
                }
                // A control record at the end is no message, but the end is past it.
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(
                    error @ KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed),
                )) => {
                    return Err(KafkaFault::on_topic("", "Read", &on_cluster, error).into());
                }
                Some(Err(error)) => tracing::debug!(topic, partition, "restore: {error}"),
                None => {}
            }
            if progress_at.elapsed() > self.no_progress {
                return Err(KafkaFault::NoProgress { topic, partition }.into());
            }
        }
        Ok(self.committed.unassign().map_err(failed)?)
    }

    /// Waits until every transaction below `high` is committed or aborted.
    fn wait_until_stable(
        &self,
        topic: &str,
        partition: i32,
        high: i64,
        cancelled: &AtomicBool,
    ) -> Result<(), KafkaFault> {
        let topic = &*self.prefix.on_cluster(topic);
        let (mut stable, mut progress_at) = (None, Instant::now());
        loop {
            check_cancelled(cancelled)?;
            let (_, end) = self.committed.fetch_watermarks(topic, partition, ASK).map_err(|error| {
                KafkaFault::of(format!("cannot read the stable end of {topic}/{partition}"), error)
            })?;
            if end >= high {
                return Ok(());
            }
            if stable.is_none_or(|stable| end > stable) {
                (stable, progress_at) = (Some(end), Instant::now());
            }
            if progress_at.elapsed() > self.no_progress {
                let (topic, offset) = (topic.to_owned(), end);
                return Err(KafkaFault::TransactionOpen { topic, partition, offset });
            }
            std::thread::sleep(STABLE_PAUSE);
        }
    }

    /// Restores what a task remembers: both state topics, and what it holds for people.
    pub(super) fn restore(
        &self,
        partition: i32,
        translator: &Translator,
        cancelled: &AtomicBool,
        now: Timestamp,
    ) -> Result<Restored, KafkaFault> {
        let mut restored = Restored { state: TaskState::default(), records: 0 };
        for topic in [PATIENT_STATE, APPOINTMENT_STATE] {
            self.read(topic, partition, translator, cancelled, &mut restored)?;
        }
        restored.records += self.read_held(partition, translator, cancelled, now, &mut restored.state)?;
        Ok(restored)
    }
}

/// Restores what a task remembers, to the high watermark. Call it only after the old owner is fenced (rule K1).
///
/// # Errors
/// A record cannot be read, the restore makes no progress for too long, or `cancelled` became true.
pub fn restore(
    settings: &KafkaSettings,
    partition: i32,
    translator: &Translator,
    cancelled: &AtomicBool,
    now: Timestamp,
) -> Result<Restored, KafkaFault> {
    Readers::new(settings)?.restore(partition, translator, cancelled, now)
}

/// A record as it was read.
pub(crate) struct Raw {
    pub(crate) offset: i64,
    pub(crate) value: Box<[u8]>,
}

/// What a compacted topic contains. By the bytes of the key, for a tombstone has nothing else; not decoded, for most records are followed
/// by a newer one of their key.
pub(crate) struct Newest {
    pub(crate) by_key: HashMap<Box<[u8]>, Raw>,
    /// How many records were read for it.
    pub(crate) records: u64,
}

fn check_cancelled(cancelled: &AtomicBool) -> Result<(), KafkaFault> {
    if cancelled.load(Ordering::SeqCst) { Err(KafkaFault::Cancelled) } else { Ok(()) }
}
