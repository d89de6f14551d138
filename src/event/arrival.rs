//! From the bytes of a record to an [`Arrival`]. Whatever the bytes are, something comes out: a record that made this
//! fail would stop its partition for ever.

use std::sync::Arc;

use crate::booking::BookingKey;
use crate::booking::check::{self, Impossible};
use crate::caught::caught;
use crate::event::avro::{Decoder, Undecodable, schema_id};
use crate::event::requested::AppointmentRequested;
use crate::event::retry::AppointmentRetry;
use crate::event::topics::Lane;
use crate::event::{Arrival, Identity, Unusable};
use crate::sync::Reason;
use crate::time::Timestamp;

/// Reads one record of `lane`. `decoder` is the one for the schema id in the value's frame
/// ([`schema_id`]); none is needed where there is no such id.
pub fn read(
    lane: Lane,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    decoder: Option<&Decoder>,
    now: Timestamp,
) -> Arrival {
    let understood = caught(|| understand(lane, key, value, decoder, now));
    understood.unwrap_or_else(|| Err(Refusal::defect())).unwrap_or_else(|refusal| {
        Arrival::Unusable(Box::new(Unusable {
            raw_key: key.map(<[u8]>::to_vec),
            raw_value: value.map(<[u8]>::to_vec),
            reason: refusal.reason,
            detail: refusal.detail,
            identity: refusal.identity,
        }))
    })
}

struct Refusal {
    reason: Reason,
    detail: Arc<str>,
    identity: Option<Identity>,
}

impl Refusal {
    fn defect() -> Self {
        Refusal {
            reason: Reason::Undecodable,
            detail: "reading it failed in a way that nobody foresaw".into(),
            identity: None,
        }
    }

    fn no_identity(detail: &str) -> Self {
        Refusal { reason: Reason::NoIdentity, detail: detail.into(), identity: None }
    }

    fn impossible(why: Impossible, identity: Option<Identity>) -> Self {
        Refusal { reason: Reason::Impossible, detail: why.to_string().into(), identity }
    }
}

impl From<Undecodable> for Refusal {
    fn from(why: Undecodable) -> Self {
        Refusal { reason: Reason::Undecodable, detail: why.to_string().into(), identity: None }
    }
}

fn understand(
    lane: Lane,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    decoder: Option<&Decoder>,
    now: Timestamp,
) -> Result<Arrival, Refusal> {
    let key = key.ok_or_else(|| Refusal::no_identity("the record has no key; it must be the practice_id"))?;
    let value = value.ok_or_else(|| Refusal::no_identity("the record has no value"))?;
    let id = schema_id(value)?;
    let decoder = decoder.ok_or(Undecodable::UnknownSchema(id))?;
    match lane {
        Lane::Requested => {
            let event: AppointmentRequested = decoder.decode(value)?;
            let identity = identity(key, &event)?;
            let booking = event.into_booking(now).map_err(|why| Refusal::impossible(why, identity))?;
            Ok(Arrival::Requested(Box::new(booking)))
        }
        Lane::Retry => {
            let retry: AppointmentRetry = decoder.decode(value)?;
            let identity = identity(key, &retry.event)?;
            let entry = retry.into_entry(now).map_err(|why| Refusal::impossible(why, identity))?;
            Ok(Arrival::Retry(Box::new(entry)))
        }
    }
}

/// Which version `event` speaks of, if its version is one at all. It must be said, and the key must agree.
fn identity(key: &[u8], event: &AppointmentRequested) -> Result<Option<Identity>, Refusal> {
    check::identity(event.practice_id.as_str(), event.booking_id.as_str())
        .map_err(|why| Refusal::no_identity(&why.to_string()))?;
    if key != event.practice_id.as_str().as_bytes() {
        return Err(Refusal::no_identity("practice_id must equal the key of the record"));
    }
    Ok(check::version(event.version).ok().map(|version| Identity {
        key: BookingKey { practice: event.practice_id.clone(), booking: event.booking_id.clone() },
        version,
        event_id: event.event_id.clone(),
        requested_at: event.requested_at,
    }))
}
