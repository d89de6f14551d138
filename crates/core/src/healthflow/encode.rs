//! A request as HTTP: the only place that knows how HealthFlow spells what we ask. The spelling is fixed by
//! `schemas/healthflow.openapi.yaml`. Equal requests become equal bytes: an idempotency key refuses other ones (W5).

use std::fmt::Write;

use serde::Serialize;

use crate::booking::{BookingStatus, Sex};
use crate::healthflow::wire::{Method, WireRequest};
use crate::healthflow::{AppointmentContent, AppointmentId, PatientContent, Request, Sought};
use crate::patient::search::Pass;
use crate::time::Timestamp;

/// The HTTP request for `request`, relative to the base URL, without credentials. Names, dates of birth and our patient ids
/// are only in bodies, never in a path or query. HealthFlow's own id of a patient is in one path, that of reading a chart.
pub fn encode(request: &Request) -> WireRequest {
    match request {
        Request::SearchPatients { practice, pass, cursor } => {
            let body = SearchBody::new(practice.as_str(), pass, cursor.as_deref());
            write(Method::Post, "/patients/search".into(), None, &body)
        }
        Request::CreatePatient { content, idempotency_key } => {
            write(Method::Post, "/patients".into(), Some(idempotency_key), &PatientBody::new(content))
        }
        Request::FindAppointment { practice, sought, cursor } => {
            let mut path = format!("/appointments?practice_id={}", percent_encoded(practice.as_str()));
            let (name, text) = match sought {
                Sought::Reference(booking) => ("external_id", booking.to_string()),
                // Only by start: a URL must not contain HealthFlow's id of a patient either.
                Sought::Slot(slot) => ("start", slot.start.to_string()),
            };
            let cursor = cursor.as_deref().map(|cursor| ("cursor", cursor.to_owned()));
            for (name, text) in [Some((name, text)), cursor].into_iter().flatten() {
                path.push_str(&format!("&{name}={}", percent_encoded(&text)));
            }
            get(path)
        }
        Request::CreateAppointment { content, idempotency_key } => {
            write(Method::Post, "/appointments".into(), Some(idempotency_key), &AppointmentBody::new(content))
        }
        Request::UpdateAppointment { id, content, if_match } => {
            let if_match = if_match.as_ref().map(|revision| format!("\"{revision}\""));
            let put = write(Method::Put, appointment_path(id), None, &AppointmentBody::new(content));
            WireRequest { if_match, ..put }
        }
        Request::ReadAppointment { id } => get(appointment_path(id)),
        Request::ReadPatient { id, .. } => get(format!("/patient/{}", percent_encoded(id.as_str()))),
    }
}

fn appointment_path(id: &AppointmentId) -> String {
    format!("/appointments/{}", percent_encoded(id.as_str()))
}

fn get(path_and_query: String) -> WireRequest {
    WireRequest { method: Method::Get, path_and_query, idempotency_key: None, if_match: None, body: None }
}

fn write(method: Method, path_and_query: String, key: Option<&String>, body: &impl Serialize) -> WireRequest {
    let body = serde_json::to_vec(body).expect("structs of text and numbers always become JSON");
    WireRequest { method, path_and_query, idempotency_key: key.cloned(), if_match: None, body: Some(body) }
}

#[derive(Default, Serialize)]
struct SearchBody<'a> {
    practice_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_of_birth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

impl<'a> SearchBody<'a> {
    fn new(practice_id: &'a str, pass: &'a Pass, cursor: Option<&'a str>) -> Self {
        let mut body = SearchBody { practice_id, cursor, ..SearchBody::default() };
        match pass {
            Pass::Reference(patient) => body.external_id = Some(patient.as_str()),
            Pass::DateOfBirth(date) => body.date_of_birth = Some(date.reveal().to_string()),
            Pass::Names(given, family) => {
                body.given_name = Some(given.reveal());
                body.family_name = Some(family.reveal());
            }
            Pass::FamilyNameAndPostalCode(family, code) => {
                body.family_name = Some(family.reveal());
                body.postal_code = Some(code.reveal());
            }
            Pass::GivenNameAndPostalCode(given, code) => {
                body.given_name = Some(given.reveal());
                body.postal_code = Some(code.reveal());
            }
        }
        body
    }
}

#[derive(Serialize)]
struct PatientBody<'a> {
    practice_id: &'a str,
    external_id: &'a str,
    given_name: &'a str,
    family_name: &'a str,
    date_of_birth: String,
    postal_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sex: Option<&'static str>,
}

impl<'a> PatientBody<'a> {
    fn new(content: &'a PatientContent) -> Self {
        let patient = &content.patient;
        PatientBody {
            practice_id: content.practice.as_str(),
            external_id: patient.id.as_str(),
            given_name: patient.given_name.reveal(),
            family_name: patient.family_name.reveal(),
            date_of_birth: patient.date_of_birth.reveal().to_string(),
            postal_code: patient.postal_code.reveal(),
            phone: patient.phone.as_ref().map(|phone| phone.reveal().as_str()),
            email: patient.email.as_ref().map(|email| email.reveal().as_str()),
            sex: patient.sex.map(|sex| match sex {
                Sex::Female => "female",
                Sex::Male => "male",
                Sex::Other => "other",
                Sex::Unknown => "unknown",
            }),
        }
    }
}

#[derive(Serialize)]
struct AppointmentBody<'a> {
    practice_id: &'a str,
    external_id: &'a str,
    patient_id: &'a str,
    location_id: &'a str,
    status: &'static str,
    start: String,
    time_zone: &'a str,
    duration_minutes: u32,
    provider_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operatory_id: Option<&'a str>,
    procedure_codes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

impl<'a> AppointmentBody<'a> {
    fn new(content: &'a AppointmentContent) -> Self {
        let visit = &content.visit;
        AppointmentBody {
            practice_id: content.practice.as_str(),
            external_id: content.booking.as_str(),
            patient_id: content.patient.as_str(),
            location_id: &content.location_id,
            status: match content.status {
                BookingStatus::Scheduled => "scheduled",
                BookingStatus::Cancelled => "cancelled",
            },
            start: local_time(visit.start, &visit.time_zone),
            time_zone: &visit.time_zone,
            duration_minutes: visit.duration_minutes,
            provider_id: &visit.provider_id,
            operatory_id: visit.operatory_id.as_deref(),
            procedure_codes: &visit.procedure_codes,
            note: visit.note.as_ref().map(|note| note.reveal().as_str()),
        }
    }
}

/// `start` on the wall clock of `time_zone`, RFC 3339 with the offset that holds at that instant. The start is an
/// instant, so neither the hour that a clock skips nor the one that it shows twice can be meant wrongly. A zone that
/// the bundled database does not know (refused earlier by `booking::check`) is written in UTC: the same instant.
fn local_time(start: Timestamp, time_zone: &str) -> String {
    let Ok(instant) = jiff::Timestamp::from_millisecond(start.0) else { return start.to_string() };
    match jiff::tz::TimeZone::get(time_zone) {
        Ok(zone) => instant.display_with_offset(zone.to_offset(instant)).to_string(),
        Err(_) => instant.to_string(),
    }
}

/// `text` with everything but RFC 3986's unreserved characters percent-encoded: safe in a path segment and a query.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
