//! Rule W1, which promise 2 rests on: no write goes out unless a committed intent says that it may.

use healthflow_core::booking::{BookingKey, PatientKey};
use healthflow_core::healthflow::Request;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::TaskState;

use crate::lives::Lives;

/// What is wrong with sending `request` while `state` is what stands. Where repeating is safe, a new owner may have
/// closed the intent of a worker that does not know yet that it lost the task (so too for an update that names a revision); the newest intended version never falls.
pub fn broken(state: &TaskState, request: &Request, guard: GuardMode, lives: &Lives) -> Option<String> {
    let is_refused_if_changed = matches!(request, Request::UpdateAppointment { if_match: Some(_), .. });
    let must_be_open = matches!(guard, GuardMode::Reference | GuardMode::Search) && !is_refused_if_changed;
    match request {
        Request::CreatePatient { content, .. } => {
            let key = PatientKey { practice: content.practice.clone(), patient: content.patient.id.clone() };
            let intended = state.patients.get(&key).is_some_and(|patient| patient.intent.is_some());
            (must_be_open && !intended).then(|| format!("creates {} without an intent", key.patient))
        }
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            let key = BookingKey { practice: content.practice.clone(), booking: content.booking.clone() };
            let known = state.bookings.get(&key);
            let intended = known.as_ref().is_some_and(|booking| booking.intent.is_some());
            if must_be_open && !intended {
                return Some(format!("writes {key} without an intent"));
            }
            let newest = known.map_or(0, |booking| booking.newest);
            let version = lives.versions_of(content).next().unwrap_or(0);
            (version > newest).then(|| format!("writes {key} v{version}, but only v{newest} is intended"))
        }
        _ => None,
    }
}
