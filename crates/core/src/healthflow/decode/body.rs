//! HealthFlow's JSON bodies as we read them. Unknown fields are ignored, a missing field that we need makes the body
//! unreadable, and only names and codes of an error body get out.

use serde::Deserialize;
use serde_json::Value;

use super::Answer;
use crate::appointment::Revision;
use crate::appointment::fingerprint::fingerprint_of;
use crate::booking::{BookingStatus, PracticeId, Sex, Visit};
use crate::healthflow::{
    AppointmentFound, AppointmentId, AppointmentRead, Request, Sought, WrittenAppointment,
};
use crate::patient::placeholder::birthday;
use crate::patient::{Candidate, HealthFlowPatientId, Name, Person, postal_code};
use crate::private::Private;
use crate::time::Timestamp;

/// Longer than any id of HealthFlow; anything longer is not an id.
const ID_CHARS_MAX: usize = 200;

/// The field names of the contract. Any other text may quote a value, so it is not repeated.
const FIELDS: [&str; 20] = [
    "practice_id",
    "external_id",
    "patient_id",
    "location_id",
    "status",
    "start",
    "time_zone",
    "duration_minutes",
    "provider_id",
    "operatory_id",
    "procedure_codes",
    "note",
    "given_name",
    "family_name",
    "date_of_birth",
    "postal_code",
    "phone",
    "email",
    "sex",
    "cursor",
];

/// The rule codes of the contract.
const RULES: [&str; 9] = [
    "required",
    "format",
    "too_long",
    "too_small",
    "too_large",
    "unknown",
    "immutable",
    "in_future",
    "offset_mismatch",
];

/// The error codes of the contract.
const CODES: [&str; 13] = [
    "INVALID",
    "MALFORMED",
    "UNAUTHORISED",
    "FORBIDDEN",
    "PATIENT_NOT_FOUND",
    "APPOINTMENT_NOT_FOUND",
    "ALREADY_EXISTS",
    "SLOT_TAKEN",
    "KEY_REUSED",
    "CHANGED",
    "TOO_MANY_REQUESTS",
    "UNAVAILABLE",
    "INTERNAL",
];

/// How many field errors are kept.
const FIELDS_MAX: usize = 16;

/// The good answer to `request` in `body`; none if the body does not contain it.
pub(super) fn answer(request: &Request, body: &[u8]) -> Option<Answer> {
    match request {
        Request::SearchPatients { practice, .. } => patients(practice, body),
        Request::CreatePatient { .. } => Some(Answer::PatientCreated(written(body)?.0.into())),
        Request::FindAppointment { practice, sought, .. } => appointments(practice, sought, body),
        Request::CreateAppointment { .. } => written_appointment(body).map(Answer::AppointmentCreated),
        Request::UpdateAppointment { id, .. } => {
            written_appointment(body).filter(|written| written.id == *id).map(Answer::AppointmentUpdated)
        }
        Request::ReadAppointment { id } => {
            let WrittenAppointment { id: read, revision } = written_appointment(body)?;
            let fingerprint = content_fingerprint(body);
            (read == *id).then_some(Answer::AppointmentRead(AppointmentRead { revision, fingerprint }))
        }
        Request::ReadPatient { practice, id } => patient(practice, id, body),
    }
}

fn patients(practice: &PracticeId, body: &[u8]) -> Option<Answer> {
    let page: PatientPage = serde_json::from_slice(body).ok()?;
    // We ignore a person of another practice, for whatever reason HealthFlow returned them.
    let ours = page.patients.into_iter().filter(|found| {
        found.practice_id.as_deref().is_none_or(|found_practice| found_practice == practice.as_str())
    });
    let found = ours.map(candidate).collect::<Option<Vec<_>>>()?;
    Some(Answer::Patients { found, next_cursor: further(page.next_cursor) })
}

/// Whose chart `id` is. A chart of another practice counts as none.
fn patient(practice: &PracticeId, id: &HealthFlowPatientId, body: &[u8]) -> Option<Answer> {
    let seen: PatientSeen =
        serde_json::from_slice(body).ok().filter(|seen: &PatientSeen| seen.id == id.as_str())?;
    let is_ours = seen.practice_id.as_deref().is_none_or(|of| of == practice.as_str());
    let chart = candidate(seen)?;
    Some(Answer::PatientRead(is_ours.then_some(chart)))
}

fn appointments(practice: &PracticeId, sought: &Sought, body: &[u8]) -> Option<Answer> {
    let page: AppointmentPage = serde_json::from_slice(body).ok()?;
    let ours =
        page.appointments.into_iter().filter(|one| one.practice_id.as_deref() == Some(practice.as_str()));
    let mut found = Vec::new();
    for one in ours {
        if is_sought(&one, sought)? {
            found.push(appointment(one)?);
        }
    }
    Some(Answer::Appointments { found, next_cursor: further(page.next_cursor) })
}

/// Whether `found` is what was sought, for whatever reason HealthFlow returned it; none if it does not say.
fn is_sought(found: &AppointmentSeen, sought: &Sought) -> Option<bool> {
    match sought {
        Sought::Reference(booking) => Some(found.external_id.as_deref() == Some(booking.as_str())),
        Sought::Slot(slot) if found.patient_id == *slot.patient_id => {
            let start: jiff::Timestamp = found.start.as_deref()?.parse().ok()?;
            let provider_id = found.provider_id.as_deref()?;
            Some(start.as_millisecond() == slot.start.0 && provider_id == &*slot.provider_id)
        }
        Sought::Slot(_) => Some(false),
    }
}

fn candidate(found: PatientSeen) -> Option<Candidate> {
    let name = |text: Option<String>| Name::new(text.as_deref().unwrap_or_default());
    Some(Candidate {
        id: Some(HealthFlowPatientId::from(id(found.id)?)),
        external_id: found.external_id.filter(|reference| !reference.is_empty()).map(Into::into),
        person: Person {
            given_name: name(found.given_name),
            family_name: name(found.family_name),
            // An invalid date or a placeholder counts as missing: the chart is still a candidate, for a person to look at.
            date_of_birth: found.date_of_birth.and_then(|date| birthday(date.parse().ok()?)),
            postal_code: postal_code(found.postal_code.as_deref().unwrap_or_default()).into(),
            sex: found.sex.as_ref().and_then(Value::as_str).and_then(sex).map(Private::new),
        },
    })
}

/// The sex that a chart gives. "unknown" gives none, and so does a word that the contract does not have: otherwise every
/// patient of such a HealthFlow would go to review.
fn sex(text: &str) -> Option<Sex> {
    match text.to_ascii_lowercase().as_str() {
        "female" => Some(Sex::Female),
        "male" => Some(Sex::Male),
        "other" => Some(Sex::Other),
        _ => None,
    }
}

fn appointment(found: AppointmentSeen) -> Option<AppointmentFound> {
    Some(AppointmentFound {
        id: AppointmentId::from(id(found.id)?),
        patient: id(found.patient_id)?.into(),
        revision: revision(found.version),
    })
}

/// Id and version of the appointment.
fn written(body: &[u8]) -> Option<(String, Option<Revision>)> {
    let written: Written = serde_json::from_slice(body).ok()?;
    Some((id(written.id)?, revision(written.version)))
}

fn written_appointment(body: &[u8]) -> Option<WrittenAppointment> {
    written(body).map(|(id, revision)| WrittenAppointment { id: id.into(), revision })
}

/// A version, if it can be sent in a header again.
fn revision(version: Option<Value>) -> Option<Revision> {
    let text = match version? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let is_usable = (1..=ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    is_usable.then(|| text.into())
}

/// The fingerprint of the appointment; none if something is missing or could not have been written by us.
fn content_fingerprint(body: &[u8]) -> Option<i64> {
    let seen: ContentSeen = serde_json::from_slice(body).ok()?;
    let start: jiff::Timestamp = seen.start.parse().ok()?;
    let status = match seen.status.as_str() {
        "scheduled" => BookingStatus::Scheduled,
        "cancelled" => BookingStatus::Cancelled,
        _ => return None,
    };
    let visit = Visit {
        start: Timestamp(start.as_millisecond()),
        duration_minutes: seen.duration_minutes,
        time_zone: seen.time_zone.into(),
        provider_id: seen.provider_id.into(),
        operatory_id: seen.operatory_id.map(Into::into),
        procedure_codes: seen.procedure_codes,
        note: seen.note,
    };
    Some(fingerprint_of(&seen.patient_id, &seen.location_id, status, &visit))
}

fn id(text: String) -> Option<String> {
    // "." and ".." would change the path.
    let is_usable = !matches!(text.as_str(), "" | "." | "..") && text.chars().count() <= ID_CHARS_MAX;
    is_usable.then_some(text)
}

/// Where the next page starts; none on the last one.
fn further(next_cursor: Option<String>) -> Option<String> {
    next_cursor.filter(|cursor| !cursor.is_empty())
}

#[derive(Deserialize)]
struct Written {
    id: String,
    version: Option<Value>,
}

#[derive(Deserialize)]
struct PatientPage {
    patients: Vec<PatientSeen>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct PatientSeen {
    id: String,
    practice_id: Option<String>,
    external_id: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    date_of_birth: Option<String>,
    postal_code: Option<String>,
    /// Of any shape: it must not make the page unreadable.
    sex: Option<Value>,
}

#[derive(Deserialize)]
struct AppointmentPage {
    appointments: Vec<AppointmentSeen>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct AppointmentSeen {
    id: String,
    practice_id: Option<String>,
    external_id: Option<String>,
    patient_id: String,
    start: Option<String>,
    provider_id: Option<String>,
    version: Option<Value>,
}

#[derive(Deserialize)]
struct ContentSeen {
    patient_id: String,
    location_id: String,
    status: String,
    start: String,
    time_zone: String,
    duration_minutes: u32,
    provider_id: String,
    operatory_id: Option<String>,
    procedure_codes: Vec<String>,
    note: Option<Private<String>>,
}

/// What we take from an error body.
pub(super) struct ErrorSeen {
    /// HealthFlow's error code.
    pub code: &'static str,
    /// The id of the record that exists already.
    pub existing_id: Option<String>,
    /// `field: rule` for each field named; names and codes only.
    pub fields: Vec<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    existing_id: Option<String>,
    fields: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    field: String,
    rule: String,
}

/// The error in `body`, if it is in the contract's words: a code that the contract names, and the list of fields.
pub(super) fn error(body: &[u8]) -> Option<ErrorSeen> {
    let error: ErrorBody = serde_json::from_slice(body).ok()?;
    let code = known(&error.code, &CODES)?;
    let name = |text: &str, words| known(text, words).unwrap_or("other");
    let fields = error.fields.iter().take(FIELDS_MAX);
    Some(ErrorSeen {
        code,
        existing_id: error.existing_id.and_then(id),
        fields: fields.map(|e| format!("{}: {}", name(&e.field, &FIELDS), name(&e.rule, &RULES))).collect(),
    })
}

/// `text`, if it is one of the contract's `words`.
fn known(text: &str, words: &[&'static str]) -> Option<&'static str> {
    words.iter().find(|word| **word == text).copied()
}
