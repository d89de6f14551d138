//! Reads dead letters for a redrive (rule K10). Of each version only the newest letter counts: a worker skips a redrive
//! of an older one. A letter of an undecodable record names no version; its record is decoded again here, so that only
//! what can be decoded by now is published again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::kafka::RecordName;
use crate::kafka::restore::{Readers, decode};
use crate::kafka::settings::KafkaSettings;
use crate::kafka_admin::CommandFault;
use crate::registry::{RawRecord, SchemaState, Translator};
use healthflow_core::booking::BookingKey;
use healthflow_core::event::avro::Undecodable;
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::event::result::ResultEnvelope;
use healthflow_core::event::{Arrival, Identity, headers};
use healthflow_core::sync::FailureReason;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{FAILED, Lane, NamePrefix};

/// Dead letters that are kept in memory at most.
pub(super) const LETTERS_MAX: usize = 100_000;
/// Bytes of undecodable records that are kept in memory at most.
pub(super) const RECORD_BYTES_KEPT_MAX: usize = 256 * 1024 * 1024;
/// Dead letters without a version that are named at most.
const UNIDENTIFIED_MAX: usize = 100;
/// How often to check whether a schema has arrived.
const SCHEMA_PAUSE: Duration = Duration::from_millis(20);

/// The dead letters that were found.
#[derive(Default)]
pub struct DeadLetters {
    /// The newest of each version, if it is selected, in the order of bookings and versions.
    pub newest: BTreeMap<(BookingKey, i64), Newest>,
    /// Those of undecodable records, each record once, in their order.
    pub records: Vec<DeadRecord>,
    /// The others that are selected, which are the result of no version: [`UNIDENTIFIED_MAX`] of them.
    pub unidentified: Vec<Unidentified>,
    /// How many of those there are.
    pub unidentified_count: u64,
    /// How many cannot be read themselves.
    pub unreadable: u64,
    kept: usize,
    /// How many letters there are of each undecodable record.
    seen: HashMap<(Vec<u8>, Vec<u8>), u32>,
    bytes: usize,
}

/// A dead letter of a record that is no version.
pub struct Unidentified {
    /// Where it is.
    pub letter_at: RecordName,
    /// What it contains; event, booking and practice as far as the record could be read.
    pub result: ResultEnvelope,
}

/// The newest dead letter of a version.
pub struct Newest {
    generation: u32,
    /// How often its version was redriven before: each redrive that failed left one more letter.
    pub redriven: u32,
    /// The letter; none if it is not selected.
    pub letter: Option<AppointmentFailed>,
}

/// A record that was undecodable when it was dead-lettered.
pub struct DeadRecord {
    /// Where its letter is.
    pub letter_at: RecordName,
    /// When it was dead-lettered.
    pub finished_at: Timestamp,
    /// Where it came from.
    pub lane: Lane,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Which version it is, if it can be decoded by now; else what is still wrong.
    pub read: Result<Identity, StillUndecodable>,
}

/// Why a record still cannot be redriven; one line, without any value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StillUndecodable {
    /// It cannot be decoded.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// A worker would dead-letter it again; the detail of that letter.
    #[error("{0}")]
    Unusable(String),
    /// It was in another partition than that of its key.
    #[error("it was in a wrong partition")]
    Misrouted,
}

/// Selects dead letters.
pub trait Selects {
    /// Whether the letter's version is selected.
    fn names(&self, letter: &AppointmentFailed) -> bool;
    /// Whether the newest letter of a version is selected, by reason and time.
    fn means(&self, letter: &AppointmentFailed) -> bool;
    /// Whether a record with this key, which is a practice's id, may be selected.
    fn names_key(&self, key: &[u8]) -> bool;
    /// Whether this version is selected.
    fn names_identity(&self, identity: Option<&Identity>) -> bool;
}

/// Reads every dead letter in `partitions` partitions, up to their present ends.
///
/// # Errors
/// A broker or the registry does not answer, or too many letters match.
pub fn read(
    settings: &KafkaSettings,
    translator: &Translator,
    partitions: i32,
    wanted: &impl Selects,
    now: Timestamp,
) -> Result<DeadLetters, CommandFault> {
    let (readers, cancelled) = (Readers::new(settings)?, AtomicBool::new(false));
    let mut found = DeadLetters::default();
    for partition in 0..partitions {
        readers.try_each_record(FAILED, partition, &cancelled, |message| {
            let Some(value) = message.payload() else { return Ok(()) };
            let at = RecordName { topic: FAILED, partition, offset: message.offset() };
            let read =
                decode(at, translator, &cancelled, || translator.value::<AppointmentFailed>(FAILED, value));
            let Ok(letter) = read else {
                found.unreadable += 1;
                return Ok(());
            };
            if letter.result.reason.as_deref() == Some(FailureReason::Undecodable.code()) {
                found.take_in_record(letter, message, translator, wanted, now);
            } else if letter.decision_id.is_none() && wanted.names(&letter) {
                // A decision that was refused is decided again, never redriven.
                let is_meant = wanted.means(&letter);
                found.take_in(at, letter, is_meant);
            }
            if found.kept > LETTERS_MAX || found.bytes > RECORD_BYTES_KEPT_MAX {
                return Err(CommandFault::TooManyLetters);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

impl DeadLetters {
    /// How often an undecodable record was redriven before, as far as its letters are selected.
    pub fn redriven_before(&self, record: &DeadRecord) -> u32 {
        let letters = self.seen.get(&(record.key.clone(), record.value.clone()));
        letters.map_or(0, |letters| letters.saturating_sub(1))
    }

    fn take_in_record(
        &mut self,
        letter: AppointmentFailed,
        message: &BorrowedMessage<'_>,
        translator: &Translator,
        wanted: &impl Selects,
        now: Timestamp,
    ) {
        let is_meant = wanted.means(&letter);
        let (partition, offset) = (message.partition(), message.offset());
        let letter_at = RecordName { topic: FAILED, partition, offset };
        let finished_at = letter.result.finished_at;
        let (Some(lane), Some(key), Some(value)) =
            (lane(message, translator.prefix()), letter.raw_key, letter.raw_value)
        else {
            return self.note_unidentified(letter_at, letter.result, is_meant);
        };
        if !is_meant || !wanted.names_key(&key) {
            return;
        }
        // One record may have been dead-lettered more than once.
        let letters = self.seen.entry((key.clone(), value.clone())).or_default();
        *letters += 1;
        if *letters > 1 {
            return;
        }
        let read = read_again(translator, lane, RawRecord { key: Some(&key), value: Some(&value) }, now);
        self.kept += 1;
        self.bytes += 2 * (key.len() + value.len());
        if wanted.names_identity(read.as_ref().ok()) {
            self.records.push(DeadRecord { letter_at, finished_at, lane, key, value, read });
        }
    }

    fn note_unidentified(&mut self, letter_at: RecordName, result: ResultEnvelope, is_meant: bool) {
        self.unidentified_count += u64::from(is_meant);
        if is_meant && self.unidentified.len() < UNIDENTIFIED_MAX {
            self.unidentified.push(Unidentified { letter_at, result });
        }
    }

    fn take_in(&mut self, letter_at: RecordName, letter: AppointmentFailed, is_meant: bool) {
        let result = &letter.result;
        let (Some(practice), Some(booking), Some(version)) =
            (result.practice_id.clone(), result.booking_id.clone(), result.version)
        else {
            return self.note_unidentified(letter_at, letter.result, is_meant);
        };
        let key = (BookingKey { practice, booking }, version);
        let newest =
            Newest { generation: result.generation, redriven: 0, letter: is_meant.then_some(letter) };
        match self.newest.entry(key) {
            Entry::Vacant(place) => {
                self.kept += usize::from(is_meant);
                place.insert(newest);
            }
            Entry::Occupied(mut known) => {
                let redriven = known.get().redriven + 1;
                if known.get().generation < newest.generation {
                    self.kept += usize::from(is_meant);
                    self.kept -= usize::from(known.insert(newest).letter.is_some());
                }
                known.get_mut().redriven = redriven;
            }
        }
    }
}

/// The lane that the record of a dead letter came from.
fn lane(message: &BorrowedMessage<'_>, prefix: &NamePrefix) -> Option<Lane> {
    let header = message.headers()?.iter().find(|header| header.key == headers::TOPIC)?;
    Lane::of(prefix.ours(std::str::from_utf8(header.value?).ok()?)?)
}

/// Which version a record is that was undecodable when it was dead-lettered.
fn read_again(
    translator: &Translator,
    lane: Lane,
    record: RawRecord<'_>,
    now: Timestamp,
) -> Result<Identity, StillUndecodable> {
    loop {
        match translator.arrival(lane, record, usize::MAX, now) {
            Ok(Arrival::Requested(booking)) => return Ok(Identity::from(&*booking)),
            Ok(Arrival::Retry(entry)) => return Ok(Identity::from(&*entry.booking)),
            Ok(Arrival::Decided(decision)) => return Ok(Identity::of_lost(decision.key, decision.version)),
            Ok(Arrival::Unusable(still)) => return Err(StillUndecodable::Unusable(still.detail.to_string())),
            Ok(Arrival::Misrouted(_)) => return Err(StillUndecodable::Misrouted),
            Err(id) => match translator.schema_state(id) {
                SchemaState::Denied { .. } => return Err(Undecodable::UnknownSchema(id).into()),
                SchemaState::Asked | SchemaState::Known(_) => std::thread::sleep(SCHEMA_PAUSE),
            },
        }
    }
}
