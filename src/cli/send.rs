//! `healthflow-sync send`: publishes one booking as DentScheduler would, to try things by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use crate::cli::Connection;
use crate::cli::output::Printer;
use crate::cli::publish::write;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::REQUESTED;

/// The arguments of `send`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The booking: JSON with the fields of schemas/appointments.requested.avsc. Instants may be RFC 3339 text;
    /// event_id, requested_at and source may be left out.
    #[arg(value_name = "FILE.json")]
    pub file: PathBuf,
}

/// Runs it. `now` replaces a missing `requested_at`.
pub async fn run(
    connection: &Connection,
    arguments: &Arguments,
    now: Timestamp,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let file = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file).with_context(|| format!("cannot read {file}"))?;
    let event = parse(&text, now).with_context(|| format!("{file} is not a booking"))?;
    let (partition, offset) = publish(connection, &event).await?;
    let invalid = event.into_booking(now).err();
    let mut lines = vec![format!("published to {REQUESTED}, partition {partition}, offset {offset}")];
    lines
        .extend(invalid.map(|why| format!("note: this booking is invalid and will be dead-lettered: {why}")));
    let invalid = invalid.map(|why| why.to_string());
    let object = json!({"topic": REQUESTED, "partition": partition, "offset": offset, "invalid": invalid});
    out.items(&lines, &object)?;
    Ok(ExitCode::SUCCESS)
}

/// The booking in `text`.
fn parse(text: &str, now: Timestamp) -> anyhow::Result<AppointmentRequested> {
    let mut json: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))?;
    let event = json.as_object_mut().ok_or_else(|| anyhow!("it must be a JSON object"))?;
    event.entry("requested_at").or_insert(now.0.into());
    event.entry("event_id").or_insert_with(|| format!("sent-by-hand-{}", now.0).into());
    for instant in ["/requested_at", "/visit/start"] {
        if let Some(value) = json.pointer_mut(instant)
            && let Some(text) = value.as_str()
        {
            let parsed: jiff::Timestamp =
                text.parse().map_err(|_| anyhow!("{instant} must be milliseconds or RFC 3339 text"))?;
            *value = parsed.as_millisecond().into();
        }
    }
    // The error of serde_json may quote a value; only the person who typed it sees the error.
    Ok(serde_json::from_value(json)?)
}

/// Publishes `event` keyed by its practice, to the partition that Kafka's own default partitioner chooses; returns partition
/// and offset.
pub async fn publish(connection: &Connection, event: &AppointmentRequested) -> anyhow::Result<(i32, i64)> {
    write(connection, REQUESTED, &event.practice_id, event).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKING: &str = r#"{
        "booking_id": "b-1", "practice_id": "practice-1", "location_id": "loc-1", "version": 1, "status": "SCHEDULED",
        "patient": {"patient_id": "p-1", "given_name": "A", "family_name": "B", "date_of_birth": "1990-01-31",
                    "postal_code": "60614"},
        "visit": {"start": "2026-03-02T09:30:00-06:00", "time_zone": "America/Chicago", "duration_minutes": 30,
                  "provider_id": "dr-1"}
    }"#;

    #[test]
    fn what_is_left_out_is_filled_in() {
        let event = parse(BOOKING, Timestamp(77)).expect("complete enough");
        assert_eq!((event.requested_at, &*event.event_id), (Timestamp(77), "sent-by-hand-77"));
        assert_eq!(event.visit.start, Timestamp(1_772_465_400_000));
        assert_eq!(event.source, healthflow_core::booking::Source::Live);
        assert!(event.into_booking(Timestamp(1_767_614_400_000)).is_ok());
    }

    #[test]
    fn a_typing_error_is_named() {
        let error =
            parse(&BOOKING.replace("postal_code", "postcode"), Timestamp(0)).expect_err("unknown field");
        assert!(error.to_string().contains("postcode"), "{error}");
        assert!(parse("[]", Timestamp(0)).is_err());
    }
}
