//! The bookings of the benchmark: patients that DentScheduler and HealthFlow both know. The first booking of each introduces
//! the patient, with a call to read the chart and one to write; all others are one call.

use healthflow_core::appointment::idempotency::appointment_key;
use healthflow_core::booking::{BookingId, PracticeId, Source};
use healthflow_core::event::requested::{AppointmentRequested, RequestedStatus, RequestedVisit};
use healthflow_core::healthflow::encode::encode;
use healthflow_core::healthflow::request::{AppointmentContent, Request};
use healthflow_core::healthflow::wire::WireRequest;
use healthflow_core::patient::HealthFlowPatientId;
use healthflow_core::time::Timestamp;
use healthflow_proof::random::Random;

use crate::workload::people::{self, Chart, Scenario};
use crate::workload::zipf::Zipf;
use crate::workload::{Expected, Publication, practice_id};

const PRACTICES: usize = 200;
/// The bookings of one patient lie as far apart as there are patients.
const BOOKINGS_PER_PATIENT: usize = 2;
/// More patients take long to introduce, and bookings so far apart never meet.
const PATIENTS_MAX: usize = 10_000;
/// Visits begin so many quarters of an hour apart at most; a prime number, so that no patient has the same one twice.
const QUARTERS: usize = 3_989;

/// Who there is.
pub struct Load {
    /// What exists in HealthFlow before.
    pub charts: Vec<Chart>,
    /// Of each patient, practice and number within it.
    patients: Vec<(usize, usize)>,
    first_visit_at: Timestamp,
}

impl Load {
    /// Patients for `bookings` bookings of practices by Zipf's law.
    pub fn new(bookings: usize, first_visit_at: Timestamp) -> Load {
        let (zipf, mut random) = (Zipf::new(PRACTICES), Random::new(1));
        let mut sizes = [0; PRACTICES];
        let patients: Vec<(usize, usize)> = (0..bookings.div_ceil(BOOKINGS_PER_PATIENT).min(PATIENTS_MAX))
            .map(|_| {
                let practice = zipf.draw(&mut random);
                sizes[practice] += 1;
                (practice, sizes[practice] - 1)
            })
            .collect();
        Load::of(patients, first_visit_at)
    }

    /// These patients: of each, practice and number within it.
    pub fn of(patients: Vec<(usize, usize)>, first_visit_at: Timestamp) -> Load {
        let chart = |&(practice, number): &(usize, usize)| {
            people::chart(&practice_id(practice), &people::patient(practice, number))
        };
        Load { charts: patients.iter().map(chart).collect(), patients, first_visit_at }
    }

    /// Bookings `from` to before `end`, `per_second` of them, all at once where that is none.
    pub fn publications(&self, from: usize, end: usize, per_second: Option<f64>) -> Vec<Publication> {
        let at_ms = |number: usize| {
            per_second.map_or(0, |per_second| ((number - from) as f64 * 1_000.0 / per_second) as i64)
        };
        (from..end).map(|number| self.publication(number, at_ms(number))).collect()
    }

    fn publication(&self, number: usize, at_ms: i64) -> Publication {
        let chart = number % self.patients.len();
        let (practice, patient) = self.patients[chart];
        let event = AppointmentRequested {
            event_id: format!("ev-{number:07}").into(),
            booking_id: BookingId::from(format!("bk-{number:07}")),
            practice_id: PracticeId::from(practice_id(practice)),
            location_id: format!("loc-{practice:03}").into(),
            version: 1,
            status: RequestedStatus::Scheduled,
            requested_at: Timestamp(at_ms),
            source: Source::Live,
            patient: people::patient(practice, patient),
            visit: RequestedVisit {
                start: self.first_visit_at.plus_ms((number % QUARTERS) as i64 * 900_000),
                time_zone: "America/Chicago".into(),
                duration_minutes: 30,
                provider_id: format!("dr-{practice:03}-{}", number % 4).into(),
                operatory_id: None,
                procedure_codes: vec!["D0120".to_owned()],
                note: None,
            },
        };
        let scenario = Scenario::Known(chart);
        Publication { at_ms, key: practice_id(practice), event, scenario, expected: Expected::Synced }
    }

    /// The requests that the worker would make of bookings `from` to before `end`, byte for byte.
    pub fn requests(
        &self,
        from: usize,
        end: usize,
        chart_ids: &[String],
        now: Timestamp,
    ) -> anyhow::Result<Vec<WireRequest>> {
        let request = |number: usize| {
            let booking = self.publication(number, now.0).event.into_booking(now);
            let booking =
                booking.map_err(|why| anyhow::anyhow!("the benchmark's bookings are invalid: {why}"))?;
            let patient = HealthFlowPatientId(chart_ids[number % self.patients.len()].as_str().into());
            let idempotency_key = appointment_key(&booking.key, 0);
            let content = AppointmentContent::wanted(&booking, patient);
            Ok(encode(&Request::CreateAppointment { content, idempotency_key }))
        };
        (from..end).map(request).collect()
    }
}
