//! What the Java auditor read, decoded without the processor's own codec: by the schema file and the Avro library.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use healthflow_core::booking::BookingKey;
use healthflow_core::event::result::ResultOutcome;

use crate::dentscheduler::now;
use crate::journal::{RecordPosition, SeenResult};
use healthflow_testkit::processes::{ChildProcess, StopBy};
use healthflow_testkit::project;

/// The topics of results.
const TOPICS: [&str; 3] = ["appointments.synced", "appointments.review", "appointments.failed"];
/// A transaction that stays open for longer than this counts as hanging; ours may last 10 seconds.
const STABLE_LIMIT_S: &str = "60";
/// The launcher compiles it first.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Three times the limit that it has for each of its steps.
const REPORT_LIMIT: Duration = Duration::from_secs(180);
/// It shares two cores with what it watches.
const JAVA_FLAGS: [&str; 3] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// Magic byte and schema id.
const FRAME_BYTES: usize = 5;

/// What it read.
#[derive(Debug, Default)]
pub struct Seen {
    /// Every result.
    pub results: Vec<SeenResult>,
    /// Partitions with a transaction that stays open.
    pub hanging: Vec<String>,
    /// Records that the second reading did not return, or returned otherwise.
    pub changed: Vec<String>,
}

/// The auditor at work.
pub struct Auditor {
    process: ChildProcess,
    file: PathBuf,
}

impl Auditor {
    /// Starts it; it reads the results from now on.
    pub async fn start(brokers: &str, out: &Path, logs: &Path) -> Result<Auditor> {
        let file = out.join("auditor.tsv");
        let mut arguments = JAVA_FLAGS.map(str::to_owned).to_vec();
        arguments.extend(["-cp".to_owned(), format!("{}/*", kafka_home()?.display())]);
        arguments.push(project("stack/auditor/Auditor.java").display().to_string());
        arguments.extend([brokers.to_owned(), file.display().to_string(), STABLE_LIMIT_S.to_owned()]);
        arguments.extend(TOPICS.map(str::to_owned));
        let log = logs.join("auditor.log");
        let mut process =
            ChildProcess::start("the auditor", Path::new("java"), &arguments, &log, StopBy::Input)?;
        ensure!(process.next_line(START_LIMIT).await? == "reading", "the auditor does not read");
        Ok(Auditor { process, file })
    }

    /// Fails if it has ended.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    /// Makes it read to the end, and everything once more; returns what it read.
    pub async fn report(&mut self) -> Result<Seen> {
        self.process.write_line("report")?;
        ensure!(self.process.next_line(REPORT_LIMIT).await? == "reported", "the auditor gave no report");
        let text = std::fs::read_to_string(&self.file).context("the auditor wrote nothing")?;
        read(&text, &schemas()?)
    }
}

/// Where `stack/setup.sh` put Kafka and its client, as `stack/common.sh` knows it.
fn kafka_home() -> Result<PathBuf> {
    let script = format!(". '{}'; printf %s \"$kafka_home\"", project("stack/common.sh").display());
    let output =
        std::process::Command::new("bash").args(["-c", &script]).output().context("cannot run bash")?;
    ensure!(output.status.success(), "stack/common.sh does not define kafka_home");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?))
}

/// The schemas of what is read, by topic.
pub(super) fn schemas() -> Result<HashMap<&'static str, Schema>> {
    let schema = |topic: &'static str| {
        let text = std::fs::read_to_string(project(&format!("schemas/{topic}.avsc")))?;
        Ok((topic, Schema::parse_str(&text)?))
    };
    TOPICS.into_iter().map(schema).collect()
}

/// What the auditor's `text` says.
pub(super) fn read(text: &str, schemas: &HashMap<&'static str, Schema>) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut ended = None;
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["record", topic, partition, offset, _, value, headers] => {
                let place = format!("{topic}/{partition} at {offset}");
                if *value != "-" {
                    let schema = schemas.get(topic).with_context(|| format!("{place} was not asked for"))?;
                    let result = result(schema, value, headers);
                    seen.results.push(result.with_context(|| format!("{place} cannot be read"))?);
                }
            }
            ["hanging", topic, partition, stable, end] => {
                seen.hanging.push(format!("{topic}/{partition}: stable up to {stable} of {end}"));
            }
            ["changed", topic, partition, offset, how] => {
                seen.changed.push(format!("{topic}/{partition} at {offset}: {how}"));
            }
            ["end", records] => ended = Some(records.parse::<usize>()?),
            _ => bail!("the auditor wrote a line of an unknown kind"),
        }
    }
    ensure!(ended.is_some_and(|records| records >= seen.results.len()), "the auditor's report is cut off");
    Ok(seen)
}

fn result(schema: &Schema, value: &str, headers: &str) -> Result<SeenResult> {
    let bytes = unhex(value)?;
    let mut datum = bytes.get(FRAME_BYTES..).context("too short for a framed record")?;
    let record = GenericDatumReader::builder(schema).build()?.read_value(&mut datum)?;
    let envelope = field(&record, "result")?;
    let version =
        match (text(envelope, "practice_id")?, text(envelope, "booking_id")?, long(envelope, "version")?) {
            (Some(practice), Some(booking), Some(version)) => {
                Some((BookingKey { practice: practice.into(), booking: booking.into() }, version))
            }
            _ => None,
        };
    let Value::Enum(_, outcome) = field(envelope, "outcome")? else { bail!("outcome is no enum") };
    Ok(SeenResult {
        version,
        record: origin(headers)?,
        outcome: outcome_of(outcome)?,
        is_final: *field(envelope, "final")? == Value::Boolean(true),
        reason: text(envelope, "reason")?.map(str::to_owned),
        generation: u32::try_from(long(envelope, "generation")?.unwrap_or_default())?,
        attempts: u32::try_from(long(envelope, "attempts")?.unwrap_or_default())?,
        // Only a dead letter has the field.
        decision: text(&record, "decision_id").ok().flatten().map(str::to_owned),
        at: now(),
    })
}

fn outcome_of(symbol: &str) -> Result<ResultOutcome> {
    Ok(match symbol {
        "CREATED" => ResultOutcome::Created,
        "UPDATED" => ResultOutcome::Updated,
        "CANCELLED" => ResultOutcome::Cancelled,
        "UNCHANGED" => ResultOutcome::Unchanged,
        "SUPERSEDED" => ResultOutcome::Superseded,
        "REVIEW" => ResultOutcome::Review,
        "FAILED" => ResultOutcome::Failed,
        other => bail!("no result may have the outcome {other}"),
    })
}

/// Where a dead letter's record came from: partition and offset in `appointments.requested`.
fn origin(headers: &str) -> Result<Option<RecordPosition>> {
    let number = |name: &str| -> Result<Option<i64>> {
        let Some(hex) = headers.split(',').find_map(|one| one.strip_prefix(name)?.strip_prefix('=')) else {
            return Ok(None);
        };
        Ok(Some(String::from_utf8(unhex(hex)?)?.parse()?))
    };
    match (number("__dlq.errors.partition")?, number("__dlq.errors.offset")?) {
        (Some(partition), Some(offset)) => {
            Ok(Some(RecordPosition { partition: i32::try_from(partition)?, offset }))
        }
        _ => Ok(None),
    }
}

fn field<'a>(record: &'a Value, name: &str) -> Result<&'a Value> {
    let Value::Record(fields) = record else { bail!("no record around {name}") };
    let found = fields.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    Ok(match found.with_context(|| format!("no field {name}"))? {
        Value::Union(_, inner) => inner,
        value => value,
    })
}

fn text<'a>(record: &'a Value, name: &str) -> Result<Option<&'a str>> {
    match field(record, name)? {
        Value::String(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        _ => bail!("{name} is no text"),
    }
}

fn long(record: &Value, name: &str) -> Result<Option<i64>> {
    match field(record, name)? {
        Value::Long(number) => Ok(Some(*number)),
        Value::Null => Ok(None),
        _ => bail!("{name} is no number"),
    }
}

fn unhex(hex: &str) -> Result<Vec<u8>> {
    ensure!(hex.len().is_multiple_of(2) && hex.is_ascii(), "no hex");
    (0..hex.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&hex[at..at + 2], 16)?)).collect()
}
