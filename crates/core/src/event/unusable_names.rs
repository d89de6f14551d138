//! What a record that cannot be used contains about itself. Without it a publisher gets a dead letter that names nothing but an
//! offset, and searches for the booking by hand. It is a claim, not an identity: no version is answered by it.

use std::sync::Arc;

use apache_avro::types::Value;
use serde::Deserialize;

use crate::booking::{BookingId, PracticeId, texts};
use crate::event::Misrouted;
use crate::event::avro::{Decoder, FRAME_BYTES};
use crate::topics::Lane;

/// The names in a record, each as far as it can be read and is a valid one by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Named {
    /// The event.
    pub event_id: Option<Arc<str>>,
    /// The booking.
    pub booking: Option<BookingId>,
    /// The practice.
    pub practice: Option<PracticeId>,
    /// The version, whatever it is.
    pub version: Option<i64>,
}

impl Named {
    /// The names in a framed `value` of `lane`, or in one that is JSON where Avro belongs.
    pub(super) fn read(lane: Lane, value: &[u8], decoder: Option<&Decoder>) -> Named {
        match decoder.and_then(|decoder| decoder.written(value)) {
            Some(record) if lane.brings_parked() => field(&record, "event").map(of_avro).unwrap_or_default(),
            Some(record) => of_avro(&record),
            None if is_json(value) => of_json(value),
            None => Named::default(),
        }
    }

    pub(super) fn new(
        event_id: Option<&str>,
        booking: Option<&str>,
        practice: Option<&str>,
        version: Option<i64>,
    ) -> Named {
        // A name of megabytes would be in the letter twice.
        let valid = |text: &texts::Text, name: Option<&str>| {
            name.filter(|name| text.check(name).is_ok()).map(str::to_owned)
        };
        Named {
            event_id: valid(&texts::EVENT_ID, event_id).map(Arc::from),
            booking: valid(&texts::BOOKING_ID, booking).map(|id| BookingId::from(id.as_str())),
            practice: valid(&texts::PRACTICE_ID, practice).map(|id| PracticeId::from(id.as_str())),
            version,
        }
    }
}

/// The practice of a record that lies in a wrong partition, if its key is that practice. Such a record is not decoded, and a key
/// may be anything; but a value of our own schema begins with event, booking and practice.
pub fn practice_of(record: &Misrouted) -> Option<PracticeId> {
    let mut rest = record.value.get(FRAME_BYTES..)?;
    let mut names = [&[][..]; 3];
    for name in &mut names {
        let (length, after) = zigzag(rest)?;
        (*name, rest) = after.split_at_checked(usize::try_from(length).ok()?)?;
    }
    let practice = std::str::from_utf8(names[2]).ok().filter(|_| names[2] == record.key)?;
    texts::PRACTICE_ID.check(practice).ok().map(|()| PracticeId::from(practice))
}

/// Avro's whole number at the beginning of `bytes`, of at most four bytes, and what follows it.
fn zigzag(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let length = bytes.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at_checked(length)?;
    let folded = number.iter().rev().fold(0_u32, |folded, byte| folded << 7 | u32::from(byte & 0x7f));
    Some(((folded >> 1).cast_signed() ^ -((folded & 1).cast_signed()), rest))
}

/// Whether a value looks like a JSON object, the commonest thing that is published instead of Avro.
pub(super) fn is_json(value: &[u8]) -> bool {
    value.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn of_avro(record: &Value) -> Named {
    let text = |name| match field(record, name) {
        Some(Value::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let version = match field(record, "version") {
        Some(Value::Long(version)) => Some(*version),
        Some(Value::Int(version)) => Some(i64::from(*version)),
        _ => None,
    };
    Named::new(text("event_id"), text("booking_id"), text("practice_id"), version)
}

/// A field of a record, without the union that it may be in.
fn field<'record>(record: &'record Value, name: &str) -> Option<&'record Value> {
    let Value::Record(fields) = record else { return None };
    match fields.iter().find(|(field, _)| field == name).map(|(_, value)| value) {
        Some(Value::Union(_, value)) => Some(&**value),
        value => value,
    }
}

/// One pass for each name, so that one of a wrong type hides no other, and nothing else is built.
fn of_json(value: &[u8]) -> Named {
    #[derive(Deserialize)]
    struct Event {
        event_id: String,
    }
    #[derive(Deserialize)]
    struct Booking {
        booking_id: String,
    }
    #[derive(Deserialize)]
    struct Practice {
        practice_id: String,
    }
    #[derive(Deserialize)]
    struct Version {
        version: i64,
    }
    let event = serde_json::from_slice::<Event>(value).ok();
    let booking = serde_json::from_slice::<Booking>(value).ok();
    let practice = serde_json::from_slice::<Practice>(value).ok();
    Named::new(
        event.as_ref().map(|of| &*of.event_id),
        booking.as_ref().map(|of| &*of.booking_id),
        practice.as_ref().map(|of| &*of.practice_id),
        serde_json::from_slice::<Version>(value).ok().map(|of| of.version),
    )
}
