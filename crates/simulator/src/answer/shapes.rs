//! HealthFlow's JSON as the simulator reads and writes it, written from the contract and not shared with our client.
//! Everything is optional on the way in, so that one answer can name every field that is wrong.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::show::Shown;

/// A patient as stored and answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatientRecord {
    /// HealthFlow's id.
    pub id: Arc<str>,
    /// What was sent.
    #[serde(flatten)]
    pub body: PatientBody,
}

/// An appointment as stored and answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AppointmentRecord {
    /// HealthFlow's id.
    pub id: Arc<str>,
    /// What was sent.
    #[serde(flatten)]
    pub body: AppointmentBody,
}

/// The body of a patient's create or replace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PatientBody {
    /// The practice.
    pub practice_id: Arc<str>,
    /// The caller's reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<Arc<str>>,
    /// Given name.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// Date of birth, `YYYY-MM-DD`.
    pub date_of_birth: String,
    /// Postal code.
    pub postal_code: String,
    /// Telephone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// `female`, `male`, `other` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sex: Option<String>,
}

/// The body of an appointment's create or replace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppointmentBody {
    /// The practice.
    pub practice_id: Arc<str>,
    /// The caller's reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<Arc<str>>,
    /// HealthFlow's id of the patient.
    pub patient_id: Arc<str>,
    /// The practice's location.
    pub location_id: Arc<str>,
    /// `scheduled` or `cancelled`.
    pub status: Arc<str>,
    /// RFC 3339, local time with offset.
    pub start: String,
    /// IANA time zone.
    pub time_zone: Arc<str>,
    /// Minutes.
    pub duration_minutes: u32,
    /// The provider.
    pub provider_id: Arc<str>,
    /// The chair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operatory_id: Option<Arc<str>>,
    /// CDT codes.
    pub procedure_codes: Vec<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The body of a patient search.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SearchBody {
    pub practice_id: String,
    pub external_id: Option<String>,
    pub date_of_birth: Option<String>,
    pub family_name: Option<String>,
    pub given_name: Option<String>,
    pub postal_code: Option<String>,
    pub cursor: Option<String>,
}

/// An error answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct ErrorBody {
    pub code: &'static str,
    pub message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub existing_id: Option<Arc<str>>,
    pub fields: Vec<FieldError>,
}

/// One field of an error answer.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct FieldError {
    pub field: &'static str,
    pub rule: &'static str,
}

/// One page of patients.
#[derive(Serialize)]
pub(super) struct PatientPage<'a> {
    pub patients: Vec<Shown<'a, PatientBody>>,
    pub next_cursor: Option<String>,
}

/// One page of appointments.
#[derive(Serialize)]
pub(super) struct AppointmentPage<'a> {
    pub appointments: Vec<Shown<'a, AppointmentBody>>,
    pub next_cursor: Option<String>,
}
