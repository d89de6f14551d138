//! Reading dead letters for a redrive (rule K10): of each version only the newest one counts, for a redrive of an older one
//! would be passed over.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::AtomicBool;

use rdkafka::Message;

use crate::booking::BookingKey;
use crate::event::failed::AppointmentFailed;
use crate::event::topics::FAILED;
use crate::kafka::restore::{Readers, RecordName, decode};
use crate::kafka::settings::KafkaSettings;
use crate::kafka::{Avro, KafkaFault};

/// Dead letters that are held in memory at most.
pub const LETTERS_MAX: usize = 100_000;

/// The dead letters that were found.
#[derive(Default)]
pub struct DeadLetters {
    /// Of each version the newest, if it is meant, in the order of bookings and versions.
    pub newest: BTreeMap<(BookingKey, i64), Newest>,
    /// How many hold a record that says not even which version it is.
    pub nameless: u64,
    held: usize,
}

/// The newest dead letter of a version.
pub struct Newest {
    generation: u32,
    /// The letter; none of one that is not meant.
    pub letter: Option<AppointmentFailed>,
}

/// Reads every dead letter that stands in one of `partitions`, up to the end that there is now. `names` says which versions
/// are asked for, `means` which of their newest letters.
///
/// # Errors
/// A broker or the registry does not answer, a record cannot be read, or there are more than [`LETTERS_MAX`].
pub fn read(
    settings: &KafkaSettings,
    avro: &Avro,
    partitions: i32,
    names: impl Fn(&AppointmentFailed) -> bool,
    means: impl Fn(&AppointmentFailed) -> bool,
) -> Result<DeadLetters, KafkaFault> {
    let (readers, cancelled) = (Readers::new(settings)?, AtomicBool::new(false));
    let mut found = DeadLetters::default();
    for partition in 0..partitions {
        readers.each_record(FAILED, partition, &cancelled, |message| {
            let Some(value) = message.payload() else { return Ok(()) };
            let at = RecordName { topic: FAILED, partition, offset: message.offset() };
            let letter: AppointmentFailed = decode(at, avro, &cancelled, || avro.value(FAILED, value))?;
            if names(&letter) {
                let is_meant = means(&letter);
                found.take_in(letter, is_meant);
            }
            if found.held > LETTERS_MAX {
                return Err(KafkaFault(format!("more than {LETTERS_MAX} dead letters match; ask for fewer")));
            }
            Ok(())
        })?;
    }
    Ok(found)
}

impl DeadLetters {
    fn take_in(&mut self, letter: AppointmentFailed, is_meant: bool) {
        let result = &letter.result;
        let (Some(practice), Some(booking), Some(version)) =
            (result.practice_id.clone(), result.booking_id.clone(), result.version)
        else {
            self.nameless += 1;
            return;
        };
        let key = (BookingKey { practice, booking }, version);
        let newest = Newest { generation: result.generation, letter: is_meant.then_some(letter) };
        match self.newest.entry(key) {
            Entry::Vacant(place) => {
                self.held += usize::from(is_meant);
                place.insert(newest);
            }
            Entry::Occupied(mut older) if older.get().generation < newest.generation => {
                self.held += usize::from(is_meant);
                self.held -= usize::from(older.insert(newest).letter.is_some());
            }
            Entry::Occupied(_) => {}
        }
    }
}
