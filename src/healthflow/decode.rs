//! What an HTTP reply means. One row of the classification table is one arm here; a row that is too hopeful loses or
//! doubles a booking, so whatever the contract does not promise counts as "unknown", never as "did not happen".

mod body;
mod retry_after;

use crate::healthflow::fault::{Missing, Unknown};
use crate::healthflow::wire::{TransportFault, WireReply};
use crate::healthflow::{Answer, Fault, Operation, Reply, Request};
use crate::time::Timestamp;

pub use retry_after::{RETRY_AFTER_MAX_MS, RETRY_AFTER_MIN_MS};

/// What `received` says about `request`. `now` only serves to read a `Retry-After` that is a date.
///
/// The table, the same for every operation unless it says otherwise:
///
/// | received | fault |
/// |---|---|
/// | nothing sent | `NotSent` |
/// | time-out, reset after sending | `Unknown(Timeout)`, `Unknown(Reset)` |
/// | 200 or 201 with what was asked for | none |
/// | 200 or 201 that cannot be read, or without id | `Unknown(Unreadable)` |
/// | 400, 413, 422 | `Refused` with field names and rule codes |
/// | 401, 403 | `Unauthorised` |
/// | 404, 410 with our contract's error body, where the request names something | `NotFound` |
/// | 408 | `Unknown(Timeout)` |
/// | 412, where the request names a revision | `Changed` |
/// | 409, by its code | `AlreadyThere`, `SlotTaken`, `KeyReused` |
/// | 429 | `Throttled` |
/// | 5xx | `Unknown(ServerError)` |
/// | anything else | `Unknown(Unreadable)` |
pub fn decode(request: &Request, received: Result<WireReply, TransportFault>, now: Timestamp) -> Reply {
    let reply = match received {
        Ok(reply) => reply,
        Err(TransportFault::NotSent(why)) => return Err(Fault::NotSent(why)),
        Err(TransportFault::Unknown(why)) => return Err(Fault::Unknown(why)),
    };
    match reply.status {
        200 | 201 => body::answer(request, &reply.body).ok_or(Fault::Unknown(Unknown::Unreadable)),
        // Nothing else was made to depend on anything.
        412 if matches!(request, Request::UpdateAppointment { if_match: Some(_), .. }) => Err(Fault::Changed),
        status => Err(fault(request.operation(), status, &reply, now)),
    }
}

fn fault(operation: Operation, status: u16, reply: &WireReply, now: Timestamp) -> Fault {
    let error = || body::error(&reply.body);
    match status {
        400 | 413 | 422 => Fault::Refused { status, fields: error().map(|e| e.fields).unwrap_or_default() },
        401 | 403 => Fault::Unauthorised { status },
        404 | 410 => match error() {
            Some(error) => {
                missing(operation, &error.code).map_or(Fault::Unknown(Unknown::Unreadable), Fault::NotFound)
            }
            None => Fault::Unknown(Unknown::Unreadable),
        },
        408 => Fault::Unknown(Unknown::Timeout),
        409 => conflict(error()),
        429 => Fault::Throttled {
            retry_after_ms: reply
                .retry_after
                .as_deref()
                .and_then(|text| retry_after::milliseconds(text, now)),
        },
        500..=599 => Fault::Unknown(Unknown::ServerError),
        _ => Fault::Unknown(Unknown::Unreadable),
    }
}

/// What a 404 with this error code says is gone, if it is HealthFlow's word. A proxy's 404, or one from a wrong base
/// URL, is not: believing it would drop every link and placement there is.
fn missing(operation: Operation, code: &str) -> Option<Missing> {
    match (operation, code) {
        (Operation::CreateAppointment | Operation::UpdateAppointment, "PATIENT_NOT_FOUND") => {
            Some(Missing::Patient)
        }
        (Operation::UpdateAppointment | Operation::ReadAppointment, "APPOINTMENT_NOT_FOUND") => {
            Some(Missing::Appointment)
        }
        _ => None,
    }
}

fn conflict(error: Option<body::ErrorSeen>) -> Fault {
    let Some(error) = error else { return Fault::Unknown(Unknown::Unreadable) };
    match error.code.as_str() {
        "ALREADY_EXISTS" => Fault::AlreadyThere { existing_id: error.existing_id },
        "SLOT_TAKEN" => Fault::SlotTaken,
        "KEY_REUSED" => Fault::KeyReused,
        _ => Fault::Unknown(Unknown::Unreadable),
    }
}

#[cfg(test)]
mod tests;
