//! `healthflow-sync redrive`: tries dead letters once more, after their cause was fixed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::builder::PossibleValuesParser;
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior};

use crate::cli::Connection;
use crate::cli::controls::whoever;
use crate::cli::output::Printer;
use crate::cli::publish::Publisher;
use crate::kafka::{KafkaSettings, RecordName};
use crate::kafka_admin::dead_letters::{self, DeadLetters, DeadRecord, Selects, Unidentified};
use crate::kafka_admin::topics::Topics;
use crate::registry::Translator;
use healthflow_core::booking::{BookingKey, texts};
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::event::headers::{self, Header};
use healthflow_core::event::{Identity, Outgoing, RetryEntry};
use healthflow_core::sync::FailureReason;
use healthflow_core::time::Timestamp;

/// The arguments of `redrive`. A dead letter must match all that are given.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Arguments {
    /// Of this practice.
    #[arg(long, value_name = "PRACTICE_ID")]
    pub practice: Option<String>,
    /// Of this booking.
    #[arg(long, value_name = "BOOKING_ID", requires = "practice")]
    pub booking: Option<String>,
    /// Of this version.
    #[arg(long, value_name = "N", requires = "booking")]
    pub version: Option<i64>,
    /// With this reason, as in SLOT_TAKEN.
    #[arg(long, value_name = "CODE", value_parser = PossibleValuesParser::new(FailureReason::ALL.map(FailureReason::code)))]
    pub reason: Option<String>,
    /// That ended at or after this date (UTC, as in 2026-03-02) or moment (RFC 3339, as in 2026-03-02T09:30:00Z).
    #[arg(long, value_name = "DATE", value_parser = date_or_moment)]
    pub since: Option<jiff::Timestamp>,
    /// That ended before this date or moment.
    #[arg(long, value_name = "DATE", value_parser = date_or_moment)]
    pub until: Option<jiff::Timestamp>,
    /// So many a second at most, so that fresh bookings are not delayed.
    #[arg(long, value_name = "N", value_parser = a_rate)]
    pub per_second: Option<f64>,
    /// Why, in few words, without anything about a patient: a header of what is published.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Who redrives them, by default the user of this shell: a header of what is published.
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// Also what was redriven three times before.
    #[arg(long)]
    pub force: bool,
    /// Publish nothing; list what would be published.
    #[arg(long)]
    pub dry_run: bool,
}

/// After so many redrives the cause is not gone: another one needs `--force`.
const REDRIVES_MAX: u32 = 3;

/// A number of records a second.
fn a_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.001..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "it must be a number of bookings, at least 0.001".to_owned())
}

/// A date, which is its first moment in UTC, or a moment.
fn date_or_moment(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && !text.contains(['T', 't', ' '])
    {
        let midnight = jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0));
        return midnight.map_err(|error| error.to_string());
    }
    text.parse()
        .map_err(|_| "it must be a date like 2026-03-02 or a moment like 2026-03-02T09:30:00Z".to_owned())
}

impl Selects for Arguments {
    fn names(&self, letter: &AppointmentFailed) -> bool {
        let result = &letter.result;
        let is =
            |wanted: &Option<String>, given: Option<&str>| wanted.is_none() || wanted.as_deref() == given;
        is(&self.practice, result.practice_id.as_ref().map(|id| id.as_str()))
            && is(&self.booking, result.booking_id.as_ref().map(|id| id.as_str()))
            && (self.version.is_none() || self.version == result.version)
    }

    fn means(&self, letter: &AppointmentFailed) -> bool {
        let since = self.since.map(|since| since.as_millisecond());
        (self.reason.is_none() || self.reason.as_deref() == letter.result.reason.as_deref())
            && since.is_none_or(|since| letter.result.finished_at.0 >= since)
            && self.until.is_none_or(|until| letter.result.finished_at.0 < until.as_millisecond())
    }

    fn names_key(&self, key: &[u8]) -> bool {
        self.practice.as_ref().is_none_or(|practice| practice.as_bytes() == key)
    }

    fn names_identity(&self, identity: Option<&Identity>) -> bool {
        let booking = identity.map(|identity| identity.key.booking.as_str());
        (self.booking.is_none() || self.booking.as_deref() == booking)
            && (self.version.is_none()
                || self.version == identity.map(|identity| identity.version.cast_signed()))
    }
}

/// Runs it; writes one line to `out` for each dead letter, and a last one that counts them. The worker skips a version that
/// has another result by now, or whose newer version has one. A record that could not be decoded is published again as it
/// was, if it can be decoded now.
///
/// # Errors
/// No argument selects dead letters, or Kafka or the registry failed.
pub async fn run(
    connection: &Connection,
    kafka: KafkaSettings,
    arguments: &Arguments,
    now: Timestamp,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    if [&arguments.practice, &arguments.reason].into_iter().all(Option::is_none)
        && [arguments.since, arguments.until].into_iter().all(|moment| moment.is_none())
    {
        bail!("select the dead letters with --practice, --reason, --since or --until");
    }
    // Where nobody knows whose shell it is, nobody is named.
    let by = whoever(arguments.by.as_deref()).ok();
    for (field, text) in [("by", by.as_ref()), ("why", arguments.why.as_ref())] {
        let checked = text.map_or(Ok(()), |text| texts::EVENT_ID.named(field).check(text));
        checked.map_err(|broken| anyhow!("{broken}; nothing was published"))?;
    }
    let topics = Topics::new(&connection.kafka, connection.registry.clone())?;
    let partitions = topics.partition_count().await?;
    let partitions =
        partitions.context("appointments.requested does not exist; run `healthflow-sync topics`")?;
    let translator = connection.translator(&kafka.group_id).await?;
    let (reads, wanted) = (translator.clone(), arguments.clone());
    let found =
        tokio::task::spawn_blocking(move || dead_letters::read(&kafka, &reads, partitions, &wanted, now));
    let mut found = found.await??;
    let mut redrive = Redrive::new(connection, arguments, by)?;
    let done = redrive.done();
    let mut redriven = 0_u64;
    for ((key, version), newest) in std::mem::take(&mut found.newest) {
        let Some(letter) = newest.letter else { continue };
        let reason = letter.result.reason.clone().unwrap_or_default();
        let what = format!("{key} version {version}, {reason} at {}", letter.result.finished_at);
        if redrive.goes_round(newest.redriven) {
            out.item(format!("{what}: {AGAIN}"), &object(Some((&key, version)), None, Some(AGAIN)))?;
            continue;
        }
        let entry = match letter.into_redrive(now) {
            Ok(entry) => entry,
            Err(why) => {
                let text = format!("{what}: cannot be redriven, {why}; DentScheduler must publish it again");
                out.item(text, &object(Some((&key, version)), None, Some(&why.to_string())))?;
                continue;
            }
        };
        if let Some(headers) = redrive.next(newest.redriven).await {
            publish(&redrive.publisher, &translator, &key, entry, &headers).await?;
        }
        out.item(format!("{what}: {done}"), &object(Some((&key, version)), None, None))?;
        redriven += 1;
    }
    for record in &found.records {
        redriven += u64::from(again(&mut redrive, record, found.redriven_before(record), out).await?);
    }
    let DeadLetters { unidentified, unidentified_count, unreadable, .. } = found;
    unidentified.iter().try_for_each(|letter| out.item(hopeless(letter), &hopeless_object(letter)))?;
    if unidentified_count > 0 {
        out.line(format!(
            "{unidentified_count} dead letters are about records that are no versions; DentScheduler must publish those \
             bookings again"
        ))?;
    }
    if unreadable > 0 {
        out.line(format!(
            "{unreadable} dead letters cannot be read; a newer version may have written them: use that one"
        ))?;
    }
    let totals = json!({"redriven": redriven, "dry_run": arguments.dry_run, "unidentified": unidentified_count,
        "unreadable": unreadable});
    out.item(format!("{redriven} {done}"), &totals)?;
    Ok(ExitCode::SUCCESS)
}

/// Why a version is not redriven that was so often.
const AGAIN: &str = "was redriven three times already; mend the cause, then use --force";

/// How dead letters are redriven: by whom and why, and how fast.
struct Redrive<'a> {
    publisher: Publisher,
    arguments: &'a Arguments,
    by: Option<String>,
    pace: Option<Interval>,
}

impl<'a> Redrive<'a> {
    fn new(connection: &Connection, arguments: &'a Arguments, by: Option<String>) -> anyhow::Result<Self> {
        let pace = arguments.per_second.map(|rate| {
            let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        });
        Ok(Redrive { publisher: Publisher::new(connection)?, arguments, by, pace })
    }

    fn done(&self) -> &'static str {
        if self.arguments.dry_run { "would be redriven" } else { "redriven" }
    }

    /// Whether something was redriven so often before that its cause cannot be gone.
    fn goes_round(&self, before: u32) -> bool {
        before >= REDRIVES_MAX && !self.arguments.force
    }

    /// Waits until the next may go out; its headers, or none if nothing is to be published.
    async fn next(&mut self, before: u32) -> Option<Vec<Header>> {
        if self.arguments.dry_run {
            return None;
        }
        if let Some(pace) = &mut self.pace {
            pace.tick().await;
        }
        Some(headers::of_redrive(before + 1, self.by.as_deref(), self.arguments.why.as_deref()))
    }
}

/// Publishes a record that can be decoded by now again, as it was, to the topic it came from. State knows no version of it,
/// so a worker reads it as if for the first time; copies of it are absorbed like any copy (rule K5).
async fn again(
    redrive: &mut Redrive<'_>,
    record: &DeadRecord,
    before: u32,
    out: &mut Printer<'_>,
) -> anyhow::Result<bool> {
    let RecordName { partition, offset, .. } = record.letter_at;
    let what = format!("letter {offset} of partition {partition}, UNDECODABLE at {}", record.finished_at);
    let identity = match &record.read {
        Ok(identity) => identity,
        Err(why) => {
            let text = format!("{what}: cannot be redriven yet, {why}");
            out.item(text, &object(None, Some(record.letter_at), Some(&why.to_string())))?;
            return Ok(false);
        }
    };
    if redrive.goes_round(before) {
        out.item(format!("{what}: {AGAIN}"), &object(None, Some(record.letter_at), Some(AGAIN)))?;
        return Ok(false);
    }
    if let Some(headers) = redrive.next(before).await {
        let topic = record.lane.topic();
        redrive.publisher.publish_with(topic, &record.key, &record.value, &headers).await?;
    }
    let done = redrive.done();
    let Identity { key, version, .. } = identity;
    let object = object(Some((key, version.cast_signed())), Some(record.letter_at), None);
    out.item(format!("{what}: {done} as {key} version {version}"), &object)?;
    Ok(true)
}

/// A dead letter for programs: of which version, where, and why it cannot be redriven.
fn object(
    version: Option<(&BookingKey, i64)>,
    letter_at: Option<RecordName>,
    why_not: Option<&str>,
) -> serde_json::Value {
    let key = version.map(|(key, _)| key);
    json!({
        "practice_id": key.map(|key| key.practice.as_str()),
        "booking_id": key.map(|key| key.booking.as_str()),
        "version": version.map(|(_, version)| version),
        "partition": letter_at.map(|at| at.partition),
        "offset": letter_at.map(|at| at.offset),
        "cannot": why_not,
    })
}

/// A dead letter of a record that is no version, with what it names.
fn hopeless(Unidentified { letter_at, result }: &Unidentified) -> String {
    let RecordName { partition, offset, .. } = letter_at;
    let name = |what, name: Option<&str>| name.map(|name| format!("{what} {name}"));
    let names = [
        name("event", result.event_id.as_deref()),
        name("booking", result.booking_id.as_ref().map(|id| id.as_str())),
        name("practice", result.practice_id.as_ref().map(|id| id.as_str())),
    ];
    let names: Vec<String> = names.into_iter().flatten().collect();
    let names = if names.is_empty() { "no name can be read".to_owned() } else { names.join(", ") };
    let reason = result.reason.as_deref().unwrap_or_default();
    format!("letter {offset} of partition {partition}, {reason} at {}: {names}", result.finished_at)
}

fn hopeless_object(Unidentified { letter_at, result }: &Unidentified) -> serde_json::Value {
    json!({
        "practice_id": result.practice_id,
        "booking_id": result.booking_id,
        "event_id": result.event_id,
        "reason": result.reason,
        "partition": letter_at.partition,
        "offset": letter_at.offset,
        "cannot": "it is no version; DentScheduler must publish the booking again",
    })
}

/// Publishes what re-opens a version.
pub(super) async fn publish(
    publisher: &Publisher,
    translator: &Translator,
    key: &BookingKey,
    entry: RetryEntry,
    headers: &[Header],
) -> anyhow::Result<()> {
    let mut buffer = Vec::new();
    let encoded = translator.encode(&Outgoing::Retry(Box::new(entry)), &mut buffer)?;
    let value = encoded.value.unwrap_or_default();
    publisher.publish_with(encoded.topic, key.practice.as_str().as_bytes(), value, headers).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use healthflow_core::event::result::{ResultEnvelope, ResultOutcome};

    fn parsed(more: &[&str]) -> Result<Arguments, String> {
        let line = ["x", "redrive"].iter().chain(more);
        match Cli::try_parse_from(line).map_err(|error| error.to_string())?.command {
            Command::Redrive { arguments, .. } => Ok(arguments),
            other => panic!("{other:?} is another command"),
        }
    }

    #[test]
    fn what_cannot_be_redriven_is_named_as_far_as_its_letter_goes() {
        let mut result = ResultEnvelope::new(None, ResultOutcome::Failed, Some("NO_IDENTITY"), Timestamp(0));
        let letter_at = RecordName { topic: "appointments.failed", partition: 2, offset: 7 };
        let told = |result: &ResultEnvelope| hopeless(&Unidentified { letter_at, result: result.clone() });
        let begins = "letter 7 of partition 2, NO_IDENTITY at 1970-01-01T00:00:00Z: ";
        assert_eq!(told(&result), format!("{begins}no name can be read"));
        (result.event_id, result.booking_id) = (Some("e-1".into()), Some("b-1".into()));
        assert_eq!(told(&result), format!("{begins}event e-1, booking b-1"));
    }

    #[test]
    fn a_date_is_its_first_moment_in_utc() {
        let since =
            |text| parsed(&["--since", text]).map(|arguments| arguments.since.map(|at| at.to_string()));
        assert_eq!(since("2026-03-02"), Ok(Some("2026-03-02T00:00:00Z".into())));
        assert_eq!(since("2026-03-02T09:30:00+01:00"), Ok(Some("2026-03-02T08:30:00Z".into())));
        for wrong in ["yesterday", "2026-13-01", "2026-03-02T09:30:00"] {
            let told = since(wrong).expect_err(wrong);
            assert!(told.contains("a date like 2026-03-02 or a moment like"), "{told}");
        }
    }

    #[test]
    fn a_rate_is_a_number_above_nothing() {
        let rate = |text| parsed(&["--reason", "REJECTED", "--per-second", text]).map(|of| of.per_second);
        assert_eq!((rate("5"), rate("0.5")), (Ok(Some(5.0)), Ok(Some(0.5))));
        for wrong in ["0", "-1", "fast", "NaN", "inf"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reason_that_does_not_exist_is_refused_and_those_that_do_are_named() {
        assert!(parsed(&["--reason", "SLOT_TAKEN"]).is_ok());
        let told = parsed(&["--reason", "SLOTTAKEN"]).expect_err("there is none");
        assert!(FailureReason::ALL.iter().all(|reason| told.contains(reason.code())), "{told}");
        assert!(told.contains("a similar value exists: 'SLOT_TAKEN'"), "{told}");
    }
}
