//! Who books what, and when.

use std::sync::Arc;

use healthflow_core::booking::{Booking, BookingKey, BookingStatus, Patient, Source, Visit};
use healthflow_core::time::{DAY_MS, Timestamp};
use healthflow_simulator::answer::{PatientBody, Simulator};

use crate::world::World;

/// Midnight of a Monday, in UTC.
pub const BEGIN: i64 = 1_764_547_200_000;
pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
const PRACTICES: usize = 24;
const PATIENTS_OF_EACH: usize = 10;

/// The practices and patients of live bookings, or of history, with their charts in HealthFlow.
fn patients(of: &str, healthflow: &mut Simulator) -> Vec<(String, Patient)> {
    let mut all = Vec::new();
    for number in 0..PRACTICES * PATIENTS_OF_EACH {
        let practice = format!("{of}-{}", number % PRACTICES);
        let born = jiff::civil::date(1950, 1, 1).saturating_add(jiff::Span::new().days(number as i64 * 31));
        let body = PatientBody {
            practice_id: practice.as_str().into(),
            given_name: "Ada".into(),
            family_name: format!("Lovelace{number}"),
            date_of_birth: born.to_string(),
            postal_code: "60601".into(),
            ..PatientBody::default()
        };
        let id = healthflow.seed_patients(vec![body.clone()], Timestamp(BEGIN)).remove(0);
        let patient = Patient {
            id: format!("{of}-patient-{number}").into(),
            healthflow_patient_id: Some(id),
            given_name: body.given_name.into(),
            family_name: body.family_name.into(),
            date_of_birth: born.into(),
            postal_code: body.postal_code.into(),
            phone: None,
            email: None,
            sex: None,
        };
        all.push((practice, patient));
    }
    all
}

/// `count` bookings, evenly from `from` to `until`.
pub fn publish(world: &mut World, of: &str, source: Source, count: usize, (from, until): (i64, i64)) {
    let patients = patients(of, &mut world.healthflow);
    for number in 0..count {
        let (practice, patient) = patients[number % patients.len()].clone();
        let at = from + (until - from) * number as i64 / count as i64;
        world.publish(Booking {
            event_id: Arc::from(format!("{of}-e-{number}")),
            key: BookingKey {
                practice: practice.as_str().into(),
                booking: format!("{of}-b-{number}").as_str().into(),
            },
            location_id: "location-1".into(),
            version: 1,
            status: BookingStatus::Scheduled,
            requested_at: Timestamp(at),
            source,
            patient,
            visit: Visit {
                start: Timestamp(BEGIN + 30 * DAY_MS + number as i64 * 30 * MINUTE_MS),
                duration_minutes: 30,
                time_zone: "America/Chicago".into(),
                provider_id: "provider-1".into(),
                operatory_id: None,
                procedure_codes: vec!["D0120".into()],
                note: None,
            },
        });
    }
}
