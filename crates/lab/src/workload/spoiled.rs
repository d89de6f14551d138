//! The spoiled records of a workload: those that no worker can use, and bookings that HealthFlow singles out for as
//! long as the simulator's knobs say so. No other booking may wait for them.

use healthflow_core::event::requested::AppointmentRequested;
use jiff::ToSpan;
use jiff::civil::date;
use serde_json::Value;

use super::poison::Poison;

/// The note of bookings that are answered 403: the simulator's knob `forbidden_text`.
const FORBIDDEN: &str = "what the firewall dislikes";
/// Part of every search by the birthday of patients whose searches get no answer: the simulator's knob
/// `unanswered_text`. No other patient is so old.
const UNANSWERED: &str = "\"1931-";

/// One record that is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiled {
    /// No worker can use it.
    Poison(Poison),
    /// HealthFlow singles it out.
    SingledOut(SingledOut),
}

/// When a spoiled record is published.
#[derive(Clone, Copy, Debug)]
pub struct SpoiledAt {
    /// In milliseconds after the first publication.
    pub at_ms: i64,
    /// How it is spoiled.
    pub spoiled: Spoiled,
}

/// How HealthFlow singles a booking out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SingledOut {
    /// It is answered 403.
    Forbidden,
    /// A search for its patient is never answered.
    Unanswered,
}

impl SingledOut {
    /// Every kind.
    pub const ALL: [SingledOut; 2] = [SingledOut::Forbidden, SingledOut::Unanswered];

    /// Sets the simulator's knobs, on or off.
    pub fn set(knobs: &mut Value, is_on: bool) {
        knobs["forbidden_text"] = if is_on { FORBIDDEN } else { "" }.into();
        knobs["unanswered_text"] = if is_on { UNANSWERED } else { "" }.into();
    }

    /// Makes such a booking of `event`, the `nth` of all.
    pub(super) fn mark(self, event: &mut AppointmentRequested, nth: usize) {
        match self {
            SingledOut::Forbidden => event.visit.note = Some(FORBIDDEN.to_owned().into()),
            SingledOut::Unanswered => {
                let born = date(1931, 1, 1).saturating_add((nth as i64 % 365).days());
                event.patient.date_of_birth = born.to_string().into();
            }
        }
    }

    /// Whether a booking is one of these.
    pub fn is_one(event: &AppointmentRequested) -> bool {
        let is_forbidden = event.visit.note.as_ref().is_some_and(|note| note.reveal() == FORBIDDEN);
        is_forbidden || event.patient.date_of_birth.reveal().starts_with(UNANSWERED.trim_start_matches('"'))
    }
}

/// So many of each, every kind in turn, spread evenly over `duration_ms`.
pub fn spread(poisoned: usize, singled_out: usize, duration_ms: i64) -> Vec<SpoiledAt> {
    let at_ms = |nth: usize, count: usize| duration_ms * (nth as i64 + 1) / (count as i64 + 1);
    let poison = Poison::ALL.into_iter().map(Spoiled::Poison).cycle().take(poisoned);
    let others = SingledOut::ALL.into_iter().map(Spoiled::SingledOut).cycle().take(singled_out);
    let of = |count| move |(nth, spoiled): (usize, _)| SpoiledAt { at_ms: at_ms(nth, count), spoiled };
    poison.enumerate().map(of(poisoned)).chain(others.enumerate().map(of(singled_out))).collect()
}
