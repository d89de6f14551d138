//! What `review show --reveal` prints, for the eyes of whoever decides: the booking's values, and those of a chart beside them.
//! Pure, so that every line has a test.

use super::lines::agreement;
use super::reveal::Chart;
use healthflow_core::booking::Sex;
use healthflow_core::event::audit::AuditRecord;
use healthflow_core::event::requested::{AppointmentRequested, RequestedPatient};

/// The heads of the columns beside a chart.
const COLUMNS: [&str; 4] = ["FIELD", "BOOKING", "CHART", "LEVEL"];
/// A chart's values are shown to so many characters.
const VALUE_CHARS_MAX: usize = 200;
const NO_VALUE: &str = "-";

/// Who looks, and the booking as DentScheduler sent it.
pub(super) fn booking(record: &AuditRecord, event: &AppointmentRequested) -> Vec<String> {
    let patient = &event.patient;
    let mut rows: Vec<[String; 2]> = values(patient).map(|(field, value)| [field.to_owned(), value]).to_vec();
    rows.push(["patient_id".into(), shown(patient.patient_id.reveal().as_str())]);
    let visit = format!("{} with {}", event.visit.start, shown(&event.visit.provider_id));
    rows.push(["visit".into(), visit]);
    let mut lines = vec![
        format!("revealed to {}; {} in appointments.audit says so", shown(&record.by), record.audit_id),
        "booking:".to_owned(),
    ];
    lines.extend(aligned(&rows));
    lines
}

/// A chart beside the booking's patient, field by field.
pub(super) fn chart(id: &str, chart: &Chart, patient: &RequestedPatient) -> Vec<String> {
    let id = shown(id);
    let (compared, fields) = match chart {
        Chart::Read(compared, fields) => (compared, fields),
        Chart::Gone => return vec![format!("{id}: gone; HealthFlow has no such patient in this practice")],
        Chart::Failed(why) => return vec![format!("{id}: {why}")],
    };
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(values(patient).map(|(field, ours)| {
        let level = compared.iter().find(|one| one.field == field).map(agreement).unwrap_or_default();
        let theirs = fields.reveal()[field].as_str().filter(|text| !text.is_empty());
        [field.to_owned(), ours, theirs.map_or_else(|| NO_VALUE.to_owned(), shown), level]
    }));
    let mut lines = vec![format!("{id}:")];
    lines.extend(aligned(&rows));
    lines
}

/// What a person compares, as DentScheduler wrote it.
fn values(patient: &RequestedPatient) -> [(&'static str, String); 7] {
    let sex = patient.sex.map(|sex| match sex {
        Sex::Female => "female",
        Sex::Male => "male",
        Sex::Other => "other",
        Sex::Unknown => "unknown",
    });
    let phone = patient.phone.as_ref().map(|text| text.reveal().as_str());
    let email = patient.email.as_ref().map(|text| text.reveal().as_str());
    [
        ("given_name", Some(patient.given_name.reveal().as_str())),
        ("family_name", Some(patient.family_name.reveal().as_str())),
        ("date_of_birth", Some(patient.date_of_birth.reveal().as_str())),
        ("postal_code", Some(patient.postal_code.reveal().as_str())),
        ("sex", sex),
        ("phone", phone),
        ("email", email),
    ]
    .map(|(field, value)| {
        let value = value.filter(|text| !text.is_empty());
        (field, value.map_or_else(|| NO_VALUE.to_owned(), shown))
    })
}

/// Without what a terminal would obey: control characters, and those that turn the direction of writing.
fn shown(text: &str) -> String {
    let is_obeyed =
        |one: char| one.is_control() || matches!(one, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let seen = |one| if is_obeyed(one) { char::REPLACEMENT_CHARACTER } else { one };
    text.chars().take(VALUE_CHARS_MAX).map(seen).collect()
}

/// The rows, with as much space as their columns need.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use healthflow_core::event::audit::AuditAction;
    use healthflow_core::event::review::{FieldEvidence, Level};
    use healthflow_core::time::Timestamp;
    use serde_json::json;

    fn event() -> AppointmentRequested {
        let event = json!({
            "event_id": "e-1", "booking_id": "b-1", "practice_id": "practice-1", "location_id": "l-1", "version": 3,
            "status": "SCHEDULED", "requested_at": 0, "source": "LIVE",
            "patient": {"patient_id": "p-1", "healthflow_patient_id": null, "given_name": "Zoë",
                        "family_name": "Lopez", "date_of_birth": "1987-04-21", "postal_code": "60614", "phone": null,
                        "email": "zoe@example.org", "sex": "FEMALE"},
            "visit": {"start": 1_772_465_400_000_i64, "time_zone": "America/Chicago", "duration_minutes": 30,
                      "provider_id": "dr-1", "operatory_id": null, "procedure_codes": [], "note": null},
        });
        serde_json::from_value(event).expect("an event of the schema")
    }

    fn chart_of(fields: serde_json::Value) -> Chart {
        let level = |field: &str, level, weight| FieldEvidence { field: field.into(), level, weight };
        let compared = vec![
            level("given_name", Level::Similar, None),
            level("date_of_birth", Level::Differs, Some(-4.25)),
            level("sex", Level::Missing, None),
        ];
        Chart::Read(compared, fields.into())
    }

    #[test]
    fn a_booking_is_shown_to_whom_the_audit_names() {
        let record = AuditRecord {
            audit_id: "a-1".into(),
            action: AuditAction::Reveal,
            practice_id: "practice-1".into(),
            booking_id: "b-1".into(),
            version: 3,
            generation: 1,
            healthflow_patient_ids: Vec::new(),
            by: "frontdesk-2".into(),
            why: "to decide".into(),
            at: Timestamp(0),
        };
        let expected = [
            "revealed to frontdesk-2; a-1 in appointments.audit says so",
            "booking:",
            "  given_name     Zoë",
            "  family_name    Lopez",
            "  date_of_birth  1987-04-21",
            "  postal_code    60614",
            "  sex            female",
            "  phone          -",
            "  email          zoe@example.org",
            "  patient_id     p-1",
            "  visit          2026-03-02T15:30:00Z with dr-1",
        ];
        assert_eq!(booking(&record, &event()), expected);
    }

    #[test]
    fn a_chart_stands_beside_the_booking_with_levels() {
        let chart_fields = json!({"given_name": "Zoé", "family_name": "", "date_of_birth": "1987-04-12",
                                  "postal_code": "60614\u{1b}[2J", "notes": "of somebody else's business"});
        let expected = [
            "hf-1:",
            "  FIELD          BOOKING          CHART       LEVEL",
            "  given_name     Zoë              Zoé         SIMILAR",
            "  family_name    Lopez            -",
            "  date_of_birth  1987-04-21       1987-04-12  DIFFERS (-4.2)",
            "  postal_code    60614            60614\u{fffd}[2J",
            "  sex            female           -           MISSING",
            "  phone          -                -",
            "  email          zoe@example.org  -",
        ];
        assert_eq!(chart("hf-1", &chart_of(chart_fields), &event().patient), expected);
    }

    #[test]
    fn a_chart_that_cannot_be_shown_is_one_line() {
        let patient = event().patient;
        let gone = "hf-1: gone; HealthFlow has no such patient in this practice";
        assert_eq!(chart("hf-1", &Chart::Gone, &patient), [gone]);
        assert_eq!(chart("hf-1", &Chart::Failed("it is away"), &patient), ["hf-1: it is away"]);
    }
}
