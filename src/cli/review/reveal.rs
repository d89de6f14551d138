//! `review show --reveal`: shows whoever decides the booking's values beside those of each candidate's chart, which it reads
//! from HealthFlow at that moment. That somebody looks is on record before they see anything; what they see is stored and logged
//! nowhere. Without it people open two other programs, and nobody knows who looked at whom.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde_json::json;

use super::{new_id, revealed};
use crate::cli::Connection;
use crate::cli::output::Printer;
use crate::cli::publish::write;
use crate::http::{Transport, TransportSettings};
use crate::worker::Clock;
use healthflow_core::booking::PracticeId;
use healthflow_core::event::audit::{AuditAction, AuditRecord};
use healthflow_core::event::review::{AppointmentReview, CandidateEvidence, FieldEvidence};
use healthflow_core::healthflow::wire::{TransportFault, WireReply};
use healthflow_core::healthflow::{Answer, Fault, Request, decode, encode};
use healthflow_core::patient::decide::evidence;
use healthflow_core::patient::{HealthFlowPatientId, Person};
use healthflow_core::private::Private;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::AUDIT;

/// Charts that are read unless the command line says otherwise.
const CHARTS_DEFAULT: u16 = 10;
/// Charts that may be asked for: more than a review has evidence of.
const CHARTS_MAX: i64 = 200;

/// Whether values are shown, and to whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Arguments {
    /// Also show the values of the booking and of each candidate's chart; appointments.audit keeps who looked, and why.
    #[arg(long, requires_all = ["by", "why"])]
    reveal: bool,
    /// With --reveal: who looks.
    #[arg(long, value_name = "WHO", requires = "reveal")]
    by: Option<String>,
    /// With --reveal: why, without anything about the patient.
    #[arg(long, value_name = "TEXT", requires = "reveal")]
    why: Option<String>,
    /// With --reveal: read so many charts at most.
    #[arg(
        long, value_name = "N", requires = "reveal", default_value_t = CHARTS_DEFAULT,
        value_parser = clap::value_parser!(u16).range(1..=CHARTS_MAX)
    )]
    charts: u16,
}

/// Somebody who is to see values.
#[derive(Clone, Copy, Debug)]
pub struct Looking<'a> {
    by: &'a str,
    why: &'a str,
    charts: usize,
}

/// What HealthFlow has for one candidate.
#[derive(Debug, PartialEq)]
pub(super) enum Chart {
    /// A chart: how it compares now, and its fields as HealthFlow writes them.
    Read(Vec<FieldEvidence>, Private<serde_json::Value>),
    /// None of this practice has that id any more.
    Gone,
    /// HealthFlow did not say.
    Failed(&'static str),
}

impl Arguments {
    /// Who is to see values; none if nobody asked to.
    pub fn looking(&self) -> Option<Looking<'_>> {
        let (by, why) = (self.by.as_deref()?, self.why.as_deref()?);
        self.reveal.then_some(Looking { by, why, charts: self.charts.into() })
    }
}

/// Writes the audit record, and then shows the values: nothing if the record is not written.
pub async fn reveal(
    connection: &Connection,
    healthflow: &TransportSettings,
    review: &AppointmentReview,
    looking: &Looking<'_>,
    clock: Clock,
    out: &mut Printer<'_>,
) -> anyhow::Result<()> {
    let transport = Transport::new(healthflow)?;
    let record = audit_record(review, looking, clock.now())?;
    let written = write(connection, AUDIT, &record.practice_id, &record).await;
    written.context("nothing is revealed, for the look at it is not on record")?;
    let lines = revealed::booking(&record, &review.event);
    out.items(&lines, &json!({"audit_id": &*record.audit_id, "booking": review.event}))?;
    let booking = review.event.clone().into_booking(clock.now());
    let person = booking.as_ref().ok().map(|booking| Person::from(&booking.patient));
    for id in &record.healthflow_patient_ids {
        // One call at a time: the workers' bookings need HealthFlow's limit.
        let chart = read(&transport, &record.practice_id, id, person.as_ref(), clock).await;
        let lines = revealed::chart(id, &chart, &review.event.patient);
        out.items(&lines, &json!({"healthflow_patient_id": &**id, "lines": lines}))?;
    }
    let left = review.evidence.iter().filter(|one| one.healthflow_patient_id.is_some()).count()
        - record.healthflow_patient_ids.len();
    if left > 0 {
        out.line(format!("{left} more candidates; --charts N reads more"))?;
    }
    Ok(())
}

/// That somebody is about to see this review.
fn audit_record(
    review: &AppointmentReview,
    looking: &Looking<'_>,
    now: Timestamp,
) -> anyhow::Result<AuditRecord> {
    let event = &review.event;
    let ids = review.evidence.iter().filter_map(|one| one.healthflow_patient_id.clone());
    let record = AuditRecord {
        audit_id: new_id().into(),
        action: AuditAction::Reveal,
        practice_id: event.practice_id.clone(),
        booking_id: event.booking_id.clone(),
        version: event.version,
        generation: review.result.generation.into(),
        healthflow_patient_ids: ids.take(looking.charts).collect(),
        by: Arc::from(looking.by),
        why: Arc::from(looking.why),
        at: now,
    };
    record.check().map_err(|why| anyhow!("{why}; nothing is revealed"))?;
    Ok(record)
}

/// Reads a chart, once.
async fn read(
    transport: &Transport,
    practice: &PracticeId,
    id: &str,
    person: Option<&Person>,
    clock: Clock,
) -> Chart {
    let id = HealthFlowPatientId(id.into());
    let request = Request::ReadPatient { practice: practice.clone(), id };
    let received = transport.send(encode(&request), || true).await.map_err(|failed| failed.fault);
    chart(&request, received, person, clock.now())
}

/// What HealthFlow's answer shows.
fn chart(
    request: &Request,
    received: Result<WireReply, TransportFault>,
    person: Option<&Person>,
    now: Timestamp,
) -> Chart {
    let body = received.as_ref().map(|reply| reply.body.clone()).unwrap_or_default();
    match decode(request, received, now) {
        Ok(Answer::PatientRead(Some(candidate))) => {
            let compared = person.map(|person| CandidateEvidence::from(&evidence(person, &candidate)).fields);
            let fields: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            Chart::Read(compared.unwrap_or_default(), fields.into())
        }
        // One of another practice is nothing that this practice may see.
        Ok(Answer::PatientRead(None)) | Err(Fault::NotFound(_)) => Chart::Gone,
        Ok(_) => Chart::Failed("HealthFlow's answer cannot be read"),
        Err(fault) => Chart::Failed(failure(&fault)),
    }
}

fn failure(fault: &Fault) -> &'static str {
    match fault {
        Fault::NotSent(_) => "HealthFlow cannot be reached; check healthflow.base_url",
        Fault::Throttled { .. } => "HealthFlow is over its limit; try again in a moment",
        Fault::Unauthorised => "HealthFlow refuses the token; check healthflow.token_file",
        Fault::Forbidden => "HealthFlow forbids reading this chart",
        _ => "HealthFlow did not answer as agreed; try again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::review::Action;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use healthflow_core::event::review::Level;
    use serde_json::json;

    const SHOW: [&str; 5] = ["x", "review", "show", "practice-1", "b-1"];

    fn parsed(more: &[&str]) -> Result<Arguments, clap::Error> {
        let line = SHOW.iter().chain(more);
        Cli::try_parse_from(line).map(|cli| match cli.command {
            Command::Review { action: Action::Show { reveal, .. } } => reveal,
            other => panic!("{other:?} is another command"),
        })
    }

    #[test]
    fn nothing_is_revealed_unless_somebody_says_who_and_why() {
        assert!(parsed(&[]).expect("shows levels").looking().is_none());
        for too_little in [&["--reveal"][..], &["--reveal", "--by", "me"], &["--by", "me", "--why", "w"]] {
            assert!(parsed(too_little).is_err(), "{too_little:?}");
        }
        let asked =
            parsed(&["--reveal", "--by", "me", "--why", "to decide", "--charts", "3"]).expect("complete");
        let looking = asked.looking().expect("somebody looks");
        assert_eq!((looking.by, looking.why, looking.charts), ("me", "to decide", 3));
        assert!(parsed(&["--reveal", "--by", "me", "--why", "w", "--charts", "0"]).is_err());
    }

    fn answer(status: u16, body: serde_json::Value) -> Chart {
        let practice = PracticeId::from("practice-1");
        let request = Request::ReadPatient { practice, id: HealthFlowPatientId("hf-1".into()) };
        let reply = WireReply::bare(status, body.to_string().into_bytes());
        let booked =
            review(&["hf-1"]).event.into_booking(Timestamp(1_767_600_000_000)).expect("a valid booking");
        chart(&request, Ok(reply), Some(&Person::from(&booked.patient)), Timestamp(0))
    }

    /// A review with these candidates.
    fn review(ids: &[&str]) -> AppointmentReview {
        let evidence: Vec<_> =
            ids.iter().map(|id| json!({"healthflow_patient_id": id, "fields": []})).collect();
        let review = json!({
            "result": {
                "event_id": "e-1", "booking_id": "b-1", "version": 3, "practice_id": "practice-1",
                "outcome": "REVIEW", "final": false, "reason": "AMBIGUOUS_PATIENT", "healthflow_patient_id": null,
                "healthflow_appointment_id": null, "attempts": 1, "generation": 2, "requested_at": null,
                "finished_at": 0,
            },
            "event": {
                "event_id": "e-1", "booking_id": "b-1", "practice_id": "practice-1", "location_id": "l-1",
                "version": 3, "status": "SCHEDULED", "requested_at": 1_767_600_000_000_i64, "source": "LIVE",
                "patient": {"patient_id": "p-1", "healthflow_patient_id": null, "given_name": "Zoë",
                            "family_name": "Lopez", "date_of_birth": "1987-04-21", "postal_code": "60614",
                            "phone": null, "email": null, "sex": null},
                "visit": {"start": 1_772_465_400_000_i64, "time_zone": "America/Chicago", "duration_minutes": 30,
                          "provider_id": "dr-1", "operatory_id": null, "procedure_codes": [], "note": null},
            },
            "evidence": evidence, "waits_for": null, "order": 0,
        });
        serde_json::from_value(review).expect("a review of the schema")
    }

    #[test]
    fn a_chart_of_another_practice_is_not_shown_and_what_fails_is_told() {
        let of = |practice: &str| json!({"id": "hf-1", "practice_id": practice, "family_name": "LOPEZ"});
        let Chart::Read(compared, fields) = answer(200, of("practice-1")) else { panic!("it is theirs") };
        assert_eq!(fields.reveal()["family_name"], "LOPEZ");
        let level = compared.iter().find(|one| one.field == "family_name").map(|one| one.level);
        assert_eq!(level, Some(Level::Equal));
        assert_eq!(answer(200, of("practice-2")), Chart::Gone);
        assert_eq!(answer(404, json!({"code": "PATIENT_NOT_FOUND", "fields": []})), Chart::Gone);
        for status in [200, 401, 403, 404, 429, 500] {
            let told = answer(status, json!("nonsense"));
            assert!(matches!(told, Chart::Failed(_)), "{status}: {told:?}");
        }
    }

    #[test]
    fn so_many_charts_as_are_wanted_are_asked_for_and_all_of_them_are_on_record() {
        let looking = |why| Looking { by: "me", why, charts: 2 };
        let asked = review(&["hf-1", "hf-2", "hf-3"]);
        let record = audit_record(&asked, &looking("to decide"), Timestamp(7)).expect("complete");
        assert_eq!(record.healthflow_patient_ids, ["hf-1", "hf-2"]);
        assert_eq!((record.booking_id.as_str(), record.version, record.generation), ("b-1", 3, 2));
        let refused = audit_record(&asked, &looking(""), Timestamp(7)).expect_err("it says nothing");
        assert!(refused.to_string().contains("why") && refused.to_string().contains("nothing is revealed"));
    }
}
