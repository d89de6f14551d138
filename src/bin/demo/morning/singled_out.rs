//! Bookings that HealthFlow has something against, for as long as the simulator's knobs say so. Nobody else may wait for them.

use healthflow_sync::event::requested::AppointmentRequested;
use jiff::ToSpan;
use jiff::civil::date;

/// Stands in the notes of bookings that are answered 403: the simulator's knob `forbidden_text`.
pub const FORBIDDEN: &str = "what the firewall dislikes";
/// Stands in every search by the birthday of those who are looked up in vain: the simulator's knob `unanswered_text`.
/// Nobody else is so old.
pub const UNANSWERED: &str = "\"1931-";

/// Makes such a booking of `event`, the `nth` of all.
type Mark = fn(event: &mut AppointmentRequested, nth: usize);

/// One for each thing that HealthFlow may have against a booking.
pub const ALL: [Mark; 2] = [forbid, leave_unanswered];

/// Whether it is one of them.
pub fn is_one(event: &AppointmentRequested) -> bool {
    let is_forbidden = event.visit.note.as_ref().is_some_and(|note| note.reveal() == FORBIDDEN);
    is_forbidden || event.patient.date_of_birth.reveal().starts_with(UNANSWERED.trim_start_matches('"'))
}

fn forbid(event: &mut AppointmentRequested, _nth: usize) {
    event.visit.note = Some(FORBIDDEN.to_owned().into());
}

fn leave_unanswered(event: &mut AppointmentRequested, nth: usize) {
    let born = date(1931, 1, 1).saturating_add((nth as i64 % 365).days());
    event.patient.date_of_birth = born.to_string().into();
}
