//! What DentScheduler asks for in the small worlds: bookings of practice `p`, each version known again by its duration.

use std::sync::Arc;

use healthflow_core::booking::{Booking, BookingKey, BookingStatus, Patient, Sex, Source, Version, Visit};
use healthflow_core::time::{DAY_MS, Timestamp};

/// When every small world begins.
pub const BEGIN_MS: i64 = 1_900_000_000_000;

/// Ten minutes of a visit for each number of a content.
const MINUTES: u32 = 10;

/// The number of what a visit asks for.
pub fn content_of(visit: &Visit) -> Version {
    Version::from(visit.duration_minutes / MINUTES)
}

/// Who a booking is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Stands in HealthFlow, and DentScheduler sends the id along.
    Known,
    /// Nobody at HealthFlow knows Ada.
    Ada,
    /// The same person, whom DentScheduler has under a second id.
    AdaAgain,
    /// Twins whom nobody at HealthFlow knows; only a mark tells their names apart.
    Taiki,
    Daiki,
    /// Brother and sister of one name and birthday.
    Sister,
    Brother,
}

/// A version of a booking that asks for content number `version`.
pub fn booking(id: &str, version: Version, who: Who) -> Booking {
    Booking {
        event_id: Arc::from(format!("event-{id}-{version}")),
        key: BookingKey { practice: "p".into(), booking: id.into() },
        location_id: "l".into(),
        version,
        status: BookingStatus::Scheduled,
        requested_at: Timestamp(BEGIN_MS - 3_600_000),
        source: Source::Live,
        patient: patient(who),
        visit: Visit {
            start: Timestamp(BEGIN_MS + 30 * DAY_MS + version as i64 * 3_600_000),
            duration_minutes: version as u32 * MINUTES,
            time_zone: "America/Chicago".into(),
            provider_id: "d".into(),
            operatory_id: None,
            procedure_codes: Vec::new(),
            note: None,
        },
    }
}

fn patient(who: Who) -> Patient {
    let (id, healthflow_patient_id, given_name) = match who {
        Who::Known => ("k", Some("hfp-1".into()), "Grace"),
        Who::Ada => ("a", None, "Ada"),
        Who::AdaAgain => ("b", None, "Ada"),
        Who::Taiki => ("t", None, "たいき"),
        Who::Daiki => ("d", None, "だいき"),
        Who::Sister => ("s", None, "Kim"),
        Who::Brother => ("r", None, "Kim"),
    };
    Patient {
        id: id.into(),
        healthflow_patient_id,
        given_name: given_name.into(),
        family_name: if who == Who::Known { "Hopper" } else { "Lovelace" }.into(),
        date_of_birth: jiff::civil::date(1990, if who == Who::Known { 5 } else { 12 }, 10).into(),
        postal_code: if who == Who::Known { "10001" } else { "60601" }.into(),
        phone: None,
        email: None,
        sex: match who {
            Who::Sister => Some(Sex::Female),
            Who::Brother => Some(Sex::Male),
            _ => None,
        },
    }
}

/// The same version, called off.
pub fn cancelled(mut booking: Booking) -> Booking {
    booking.status = BookingStatus::Cancelled;
    booking
}

/// The same, but asking for what version `content` asked for.
pub fn asking_for(content: Version, id: &str, version: Version, who: Who) -> Booking {
    Booking { event_id: Arc::from(format!("event-{id}-{version}")), version, ..booking(id, content, who) }
}

/// The same version, at that hour: an hour that another booking had is the same slot, whatever the versions are.
pub fn at_hour(mut booking: Booking, hour: i64) -> Booking {
    booking.visit.start = Timestamp(BEGIN_MS + 30 * DAY_MS + hour * 3_600_000);
    booking
}
