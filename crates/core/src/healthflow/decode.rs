//! What an HTTP reply means. One row of the table is one arm here. A row that is too hopeful loses or duplicates a booking,
//! so a reply that the contract does not define counts as "unknown", never as "did not happen" and never as HealthFlow's
//! final answer.

mod body;
mod retry_after;

use crate::healthflow::fault::{Missing, Unknown};
use crate::healthflow::wire::{TransportFault, WireReply};
use crate::healthflow::{Answer, Fault, LimitsTold, Operation, Reply, Request};
use crate::time::Timestamp;

use body::ErrorSeen;

pub use retry_after::{RETRY_AFTER_MAX_MS, RETRY_AFTER_MIN_MS};

/// What `received` means for `request`. `now` is only for a `Retry-After` or a reset that is a date.
///
/// The table, the same for every operation unless it says otherwise. The contract's words are its error body: a code
/// that it names, and the fields. Any proxy between us and HealthFlow can answer with a status, but only HealthFlow with these.
///
/// | received | in the contract's words | in any other words |
/// |---|---|---|
/// | nothing sent | `NotSent` | |
/// | time-out, reset after sending | `Unknown(Timeout)`, `Unknown(Reset)` | |
/// | 200, 201 | none, if it is what was asked for | `Unknown(Unreadable)` |
/// | 401 | `Unauthorised` | `Unauthorised` |
/// | 403 | `Forbidden` | `Unknown(Foreign)` |
/// | 404, 410, if the request names something | `NotFound` | `Unknown(Foreign)` |
/// | 408 | `Unknown(Timeout)` | `Unknown(Timeout)` |
/// | 409, by its code | `AlreadyThere`, `SlotTaken`, `KeyReused` | `Unknown(Foreign)` |
/// | 412, if the request names a revision | `Changed` | `Unknown(Foreign)` |
/// | 429 | `Throttled` | `Throttled` |
/// | any 4xx whose code means that the request is wrong | `Refused` with field names and rule codes | `Unknown(Foreign)` |
/// | 503 with `Retry-After` | `Unknown(Unavailable)` | `Unknown(Unavailable)` |
/// | any other 5xx | `Unknown(ServerError)` | `Unknown(ServerError)` |
/// | 204 to an update | `UpdateUnseen` | |
/// | other 2xx | | `Unknown(Unreadable)` |
/// | anything else | | `Unknown(Foreign)` |
pub fn decode(request: &Request, received: Result<WireReply, TransportFault>, now: Timestamp) -> Reply {
    let reply = match received {
        Ok(reply) => reply,
        Err(TransportFault::NotSent(why)) => return Err(Fault::NotSent(why)),
        Err(TransportFault::Unknown(why)) => return Err(Fault::Unknown(why)),
    };
    match reply.status {
        200 | 201 => body::answer(request, &reply.body).ok_or(Fault::Unknown(Unknown::Unreadable)),
        204 if request.operation() == Operation::UpdateAppointment => Ok(Answer::UpdateUnseen),
        _ => Err(fault(request, &reply, now)),
    }
}

fn fault(request: &Request, reply: &WireReply, now: Timestamp) -> Fault {
    let retry_after_ms = reply.retry_after.as_deref().and_then(|text| retry_after::milliseconds(text, now));
    match (reply.status, retry_after_ms) {
        // Whatever sends it sends it before looking at the request, which did nothing.
        (401, _) => Fault::Unauthorised,
        (429, _) => Fault::Throttled { retry_after_ms: retry_after_ms.or_else(|| reset_ms(reply, now)) },
        (202..=299, _) => Fault::Unknown(Unknown::Unreadable),
        (408, _) => Fault::Unknown(Unknown::Timeout),
        (503, Some(retry_after_ms)) => Fault::Unknown(Unknown::Unavailable { retry_after_ms }),
        (500..=599, _) => Fault::Unknown(Unknown::ServerError),
        (status, _) => body::error(&reply.body)
            .and_then(|error| said(request, status, error))
            .unwrap_or(Fault::Unknown(Unknown::Foreign { status })),
    }
}

/// Until when nothing is left, by the limits that the answer tells, within the bounds of a `Retry-After`.
fn reset_ms(reply: &WireReply, now: Timestamp) -> Option<u64> {
    let wait_ms = LimitsTold::by(reply, now)?.wait_ms()?.unsigned_abs();
    Some(wait_ms.clamp(RETRY_AFTER_MIN_MS, RETRY_AFTER_MAX_MS))
}

/// What HealthFlow itself means by `error`; none if the contract does not have it for such a request. A proxy's answer must
/// neither end a booking nor drop a link.
fn said(request: &Request, status: u16, error: ErrorSeen) -> Option<Fault> {
    match (status, error.code) {
        (403, _) => Some(Fault::Forbidden),
        (404 | 410, "PATIENT_NOT_FOUND" | "APPOINTMENT_NOT_FOUND") => {
            missing(request.operation(), error.code).map(Fault::NotFound)
        }
        (409, "ALREADY_EXISTS") => Some(Fault::AlreadyThere { existing_id: error.existing_id }),
        (409, "SLOT_TAKEN") => Some(Fault::SlotTaken),
        (409, "KEY_REUSED") => Some(Fault::KeyReused),
        // Nothing else was made to depend on anything.
        (412, "CHANGED") if matches!(request, Request::UpdateAppointment { if_match: Some(_), .. }) => {
            Some(Fault::Changed)
        }
        (400..=499, "INVALID" | "MALFORMED") => Some(Fault::Refused { status, fields: error.fields }),
        _ => None,
    }
}

/// What can be gone for such a request.
fn missing(operation: Operation, code: &str) -> Option<Missing> {
    match (operation, code) {
        (
            Operation::CreateAppointment | Operation::UpdateAppointment | Operation::ReadPatient,
            "PATIENT_NOT_FOUND",
        ) => Some(Missing::Patient),
        (Operation::UpdateAppointment | Operation::ReadAppointment, "APPOINTMENT_NOT_FOUND") => {
            Some(Missing::Appointment)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
