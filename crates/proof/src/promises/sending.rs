//! What must hold when a write goes out: rules W1, W2 and K5. Checked at the socket, whether or not a violation does
//! harm this time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use healthflow_core::booking::{BookingKey, BookingStatus, PatientKey, Version};
use healthflow_core::healthflow::{AppointmentContent, Request};
use healthflow_core::patient::reference::reference;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{PatientState, TaskState};
use healthflow_core::time::Timestamp;

/// Versions that ask for exactly the same cannot be distinguished: the least and the newest of them.
pub type Same = Option<(Version, Version)>;

/// The versions among these that ask for exactly what is sent.
pub fn same(versions: impl Iterator<Item = Version>) -> Same {
    versions.fold(None, |same, version| {
        let (least, most) = same.unwrap_or((version, version));
        Some((least.min(version), most.max(version)))
    })
}

/// Which booking a write is about.
pub fn booking_of(content: &AppointmentContent) -> BookingKey {
    BookingKey { practice: content.practice.clone(), booking: content.booking.clone() }
}

/// Rule W1: no write goes out without a committed intent for it. Returns what is wrong with sending `request` while
/// `state` is committed. If repeating is safe, a new owner may have closed the intent of a worker that does not know
/// yet that it lost the task (so too for an update that names a revision); the newest intended version never falls.
pub fn intent_first(state: &TaskState, request: &Request, guard: GuardMode, same: Same) -> Option<String> {
    let is_refused_if_changed = matches!(request, Request::UpdateAppointment { if_match: Some(_), .. });
    let must_be_open = matches!(guard, GuardMode::Reference | GuardMode::Search) && !is_refused_if_changed;
    match request {
        Request::CreatePatient { content, .. } => {
            let under = &content.patient.id;
            let is_intended = |(key, patient): (PatientKey, Cow<'_, PatientState>)| {
                patient.intent.as_ref().is_some_and(|intent| reference(&key, intent.reference) == *under)
            };
            let intended = || state.patients.of_practice(&content.practice).any(is_intended);
            (must_be_open && !intended()).then(|| format!("creates {under} without an intent"))
        }
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            let key = booking_of(content);
            let known = state.bookings.get(&key);
            let intended = known.as_ref().is_some_and(|booking| booking.intent.is_some());
            if must_be_open && !intended {
                return Some(format!("writes {key} without an intent"));
            }
            let newest = known.map_or(0, |booking| booking.newest);
            let version = same.map_or(0, |(least, _)| least);
            (version > newest).then(|| format!("writes {key} v{version}, but only v{newest} is intended"))
        }
        _ => None,
    }
}

/// Rule K4: nothing is written for a patient while another booking's review decides who that is. Returns what is wrong with
/// sending `content` while `state` is committed; `patients` are those that versions of the booking are for.
pub fn held_first(
    state: &TaskState,
    content: &AppointmentContent,
    patients: impl IntoIterator<Item = PatientKey>,
) -> Option<String> {
    if content.status == BookingStatus::Cancelled {
        return None;
    }
    let is_held = |patient: PatientKey| {
        let known = state.patients.get(&patient)?;
        known.held_by.clone().filter(|holder| *holder != content.booking)
    };
    let mut holders = patients.into_iter().map(is_held).peekable();
    holders.peek()?;
    let holders: Option<Vec<_>> = holders.collect();
    holders
        .map(|by| format!("writes {} although the review of {by:?} holds its patient", booking_of(content)))
}

/// Rule W2: a fenced owner sends no write after its lease, because its successor relies on that. Returns what is wrong
/// with a write sent at `now` by the owner of `epoch`, which was fenced at this time, if it was.
pub fn lease(fenced_at: Option<Timestamp>, epoch: u64, lease_ms: i64, now: Timestamp) -> Option<String> {
    let late_ms = now.since_ms(fenced_at?) - lease_ms;
    (late_ms > 0).then(|| format!("sends a write {late_ms} ms after the lease of epoch {epoch} was over"))
}

/// Rule K5, which promise 5 rests on: no older version of a booking is sent after a newer one. Creates under a key and
/// updates of a revision are left out: HealthFlow refuses or replays the second one.
pub fn no_step_back(
    newest_sent: &mut BTreeMap<BookingKey, Version>,
    request: &Request,
    guard: GuardMode,
    same: Same,
) -> Option<String> {
    let content = match request {
        Request::UpdateAppointment { content, if_match: None, .. } => content,
        Request::CreateAppointment { content, .. }
            if matches!(guard, GuardMode::Reference | GuardMode::Search) =>
        {
            content
        }
        _ => return None,
    };
    let (least, most) = same?;
    let newest = newest_sent.entry(booking_of(content)).or_default();
    let text = (most < *newest).then(|| format!("{} v{most} is sent after v{newest}", content.booking));
    *newest = least.max(*newest);
    text
}
