//! `appointments.requested` and `appointments.backfill`: the record as DentScheduler sends it. It may contain anything;
//! [`AppointmentRequested::into_booking`] accepts only valid bookings.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::check::{self, Invalid};
use crate::booking::texts;
use crate::booking::{
    Booking, BookingId, BookingKey, BookingStatus, Patient, PatientId, PracticeId, Sex, Source, Visit,
};
use crate::private::Private;
use crate::time::Timestamp;

/// The record, field by field as in `schemas/appointments.requested.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppointmentRequested {
    /// DentScheduler's id of the event.
    pub event_id: Arc<str>,
    /// The booking.
    pub booking_id: BookingId,
    /// The practice.
    pub practice_id: PracticeId,
    /// The practice's location.
    pub location_id: Arc<str>,
    /// Version of the booking.
    pub version: i64,
    /// Whether the visit should take place.
    pub status: RequestedStatus,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// Live or history.
    #[serde(default = "live")]
    pub source: Source,
    /// Who it is for.
    pub patient: RequestedPatient,
    /// What is booked.
    pub visit: RequestedVisit,
}

/// The schema's default, for JSON that leaves it out.
const fn live() -> Source {
    Source::Live
}

/// Status as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Status", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RequestedStatus {
    /// The visit should take place.
    Scheduled,
    /// The visit should not take place.
    Cancelled,
    /// A symbol of a newer schema.
    Unknown,
}

/// The patient as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Patient", deny_unknown_fields)]
pub struct RequestedPatient {
    /// DentScheduler's id.
    pub patient_id: Private<PatientId>,
    /// HealthFlow's id, if known.
    pub healthflow_patient_id: Option<Arc<str>>,
    /// Given name.
    pub given_name: Private<String>,
    /// Family name.
    pub family_name: Private<String>,
    /// Date of birth, `YYYY-MM-DD`.
    pub date_of_birth: Private<String>,
    /// Postal code.
    pub postal_code: Private<String>,
    /// Telephone number.
    pub phone: Option<Private<String>>,
    /// E-mail address.
    pub email: Option<Private<String>>,
    /// Sex.
    pub sex: Option<Sex>,
}

/// The visit as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Visit", deny_unknown_fields)]
pub struct RequestedVisit {
    /// When it starts.
    pub start: Timestamp,
    /// IANA time zone.
    pub time_zone: Arc<str>,
    /// Minutes.
    pub duration_minutes: i32,
    /// The provider.
    pub provider_id: Arc<str>,
    /// The chair.
    pub operatory_id: Option<Arc<str>>,
    /// Procedure codes.
    #[serde(default)]
    pub procedure_codes: Vec<String>,
    /// Free text.
    pub note: Option<Private<String>>,
}

impl AppointmentRequested {
    /// The booking, if it is valid; else the first field that is not and the rule it breaks.
    pub fn into_booking(self, now: Timestamp) -> Result<Booking, Invalid> {
        check::identity(self.practice_id.as_str(), self.booking_id.as_str())?;
        texts::EVENT_ID.check(&self.event_id)?;
        texts::LOCATION_ID.check(&self.location_id)?;
        let version = check::version(self.version)?;
        let status = match self.status {
            RequestedStatus::Scheduled => BookingStatus::Scheduled,
            RequestedStatus::Cancelled => BookingStatus::Cancelled,
            RequestedStatus::Unknown => {
                return Err(Invalid { field: "status", rule: "must be SCHEDULED or CANCELLED" });
            }
        };
        check::instant("requested_at", self.requested_at)?;
        let visit = self.visit.into_visit()?;
        check::start_of(self.source, visit.start, self.requested_at)?;
        let patient = self.patient.into_patient(&visit.time_zone, now)?;
        Ok(Booking {
            event_id: self.event_id,
            key: BookingKey { practice: self.practice_id, booking: self.booking_id },
            location_id: self.location_id,
            version,
            status,
            requested_at: self.requested_at,
            source: self.source,
            patient,
            visit,
        })
    }
}

impl RequestedPatient {
    fn into_patient(self, time_zone: &str, now: Timestamp) -> Result<Patient, Invalid> {
        texts::PATIENT_ID.check(self.patient_id.reveal().as_str())?;
        // A blank field counts as missing: refusing the booking for it would lose a visit.
        let healthflow_patient_id = self.healthflow_patient_id.filter(|id| !id.trim().is_empty());
        let healthflow_patient_id = healthflow_patient_id.map(|id| trimmed(&id));
        if let Some(id) = &healthflow_patient_id {
            check::healthflow_id(id)?;
        }
        texts::GIVEN_NAME.check(self.given_name.reveal())?;
        texts::FAMILY_NAME.check(self.family_name.reveal())?;
        texts::POSTAL_CODE.check(self.postal_code.reveal())?;
        texts::PHONE.check_some(self.phone.as_ref().map(Private::reveal))?;
        texts::EMAIL.check_some(self.email.as_ref().map(Private::reveal))?;
        let date_of_birth = check::date_of_birth(self.date_of_birth.reveal(), time_zone, now)?;
        Ok(Patient {
            id: self.patient_id.reveal().clone(),
            healthflow_patient_id,
            given_name: self.given_name,
            family_name: self.family_name,
            date_of_birth: date_of_birth.into(),
            postal_code: self.postal_code,
            phone: self.phone,
            email: self.email,
            sex: self.sex,
        })
    }
}

impl RequestedVisit {
    fn into_visit(self) -> Result<Visit, Invalid> {
        check::instant("visit.start", self.start)?;
        let duration_minutes = check::duration_minutes(self.duration_minutes)?;
        check::time_zone(&self.time_zone)?;
        texts::PROVIDER_ID.check(&self.provider_id)?;
        let operatory_id = self.operatory_id.filter(|id| !id.trim().is_empty());
        if let Some(id) = &operatory_id {
            texts::OPERATORY_ID.check(id)?;
        }
        check::procedure_codes(&self.procedure_codes)?;
        texts::NOTE.check_some(self.note.as_ref().map(Private::reveal))?;
        Ok(Visit {
            start: self.start,
            duration_minutes,
            time_zone: self.time_zone,
            provider_id: self.provider_id,
            operatory_id,
            procedure_codes: self.procedure_codes,
            note: self.note,
        })
    }
}

/// No id begins or ends with blanks, but typed or padded text may.
fn trimmed(id: &Arc<str>) -> Arc<str> {
    if id.trim().len() == id.len() { id.clone() } else { id.trim().into() }
}

impl From<&Booking> for AppointmentRequested {
    /// The record that [`AppointmentRequested::into_booking`] turns into `booking` again.
    fn from(booking: &Booking) -> Self {
        let (patient, visit) = (&booking.patient, &booking.visit);
        AppointmentRequested {
            event_id: booking.event_id.clone(),
            booking_id: booking.key.booking.clone(),
            practice_id: booking.key.practice.clone(),
            location_id: booking.location_id.clone(),
            version: booking.version.cast_signed(),
            status: match booking.status {
                BookingStatus::Scheduled => RequestedStatus::Scheduled,
                BookingStatus::Cancelled => RequestedStatus::Cancelled,
            },
            requested_at: booking.requested_at,
            source: booking.source,
            patient: RequestedPatient {
                patient_id: patient.id.clone().into(),
                healthflow_patient_id: patient.healthflow_patient_id.clone(),
                given_name: patient.given_name.clone(),
                family_name: patient.family_name.clone(),
                date_of_birth: patient.date_of_birth.reveal().to_string().into(),
                postal_code: patient.postal_code.clone(),
                phone: patient.phone.clone(),
                email: patient.email.clone(),
                sex: patient.sex,
            },
            visit: RequestedVisit {
                start: visit.start,
                time_zone: visit.time_zone.clone(),
                duration_minutes: visit.duration_minutes.cast_signed(),
                provider_id: visit.provider_id.clone(),
                operatory_id: visit.operatory_id.clone(),
                procedure_codes: visit.procedure_codes.clone(),
                note: visit.note.clone(),
            },
        }
    }
}
