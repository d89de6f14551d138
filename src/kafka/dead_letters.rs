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
    /// The newest of each version whose booking was understood, in the order of bookings and versions.
    pub newest: BTreeMap<(BookingKey, i64), AppointmentFailed>,
    /// How many hold a record that was not understood.
    pub records: u64,
}

/// Reads every dead letter that stands in one of `partitions` and that `is_wanted`, up to the end that there is now.
///
/// # Errors
/// A broker or the registry does not answer, a record cannot be read, or there are more than [`LETTERS_MAX`].
pub fn read(
    settings: &KafkaSettings,
    avro: &Avro,
    partitions: i32,
    is_wanted: impl Fn(&AppointmentFailed) -> bool,
) -> Result<DeadLetters, KafkaFault> {
    let (readers, cancelled) = (Readers::new(settings)?, AtomicBool::new(false));
    let mut found = DeadLetters::default();
    for partition in 0..partitions {
        readers.each_record(FAILED, partition, &cancelled, |message| {
            let Some(value) = message.payload() else { return Ok(()) };
            let at = RecordName { topic: FAILED, partition, offset: message.offset() };
            let letter: AppointmentFailed = decode(at, avro, &cancelled, || avro.value(FAILED, value))?;
            if is_wanted(&letter) {
                found.take_in(letter);
            }
            if found.newest.len() > LETTERS_MAX {
                return Err(KafkaFault(format!("more than {LETTERS_MAX} dead letters match; ask for fewer")));
            }
            Ok(())
        })?;
    }
    Ok(found)
}

impl DeadLetters {
    fn take_in(&mut self, letter: AppointmentFailed) {
        let Some(event) = &letter.event else {
            self.records += 1;
            return;
        };
        let key = BookingKey { practice: event.practice_id.clone(), booking: event.booking_id.clone() };
        match self.newest.entry((key, event.version)) {
            Entry::Vacant(place) => drop(place.insert(letter)),
            Entry::Occupied(mut older) if older.get().result.generation < letter.result.generation => {
                older.insert(letter);
            }
            Entry::Occupied(_) => {}
        }
    }
}
