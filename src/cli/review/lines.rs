//! What `review` prints: pure, so that every line has a test. Ids, codes, levels and moments only, nothing about a patient.

use serde_json::{Value, json};

use crate::kafka_admin::decided::Became;
use crate::kafka_admin::reviews::{Reviews, Waiting, verdicts_of};
use healthflow_core::event::decision::VerdictSymbol;
use healthflow_core::event::result::ResultOutcome;
use healthflow_core::event::review::{CandidateEvidence, FieldEvidence, Level};
use healthflow_core::time::{DAY_MS, Timestamp};

/// The heads of the columns of a list.
const COLUMNS: [&str; 8] =
    ["PRACTICE", "BOOKING", "VERSION", "GENERATION", "REASON", "WAITS", "VISIT", "BEHIND"];
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A list as a table, with as much space as its columns need.
pub(super) fn table(rows: &[&Waiting], all: &Reviews, now: Timestamp) -> Vec<String> {
    let cells = |one: &&Waiting| {
        [
            one.key.practice.to_string(),
            one.key.booking.to_string(),
            one.version.to_string(),
            one.generation.to_string(),
            one.reason.to_string(),
            waited(now.0 - one.since.0),
            one.visit_start.to_string(),
            match &one.waits_for {
                Some(holder) => format!("of {holder}"),
                None => all.behind(&one.key).count().to_string(),
            },
        ]
    };
    let rows: Vec<[String; 8]> =
        std::iter::once(COLUMNS.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// One version of a list as JSON.
pub(super) fn json(one: &Waiting, all: &Reviews) -> Value {
    json!({
        "practice_id": one.key.practice.as_str(),
        "booking_id": one.key.booking.as_str(),
        "version": one.version,
        "generation": one.generation,
        "reason": &*one.reason,
        "since": one.since.to_string(),
        "visit_start": one.visit_start.to_string(),
        "waits_for": one.waits_for.as_ref().map(|holder| holder.as_str()),
        "behind": all.behind(&one.key).count(),
        "verdicts": codes(one),
    })
}

/// A version with its question, in full, as JSON.
pub(super) fn question_json(one: &Waiting, all: &Reviews) -> Value {
    let field = |field: &FieldEvidence| json!({"field": field.field, "agreement": agreement(field)});
    let candidate = |of: &CandidateEvidence| {
        let fields: Vec<Value> = of.fields.iter().map(field).collect();
        json!({"healthflow_patient_id": of.healthflow_patient_id, "fields": fields})
    };
    let mut object = json(one, all);
    object["candidates"] = one.candidates.iter().map(candidate).collect();
    object
}

/// How long something waits, in the largest unit that is not zero.
pub(super) fn waited(ms: i64) -> String {
    match ms.max(0) {
        ms if ms >= DAY_MS => format!("{} d", ms / DAY_MS),
        ms if ms >= HOUR_MS => format!("{} h", ms / HOUR_MS),
        ms => format!("{} min", ms / MINUTE_MS),
    }
}

/// A version with its question, in full.
pub(super) fn question(one: &Waiting, all: &Reviews, now: Timestamp) -> Vec<String> {
    let waits = waited(now.0 - one.since.0);
    let mut lines = vec![format!(
        "{} version {}, generation {}: {}, waits for {waits}, visit at {}",
        one.key, one.version, one.generation, one.reason, one.visit_start
    )];
    if let Some(holder) = &one.waits_for {
        lines.push(format!("it waits behind the review of {holder}; decide that one"));
        return lines;
    }
    if one.candidates.is_empty() {
        lines.push("candidates: none; docs/reasons.md says under the reason where to look".to_owned());
    } else {
        lines.push("candidates:".to_owned());
        lines.extend(one.candidates.iter().map(candidate));
    }
    let behind: Vec<String> = all
        .behind(&one.key)
        .map(|other| format!("{} version {}", other.key.booking, other.version))
        .collect();
    let behind = if behind.is_empty() { "nobody".to_owned() } else { behind.join(", ") };
    lines.push(format!("behind it: {behind}"));
    lines.push(format!(
        "verdicts: {}",
        if codes(one).is_empty() {
            "none that this version of the program knows; use the newer one that wrote the review".to_owned()
        } else {
            codes(one).join(", ")
        }
    ));
    lines
}

/// The verdicts that end it.
pub(super) fn codes(one: &Waiting) -> Vec<&'static str> {
    let verdicts = if one.waits_for.is_some() { &[] } else { verdicts_of(&one.reason) };
    verdicts.iter().map(|verdict: &VerdictSymbol| verdict.code()).collect()
}

fn candidate(one: &CandidateEvidence) -> String {
    let id = one.healthflow_patient_id.as_deref().unwrap_or("a creation of ours under way");
    format!("  {id}: {}", one.fields.iter().map(field).collect::<Vec<_>>().join(", "))
}

fn field(one: &FieldEvidence) -> String {
    format!("{} {}", one.field, agreement(one))
}

/// How far a field agrees, with the weight that this has if the decision weighs.
pub(super) fn agreement(FieldEvidence { level, weight, .. }: &FieldEvidence) -> String {
    let level = match level {
        Level::Equal => "EQUAL",
        Level::Similar => "SIMILAR",
        Level::Differs => "DIFFERS",
        Level::Missing => "MISSING",
        Level::Unknown => "UNKNOWN",
    };
    match weight {
        Some(weight) => format!("{level} ({weight:+.1})"),
        None => level.to_owned(),
    }
}

/// What became of a decision, in a line; the error is one that the worker refused.
pub(super) fn became(of: &Waiting, decision_id: &str, became: &Became) -> Result<String, String> {
    let what = format!("{} version {}", of.key, of.version);
    let show = format!("`healthflow-sync review show {} {}`", of.key.practice, of.key.booking);
    match became {
        Became::Ended { outcome, reason, appointment_id } => {
            let outcome = outcome_code(*outcome);
            let reason = reason.as_deref().map(|reason| format!(", {reason}")).unwrap_or_default();
            let id = appointment_id.as_deref().map(|id| format!(", appointment {id}")).unwrap_or_default();
            Ok(format!("{what}: {outcome}{reason}{id}"))
        }
        Became::AskedAgain { generation, reason } => {
            Ok(format!("{what} is in question again: {reason}, generation {generation}; read it with {show}"))
        }
        Became::GoesOn => Ok(format!(
            "{what} has left review and is being tried; its result follows in appointments.synced or appointments.failed"
        )),
        Became::Refused { reason, detail } => Err(format!(
            "the worker refused decision {decision_id} about {what} ({reason}): {detail}; read the review with {show}"
        )),
    }
}

fn outcome_code(outcome: ResultOutcome) -> &'static str {
    match outcome {
        ResultOutcome::Created => "CREATED",
        ResultOutcome::Updated => "UPDATED",
        ResultOutcome::Cancelled => "CANCELLED",
        ResultOutcome::Unchanged => "UNCHANGED",
        ResultOutcome::Superseded => "SUPERSEDED",
        ResultOutcome::Review => "REVIEW",
        _ => "FAILED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka_admin::reviews::tests::{reviews, waiting};

    const NOW: Timestamp = Timestamp(1_767_600_000_000 + 3 * HOUR_MS);

    #[test]
    fn a_list_is_a_table_that_says_who_waits_behind() {
        let all = reviews(vec![waiting("b-1", 2, None), waiting("b-22", 1, Some("b-1"))]);
        let rows: Vec<&Waiting> = all.waiting.iter().collect();
        let expected = [
            "PRACTICE    BOOKING  VERSION  GENERATION  REASON             WAITS  VISIT                     BEHIND",
            "practice-1  b-1      2        1           AMBIGUOUS_PATIENT  3 h    2026-01-06T11:46:40.002Z  1",
            "practice-1  b-22     1        1           BEHIND_REVIEW      3 h    2026-01-06T11:46:40.001Z  of b-1",
        ];
        assert_eq!(table(&rows, &all, NOW), expected);
        let of_json = json(rows[0], &all);
        assert_eq!((&of_json["behind"], &of_json["waits_for"]), (&json!(1), &Value::Null));
        assert_eq!(of_json["verdicts"], json!(["LINK", "CREATE", "REJECT"]));
        assert_eq!(json(rows[1], &all)["verdicts"], json!([]), "nothing is asked about what is behind");
    }

    #[test]
    fn a_wait_is_told_in_its_largest_unit() {
        let told = [-5, 59 * MINUTE_MS, HOUR_MS, 47 * HOUR_MS, 2 * DAY_MS].map(waited);
        assert_eq!(told, ["0 min", "59 min", "1 h", "1 d", "2 d"]);
    }

    #[test]
    fn a_question_shows_levels_and_weights_and_who_is_behind() {
        let level = |field: &str, level, weight| FieldEvidence { field: field.into(), level, weight };
        let fields = vec![
            level("given_name", Level::Similar, None),
            level("date_of_birth", Level::Differs, Some(-4.25)),
        ];
        let mut asked = waiting("b-1", 2, None);
        asked.candidates = vec![CandidateEvidence { healthflow_patient_id: Some("hf-1".into()), fields }];
        let all = reviews(vec![asked, waiting("b-2", 1, Some("b-1"))]);
        let lines = question(&all.waiting[0], &all, NOW);
        let expected = [
            "practice-1/b-1 version 2, generation 1: AMBIGUOUS_PATIENT, waits for 3 h, visit at 2026-01-06T11:46:40.002Z",
            "candidates:",
            "  hf-1: given_name SIMILAR, date_of_birth DIFFERS (-4.2)",
            "behind it: b-2 version 1",
            "verdicts: LINK, CREATE, REJECT",
        ];
        assert_eq!(lines, expected);
        assert_eq!(
            question(&all.waiting[1], &all, NOW)[1],
            "it waits behind the review of b-1; decide that one"
        );
    }

    #[test]
    fn what_became_of_a_decision_is_one_line() {
        let of = waiting("b-1", 2, None);
        let ended = |outcome, reason: Option<&str>, id: Option<&str>| Became::Ended {
            outcome,
            reason: reason.map(Into::into),
            appointment_id: id.map(Into::into),
        };
        let cases = [
            (ended(ResultOutcome::Created, None, Some("hf-9")), "CREATED, appointment hf-9"),
            (ended(ResultOutcome::Failed, Some("REJECTED_IN_REVIEW"), None), "FAILED, REJECTED_IN_REVIEW"),
        ];
        for (what, expected) in cases {
            assert_eq!(became(&of, "d-1", &what), Ok(format!("practice-1/b-1 version 2: {expected}")));
        }
        let refused = Became::Refused { reason: "DECISION_STALE".into(), detail: "it is too late".into() };
        let line = became(&of, "d-1", &refused).expect_err("it is refused");
        assert!(line.contains("decision d-1") && line.contains("review show practice-1 b-1"), "{line}");
    }
}
