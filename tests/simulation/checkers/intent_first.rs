//! Rule W1, which promise 2 rests on: no write goes out unless a committed intent says that it may.

use healthflow_sync::booking::{BookingKey, PatientKey};
use healthflow_sync::healthflow::Request;
use healthflow_sync::processor::GuardMode;
use healthflow_sync::state::TaskState;

/// What is wrong with sending `request` while `state` is what stands. Where repeating is safe, a new owner may have
/// closed the intent of a worker that does not know yet that it lost the task.
pub fn broken(state: &TaskState, request: &Request, guard: GuardMode) -> Option<String> {
    if guard != GuardMode::Reference {
        return None;
    }
    match request {
        Request::CreatePatient { content, .. } => {
            let key = PatientKey { practice: content.practice.clone(), patient: content.patient.id.clone() };
            let intended = state.patients.get(&key).is_some_and(|patient| patient.intent.is_some());
            (!intended).then(|| format!("creates {} without an intent", key.patient))
        }
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            let key = BookingKey { practice: content.practice.clone(), booking: content.booking.clone() };
            let intended = state.bookings.get(&key).is_some_and(|booking| booking.intent.is_some());
            (!intended).then(|| format!("writes {key} without an intent"))
        }
        _ => None,
    }
}
