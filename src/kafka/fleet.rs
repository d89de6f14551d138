//! The fleet's record (rules K8, K12): who owns the state, and for how many partitions it is laid out. It is in
//! partition 0 of `appointments.state`, and every worker reads it before any of its tasks goes live.
//!
//! Task 0's producer would be the wrong fence for it: another fleet's has another transactional id, and a worker that
//! owns task 5 must not end task 0 of another worker. So every writer, worker or command, of any fleet, writes under
//! one transactional id: fence, read to the high watermark, decide, commit. Of two that write at once one is fenced.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use rdkafka::Message;
use rdkafka::producer::BaseRecord;

use crate::kafka::fault::{Flaw, KafkaFault, RecordName};
use crate::kafka::restore::{LogBounds, Readers, decode};
use crate::kafka::settings::KafkaSettings;
use crate::kafka::transaction::{fence, transact};
use crate::registry::Translator;
use healthflow_core::event::key::{FLEET, TASK};
use healthflow_core::event::state::AppointmentStateRecord;
use healthflow_core::state::{FleetRecord, Owner, Refusal, StateRecord, TaskPositions};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::APPOINTMENT_STATE;

/// The transactional id of every writer of the record, without the prefix. It is fixed, as the names of the topics are.
const TRANSACTIONAL_ID: &str = "healthflow-sync.fleet";
/// How often a worker that finds no record tries to write the first one while others do the same.
const CLAIMS_MAX: u32 = 5;

/// The fleet, as this process knows it.
pub struct Fleet {
    owner: Owner,
    seen: Mutex<Seen>,
}

/// How far partition 0 was read: it is too long to be read from its start each time.
#[derive(Default)]
struct Seen {
    next: i64,
    record: Option<FleetRecord>,
}

/// Why a task may not go live.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// The record refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no record any more.
    #[error(
        "the fleet's record is gone from appointments.state/0; find out whether the topic was recreated, then start this worker \
         again"
    )]
    RecordGone,
    /// The record could not be read.
    #[error(transparent)]
    Kafka(#[from] Box<KafkaFault>),
}

impl NotAdmitted {
    /// Whether no task may go live in this process any more.
    pub(super) fn is_final(&self) -> bool {
        match self {
            NotAdmitted::Refused(refusal) => refusal.is_final(),
            NotAdmitted::RecordGone => true,
            NotAdmitted::Kafka(_) => false,
        }
    }
}

/// Why a worker may not start.
#[derive(Debug, thiserror::Error)]
pub enum NotEntered {
    /// The record refuses it.
    #[error("{0}")]
    Refused(Refusal),
    /// A repartition was interrupted before there was such a record.
    #[error(
        "state is laid out for {laid_out:?} partitions, so a repartition was interrupted; stop every worker and run \
         `healthflow-sync repartition`"
    )]
    BrokenOff {
        /// For how many partitions some tasks have written their state.
        laid_out: Vec<u32>,
    },
    /// The record could not be read or written; try again.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
}

impl Fleet {
    /// The fleet of `owner`. Reads nothing yet.
    pub fn new(owner: Owner) -> Fleet {
        Fleet { owner, seen: Mutex::default() }
    }

    /// Who this process is.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Checks that this worker belongs to the fleet on record and has the same partition count. If there is no record,
    /// this worker writes it.
    ///
    /// # Errors
    /// See [`NotEntered`].
    pub fn enter(
        &self,
        settings: &KafkaSettings,
        translator: &Translator,
        now: Timestamp,
    ) -> Result<(), NotEntered> {
        let readers = Readers::new(settings)?;
        let mut claims = 0;
        let record = loop {
            if let Some(record) = self.latest(&readers, translator, &AtomicBool::new(false))? {
                break record;
            }
            claims += 1;
            match self.claim(settings, &readers, translator, now) {
                Ok(record) => break record,
                Err(NotEntered::Kafka(fault)) if claims < CLAIMS_MAX => {
                    tracing::debug!("claimed in vain: {fault}")
                }
                Err(fault) => return Err(fault),
            }
        };
        record.admits(&self.owner, settings.partition_count).map_err(NotEntered::Refused)
    }

    /// Writes the first record, unless there is one.
    fn claim(
        &self,
        settings: &KafkaSettings,
        readers: &Readers,
        translator: &Translator,
        now: Timestamp,
    ) -> Result<FleetRecord, NotEntered> {
        let laid_out = laid_out(readers, translator, settings.partition_count)?;
        let count = match laid_out[..] {
            [] => settings.partition_count,
            [count] => count,
            _ => return Err(NotEntered::BrokenOff { laid_out }),
        };
        let claimed = self.rewrite(settings, readers, translator, |record| {
            Ok::<_, KafkaFault>(record.unwrap_or_else(|| FleetRecord::new(self.owner.clone(), count, now)))
        })?;
        tracing::info!(owner = %claimed.owner, partitions = claimed.partition_count, "the fleet is on record");
        Ok(claimed)
    }

    /// The newest record; none if there has never been one.
    pub(crate) fn latest(
        &self,
        readers: &Readers,
        translator: &Translator,
        cancelled: &AtomicBool,
    ) -> Result<Option<FleetRecord>, KafkaFault> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let LogBounds { low, high } = readers.bounds(APPOINTMENT_STATE, 0)?;
        if seen.next > high {
            *seen = Seen::default();
        }
        let (mut newest, unseen) = (None, LogBounds { low: seen.next.max(low), high });
        readers.each_record_between::<KafkaFault>(APPOINTMENT_STATE, 0, unseen, cancelled, |message| {
            if message.key() == Some(FLEET.as_bytes()) {
                newest = Some((message.offset(), message.payload().map(<[u8]>::to_vec)));
            }
            Ok(())
        })?;
        if let Some((offset, value)) = newest {
            seen.record = match value {
                Some(value) => Some(read(offset, &value, translator, cancelled)?),
                None => None,
            };
        }
        seen.next = high;
        Ok(seen.record.clone())
    }

    /// Whether a task may go live. The caller asks before it fences the old owner, so as not to disturb a command at
    /// work, and again after it, so that a command that begins later fences this task.
    pub(super) fn admit(
        &self,
        settings: &KafkaSettings,
        partition: i32,
        readers: &Readers,
        translator: &Translator,
        cancelled: &AtomicBool,
    ) -> Result<(), NotAdmitted> {
        let record = self.latest(readers, translator, cancelled).map_err(Box::new)?;
        let record = record.ok_or(NotAdmitted::RecordGone)?;
        Ok(record.admits_task(&self.owner, settings.partition_count, partition)?)
    }

    /// Writes what `decide` makes of the newest record, unless that is unchanged. Every earlier writer is fenced first.
    pub(crate) fn rewrite<E: From<KafkaFault>>(
        &self,
        settings: &KafkaSettings,
        readers: &Readers,
        translator: &Translator,
        decide: impl FnOnce(Option<FleetRecord>) -> Result<FleetRecord, E>,
    ) -> Result<FleetRecord, E> {
        let producer = fence(&settings.producer_named(TRANSACTIONAL_ID), "the fleet's record")?;
        let old = self.latest(readers, translator, &AtomicBool::new(false))?;
        let new = decide(old.clone())?;
        if old.as_ref() == Some(&new) {
            return Ok(new);
        }
        let mut buffer = Vec::new();
        let encoded = translator.encode_fleet(&new, &mut buffer).map_err(KafkaFault::from)?;
        let (key, value) = (encoded.key.unwrap_or_default(), encoded.value.unwrap_or_default());
        let topic = settings.on_cluster(encoded.topic);
        transact(
            &producer,
            "the fleet's record was not written, perhaps because another process writes it; try again",
            |send| send(BaseRecord::to(&topic).partition(0).key(&key).payload(value)),
        )?;
        Ok(new)
    }
}

fn read(
    offset: i64,
    value: &[u8],
    translator: &Translator,
    cancelled: &AtomicBool,
) -> Result<FleetRecord, KafkaFault> {
    let at = RecordName { topic: APPOINTMENT_STATE, partition: 0, offset };
    let record: AppointmentStateRecord =
        decode(at, translator, cancelled, || translator.value(APPOINTMENT_STATE, value))?;
    record.into_fleet().ok_or(KafkaFault::Unreadable { record: at, flaw: Flaw::NoFleet })
}

/// The partition counts that tasks have written beside their offsets, ascending. They count if no fleet is on record;
/// there are several if a repartition was interrupted.
pub(crate) fn laid_out(
    readers: &Readers,
    translator: &Translator,
    partitions: u32,
) -> Result<Vec<u32>, KafkaFault> {
    let positions =
        (0..partitions.cast_signed()).map(|partition| written_positions(readers, translator, partition));
    let positions: Vec<_> = positions.collect::<Result<_, _>>()?;
    let mut counts: Vec<u32> =
        positions.into_iter().flatten().map(|written| written.partition_count).collect();
    counts.sort_unstable();
    counts.dedup();
    Ok(counts)
}

/// The positions that a task has written into its state; none if it never ran.
pub(crate) fn written_positions(
    readers: &Readers,
    translator: &Translator,
    partition: i32,
) -> Result<Option<TaskPositions>, KafkaFault> {
    let (mut newest, cancelled) = (None, AtomicBool::new(false));
    readers.each_record(APPOINTMENT_STATE, partition, &cancelled, |message| {
        if message.key() == Some(TASK.as_bytes()) {
            newest = Some((message.offset(), message.payload().map(<[u8]>::to_vec)));
        }
        Ok(())
    })?;
    let Some((offset, Some(value))) = newest else { return Ok(None) };
    let at = RecordName { topic: APPOINTMENT_STATE, partition, offset };
    match decode(at, translator, &cancelled, || translator.state(APPOINTMENT_STATE, &value))? {
        StateRecord::Task(positions) => Ok(Some(positions)),
        _ => Ok(None),
    }
}
