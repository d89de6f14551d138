//! What HealthFlow refuses in a body: the contract's rules, one code each.

use serde_json::Value;

use super::shapes::{AppointmentBody, FieldError, PatientBody};
use healthflow_core::healthflow::wire::WireRequest;
use healthflow_core::time::{DAY_MS, Timestamp};

const TEXT_CHARS_MAX: usize = 200;
const NOTE_CHARS_MAX: usize = 4_000;
const PROCEDURE_CODES_MAX: usize = 100;
const PROCEDURE_CODE_CHARS_MAX: usize = 32;
const DURATION_MINUTES_MAX: u32 = 24 * 60;

/// Collects broken rules.
#[derive(Default)]
struct Broken(Vec<FieldError>);

impl Broken {
    fn add(&mut self, field: &'static str, rule: &'static str) {
        self.0.push(FieldError { field, rule });
    }

    fn required(&mut self, field: &'static str, text: &str) {
        if text.trim().is_empty() {
            self.add(field, "required");
        } else {
            self.optional(field, Some(text));
        }
    }

    fn optional(&mut self, field: &'static str, text: Option<&str>) {
        if text.is_some_and(|text| text.chars().count() > TEXT_CHARS_MAX) {
            self.add(field, "too_long");
        }
    }
}

/// Whether a text of `request` contains a NUL. PostgreSQL cannot store one, so a server on top of it answers 500.
pub(super) fn holds_a_nul(request: &WireRequest) -> bool {
    fn any(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(any),
            Value::Object(fields) => fields.values().any(any),
            _ => false,
        }
    }
    // JSON can spell it in only one way, and hardly any body does.
    let body = request.body.as_deref().filter(|body| body.windows(6).any(|part| part == br"\u0000"));
    request.path_and_query.contains("%00")
        || body.and_then(|body| serde_json::from_slice(body).ok()).is_some_and(|value| any(&value))
}

/// The rules that a patient's body breaks.
pub(super) fn patient(body: &PatientBody, now: Timestamp) -> Vec<FieldError> {
    let mut broken = Broken::default();
    broken.required("practice_id", &body.practice_id);
    broken.required("given_name", &body.given_name);
    broken.required("family_name", &body.family_name);
    broken.required("date_of_birth", &body.date_of_birth);
    broken.required("postal_code", &body.postal_code);
    broken.optional("external_id", body.external_id.as_deref());
    broken.optional("phone", body.phone.as_deref());
    broken.optional("email", body.email.as_deref());
    if !body.date_of_birth.is_empty() {
        match date(&body.date_of_birth) {
            None => broken.add("date_of_birth", "format"),
            Some(born) if is_in_future(born, now) => broken.add("date_of_birth", "in_future"),
            Some(_) => {}
        }
    }
    if body.sex.as_deref().is_some_and(|sex| !["female", "male", "other", "unknown"].contains(&sex)) {
        broken.add("sex", "unknown");
    }
    broken.0
}

/// A date written as `YYYY-MM-DD`, and nothing else.
pub(super) fn date(text: &str) -> Option<jiff::civil::Date> {
    if text.len() == 10 { text.parse().ok() } else { None }
}

fn is_in_future(born: jiff::civil::Date, now: Timestamp) -> bool {
    // A day of grace: a date begins in some zones before it begins in UTC.
    let tomorrow = jiff::Timestamp::from_millisecond(now.plus_ms(DAY_MS).0);
    tomorrow.is_ok_and(|instant| born > jiff::tz::Offset::UTC.to_datetime(instant).date())
}

/// The rules that an appointment's body breaks.
pub(super) fn appointment(body: &AppointmentBody) -> Vec<FieldError> {
    let mut broken = Broken::default();
    broken.required("practice_id", &body.practice_id);
    broken.required("patient_id", &body.patient_id);
    broken.required("location_id", &body.location_id);
    broken.required("provider_id", &body.provider_id);
    broken.required("status", &body.status);
    broken.required("start", &body.start);
    broken.required("time_zone", &body.time_zone);
    broken.optional("external_id", body.external_id.as_deref());
    broken.optional("operatory_id", body.operatory_id.as_deref());
    if !body.status.is_empty() && !["scheduled", "cancelled"].contains(&&*body.status) {
        broken.add("status", "unknown");
    }
    match body.duration_minutes {
        0 => broken.add("duration_minutes", "too_small"),
        minutes if minutes > DURATION_MINUTES_MAX => broken.add("duration_minutes", "too_large"),
        _ => {}
    }
    if body.note.as_ref().is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX) {
        broken.add("note", "too_long");
    }
    let is_code = |code: &String| (1..=PROCEDURE_CODE_CHARS_MAX).contains(&code.chars().count());
    if body.procedure_codes.len() > PROCEDURE_CODES_MAX || !body.procedure_codes.iter().all(is_code) {
        broken.add("procedure_codes", "format");
    }
    if !body.start.is_empty() && !body.time_zone.is_empty() {
        start(body, &mut broken);
    }
    broken.0
}

/// The start must carry the offset that its zone has at that instant: local time without an offset is ambiguous for one
/// hour a year.
fn start(body: &AppointmentBody, broken: &mut Broken) {
    let zone = jiff::tz::TimeZone::get(&body.time_zone);
    if zone.is_err() {
        broken.add("time_zone", "unknown");
    }
    let Some(instant) = instant(&body.start) else { return broken.add("start", "format") };
    let written = jiff::fmt::temporal::Pieces::parse(&body.start).ok().and_then(|p| p.to_numeric_offset());
    if let (Ok(zone), Some(written)) = (zone, written) {
        let at = jiff::Timestamp::from_millisecond(instant.0);
        if at.is_ok_and(|at| zone.to_offset(at) != written) {
            broken.add("start", "offset_mismatch");
        }
    }
}

/// An RFC 3339 instant.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|instant| Timestamp(instant.as_millisecond()))
}
