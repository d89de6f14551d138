//! From the bytes of a record to an [`Arrival`]. Any bytes give one: a record that made this fail would stop its partition
//! for ever.

use std::sync::Arc;

use serde::Deserialize;

use crate::booking::check::{self, Invalid};
use crate::booking::texts;
use crate::booking::{BookingId, BookingKey, PracticeId};
use crate::event::avro::{Decoder, Undecodable, schema_id};
use crate::event::decision::AppointmentDecision;
use crate::event::requested::{AppointmentRequested, RequestedStatus};
use crate::event::retry::AppointmentRetry;
use crate::event::size::{TooLarge, part};
use crate::event::unusable_names::{Named, is_json};
use crate::event::{Arrival, Identity, Unusable};
use crate::panic_guard::caught;
use crate::sync::FailureReason;
use crate::time::Timestamp;
use crate::topics::Lane;

/// Reads one record of `lane`. `decoder` is the one for the schema id in the value's frame
/// ([`schema_id`]); none is needed without such an id.
pub fn read(
    lane: Lane,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    decoder: Option<&Decoder>,
    now: Timestamp,
) -> Arrival {
    let understood = caught(|| understand(lane, key, value, decoder, now));
    understood.unwrap_or_else(|| Err(Refusal::defect())).unwrap_or_else(|refusal| {
        let Refusal { reason, detail, identity, decision_id } = refusal;
        let named = caught(|| value.map(|value| Named::read(lane, value, decoder)));
        let named = named.flatten().filter(|_| identity.is_none()).unwrap_or_default();
        Arrival::Unusable(Box::new(Unusable {
            raw_key: key.map(<[u8]>::to_vec),
            raw_value: value.map(<[u8]>::to_vec),
            reason,
            detail: with_version(detail, &named),
            identity,
            named,
            decision_id,
        }))
    })
}

/// The detail, with the version that a record claims: in the result it would be taken for the result of that version.
fn with_version(detail: Arc<str>, named: &Named) -> Arc<str> {
    match named.version {
        Some(version) => format!("{detail}; the record says version {version}").into(),
        None => detail,
    }
}

/// The arrival of a record that is too large to be written again: its version, if that can be read, has failed, and the
/// beginning of its bytes is kept. `decoder` as for [`read`].
pub fn too_large(
    lane: Lane,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    decoder: Option<&Decoder>,
    sizes: TooLarge,
) -> Arrival {
    let names = caught(|| names_of(lane, decoder?, value?)).flatten();
    let identity = names.as_ref().and_then(|names| identity(key?, names).ok().flatten());
    let named = names.filter(|_| identity.is_none()).map(Named::from).unwrap_or_default();
    Arrival::Unusable(Box::new(Unusable {
        raw_key: part(key),
        raw_value: part(value),
        reason: FailureReason::TooLarge,
        detail: with_version(sizes.to_string().into(), &named),
        identity,
        named,
        decision_id: None,
    }))
}

/// The arrival of a record that ended too many workers while it was read alone: it is not decoded any more (rule K6).
pub fn deadly(key: Option<&[u8]>, value: Option<&[u8]>, unclean_ends: u32) -> Arrival {
    Arrival::Unusable(Box::new(Unusable {
        raw_key: key.map(<[u8]>::to_vec),
        raw_value: value.map(<[u8]>::to_vec),
        reason: FailureReason::CrashSuspect,
        detail: format!(
            "{unclean_ends} workers ended while this record, and nothing else, was read; it was not decoded"
        )
        .into(),
        identity: None,
        named: Named::default(),
        decision_id: None,
    }))
}

/// How much of a symbol that we do not know is named: a schema may have names of any length.
const SYMBOL_CHARS_MAX: usize = 64;

/// The names in a record of `appointments.requested`, and nothing else of it.
const NAMES: &str = r#"{"type": "record", "name": "AppointmentRequested", "fields": [
    {"name": "event_id", "type": "string"}, {"name": "booking_id", "type": "string"},
    {"name": "practice_id", "type": "string"}, {"name": "version", "type": "long"},
    {"name": "requested_at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"#;

/// Which version a record is, by its names.
#[derive(Deserialize)]
struct Names {
    event_id: Arc<str>,
    booking_id: BookingId,
    practice_id: PracticeId,
    version: i64,
    requested_at: Timestamp,
}

/// The same in a record of `appointments.retry`.
#[derive(Deserialize)]
struct RetryNames {
    event: Names,
}

fn names_of(lane: Lane, decoder: &Decoder, value: &[u8]) -> Option<Names> {
    match lane {
        Lane::Requested => decoder.decode_part::<Names>(value, NAMES).ok(),
        Lane::Retry => {
            let reader = format!(
                r#"{{"type": "record", "name": "AppointmentRetry", "fields": [{{"name": "event", "type": {NAMES}}}]}}"#
            );
            decoder.decode_part::<RetryNames>(value, &reader).map(|retry| retry.event).ok()
        }
        Lane::Decisions => None,
    }
}

impl From<Names> for Named {
    fn from(names: Names) -> Self {
        let Names { event_id, booking_id, practice_id, version, .. } = names;
        Named::new(Some(&event_id), Some(booking_id.as_str()), Some(practice_id.as_str()), Some(version))
    }
}

struct Refusal {
    reason: FailureReason,
    detail: Arc<str>,
    identity: Option<Identity>,
    decision_id: Option<Arc<str>>,
}

impl Refusal {
    fn of(reason: FailureReason, detail: Arc<str>) -> Self {
        Refusal { reason, detail, identity: None, decision_id: None }
    }

    fn defect() -> Self {
        Refusal::of(FailureReason::Undecodable, "reading it failed in a way that nobody foresaw".into())
    }

    fn no_identity(detail: &str) -> Self {
        Refusal::of(FailureReason::NoIdentity, detail.into())
    }

    fn impossible(detail: String) -> Self {
        Refusal::of(FailureReason::Impossible, detail.into())
    }

    fn invalid(why: Invalid, identity: Option<Identity>) -> Self {
        Refusal { identity, ..Refusal::impossible(why.to_string()) }
    }

    fn not_framed(why: Undecodable, value: &[u8]) -> Self {
        let is =
            if is_json(value) { "; it is JSON, where the registry's Avro serializer belongs" } else { "" };
        Refusal::of(FailureReason::Undecodable, format!("{why}{is}").into())
    }
}

impl From<Undecodable> for Refusal {
    fn from(why: Undecodable) -> Self {
        Refusal::of(FailureReason::Undecodable, why.to_string().into())
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
    let id = schema_id(value).map_err(|why| Refusal::not_framed(why, value))?;
    let decoder = decoder.ok_or(Undecodable::UnknownSchema(id))?;
    match lane {
        Lane::Requested => {
            let event: AppointmentRequested = decoder.decode(value)?;
            let identity = identity(key, &Names::from(&event))?;
            known_symbols(&event, value, decoder)
                .map_err(|detail| Refusal { identity: identity.clone(), ..Refusal::impossible(detail) })?;
            let booking = event.into_booking(now).map_err(|why| Refusal::invalid(why, identity))?;
            Ok(Arrival::Requested(Arc::new(booking)))
        }
        Lane::Retry => {
            let retry: AppointmentRetry = decoder.decode(value)?;
            let identity = identity(key, &Names::from(&retry.event))?;
            let entry = retry.into_entry(now).map_err(|why| Refusal::invalid(why, identity))?;
            Ok(Arrival::Retry(Box::new(entry)))
        }
        Lane::Decisions => {
            let record: AppointmentDecision = decoder.decode(value)?;
            // Whoever decided finds the letter by it. A name of megabytes would be in the letter twice.
            let decision_id = Some(record.decision_id.clone()).filter(|id| texts::EVENT_ID.check(id).is_ok());
            decision(key, record).map_err(|refusal| Refusal { decision_id, ..refusal })
        }
    }
}

/// Whether we know the status and the source that a booking was published with. A newer schema may have more, and what they
/// mean cannot be guessed. The error names the symbol.
fn known_symbols(event: &AppointmentRequested, value: &[u8], decoder: &Decoder) -> Result<(), String> {
    let status = decoder.replaced_symbol(value, "status");
    let status = status.or_else(|| (event.status == RequestedStatus::Unknown).then(|| "UNKNOWN".to_owned()));
    let source = decoder.replaced_symbol(value, "source");
    let wrong = |rule: &str, symbol: &str| {
        let short: String = symbol.chars().take(SYMBOL_CHARS_MAX).collect();
        Err(format!("{rule}, not {short}"))
    };
    match (status, source) {
        (Some(status), _) => wrong("status must be SCHEDULED or CANCELLED", &status),
        (_, Some(source)) => wrong("source must be LIVE or BACKFILL", &source),
        (None, None) => Ok(()),
    }
}

fn decision(key: &[u8], record: AppointmentDecision) -> Result<Arrival, Refusal> {
    check::identity(record.practice_id.as_str(), record.booking_id.as_str())
        .map_err(|why| Refusal::no_identity(&why.to_string()))?;
    if key != record.practice_id.as_str().as_bytes() {
        return Err(Refusal::no_identity("practice_id must equal the key of the record"));
    }
    // Without an identity, so that nobody takes its dead letter for the result of the version.
    let decision = record.into_decision().map_err(|why| Refusal::invalid(why, None))?;
    Ok(Arrival::Decided(Box::new(decision)))
}

impl From<&AppointmentRequested> for Names {
    fn from(event: &AppointmentRequested) -> Self {
        Names {
            event_id: event.event_id.clone(),
            booking_id: event.booking_id.clone(),
            practice_id: event.practice_id.clone(),
            version: event.version,
            requested_at: event.requested_at,
        }
    }
}

/// Which version a record is of, if it is a valid one. The record must name it, and the key must agree.
fn identity(key: &[u8], names: &Names) -> Result<Option<Identity>, Refusal> {
    let Names { event_id, booking_id, practice_id, version, requested_at } = names;
    check::identity(practice_id.as_str(), booking_id.as_str())
        .map_err(|why| Refusal::no_identity(&why.to_string()))?;
    if key != practice_id.as_str().as_bytes() {
        return Err(Refusal::no_identity("practice_id must equal the key of the record"));
    }
    // A name of megabytes would be in a dead letter twice: in the record, and as its version's identity.
    let is_id = texts::EVENT_ID.check(event_id).is_ok();
    Ok(check::version(*version).ok().map(|version| Identity {
        key: BookingKey { practice: practice_id.clone(), booking: booking_id.clone() },
        version,
        event_id: if is_id { event_id.clone() } else { Arc::from("") },
        requested_at: *requested_at,
    }))
}
