//! The fleet's record (rules K8, K12): whose the state is and for how many partitions it is laid out. It lies in partition
//! 0 of `appointments.state`, and every worker reads it before any of its tasks goes live.
//!
//! Task 0's producer would be the wrong fence for it: another fleet's has another transactional id, and a worker that has
//! task 5 may not end task 0 of its neighbour. So whoever writes it, worker or command, of whatever fleet, writes under
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

/// The transactional id of whoever writes the record. The topics have fixed names, and so has this.
const TRANSACTIONAL_ID: &str = "healthflow-sync.fleet";
/// How often a worker that finds no record tries to write the first one, while others do the same.
const CLAIMS_MAX: u32 = 5;

/// What this process knows of the fleet.
pub struct Fleet {
    owner: Owner,
    seen: Mutex<Seen>,
}

/// What was read so far: partition 0 holds a twelfth of all bookings, and is not read from its start each time.
#[derive(Default)]
struct Seen {
    next: i64,
    record: Option<FleetRecord>,
}

/// Why a worker may not start.
#[derive(Debug, thiserror::Error)]
pub enum NotEntered {
    /// The record says so.
    #[error("{0}")]
    Refused(Refusal),
    /// A repartition was broken off before there was such a record.
    #[error(
        "state is laid out for {laid_out:?} partitions, so a repartition was broken off; stop every worker and run \
         `healthflow-sync repartition`"
    )]
    BrokenOff {
        /// For how many partitions some tasks have written their state.
        laid_out: Vec<u32>,
    },
    /// It could not be read or written; worth another try.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
}

impl Fleet {
    /// Of workers of `owner`. Nothing is read yet.
    pub fn new(owner: Owner) -> Fleet {
        Fleet { owner, seen: Mutex::default() }
    }

    /// Who this process is.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Makes sure that the fleet is on record, and that this worker belongs to it and counts as it does. Where nothing is
    /// on record, this worker writes it.
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

    /// The record as it stands now; none where nobody ever wrote one.
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

    /// Asks whether a task may go live; before it fences its old owner, so that nobody disturbs a command at work, and
    /// after it, so that a command that begins later fences this task.
    pub(super) fn admit(
        &self,
        settings: &KafkaSettings,
        partition: i32,
        readers: &Readers,
        translator: &Translator,
        cancelled: &AtomicBool,
    ) -> Result<(), Refusal> {
        let record =
            self.latest(readers, translator, cancelled).map_err(|fault| Refusal::Wait(fault.to_string()))?;
        let Some(record) = record else {
            return Err(Refusal::End(
                "the fleet's record is gone from appointments.state/0; was the topic made anew? Start this worker again \
                 once that is clear"
                    .into(),
            ));
        };
        record.admits_task(&self.owner, settings.partition_count, partition)
    }

    /// Writes what `decide` makes of the record, unless that is the same. What it is given is the newest: whoever wrote
    /// before is fenced.
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
        transact(
            &producer,
            "the fleet's record was not written; does somebody else write it? Try again",
            |send| send(BaseRecord::to(encoded.topic).partition(0).key(&key).payload(value)),
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

/// The partition counts that tasks have written down beside their offsets, ascending: what counts where no fleet is on
/// record. More than one where a repartition was broken off.
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

/// What a task has written down of itself in its state; none of one that never ran.
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
