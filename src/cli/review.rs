//! `healthflow-sync review`: lists what waits for a person, shows one question, and writes a person's decision as any other
//! product may. It prints ids, codes and levels, never anything about a patient, unless `show --reveal` is asked to.

mod lines;
mod reveal;
mod revealed;
mod unlink;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use tokio::task::block_in_place;

use crate::cli::output::{Format, Printer};
use crate::cli::publish::write;
use crate::cli::{Connection, Options};
use crate::http::TransportSettings;
use crate::kafka::KafkaSettings;
use crate::kafka_admin::decided::{self, Watch};
use crate::kafka_admin::reviews::{self, Reviews, Waiting};
use crate::kafka_admin::topics::Topics;
use crate::worker::Clock;
use healthflow_core::booking::BookingKey;
use healthflow_core::event::decision::{AppointmentDecision, VerdictSymbol};
use healthflow_core::event::home::partition_of;
use healthflow_core::sync::ReviewReason;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::DECISIONS;

pub use unlink::UnlinkArguments;

/// How long `decide` waits to learn what became of a decision.
const WAIT_LIMIT_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// What to do about reviews.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// List what waits for a person, the nearest visit first.
    List {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Which.
        #[command(flatten)]
        arguments: ListArguments,
    },
    /// Show one question: how the candidates compare, who waits behind it, and which verdicts end it.
    Show {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Whether with the values.
        #[command(flatten)]
        reveal: reveal::Arguments,
    },
    /// Decide one question, and wait until it is clear what became of it.
    Decide {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// What was decided.
        #[command(flatten)]
        arguments: DecideArguments,
    },
    /// Undo a link that was wrong: list what was written under it, and have a person asked about what is to come.
    Unlink {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Which.
        #[command(flatten)]
        arguments: UnlinkArguments,
    },
}

/// The arguments of `review list`. A review must match all that are given.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ListArguments {
    /// Of this practice.
    #[arg(long, value_name = "PRACTICE_ID")]
    pub practice: Option<String>,
    /// With this reason, as in AMBIGUOUS_PATIENT.
    #[arg(long, value_name = "CODE", value_parser = PossibleValuesParser::new(ReviewReason::ALL.map(ReviewReason::code)))]
    pub reason: Option<String>,
    /// That have waited for at least this many hours.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..1_000_000))]
    pub older_than_h: Option<i64>,
    /// Also list the versions that wait behind another review.
    #[arg(long)]
    pub behind: bool,
}

/// Which review.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// The practice.
    #[arg(value_name = "PRACTICE_ID")]
    pub practice: String,
    /// The booking.
    #[arg(value_name = "BOOKING_ID")]
    pub booking: String,
    /// The version; by default the one that is in question.
    #[arg(long, value_name = "N")]
    pub version: Option<i64>,
}

/// Who answers for a decision.
#[derive(Clone, Debug, clap::Args)]
pub struct Signed {
    /// Who decided.
    #[arg(long, value_name = "WHO")]
    pub by: String,
    /// Why, without anything about the patient.
    #[arg(long, value_name = "TEXT")]
    pub why: String,
}

/// The arguments of `review decide`.
#[derive(Clone, Debug, clap::Args)]
pub struct DecideArguments {
    /// Which review.
    #[command(flatten)]
    pub which: Which,
    /// LINK, CREATE, ADOPT, RETRY or REJECT; `review show` lists those that the reason allows.
    #[arg(value_name = "VERDICT", value_parser = verdict)]
    pub verdict: VerdictSymbol,
    /// With LINK: which patient of HealthFlow it is.
    #[arg(long, value_name = "ID")]
    pub healthflow_patient_id: Option<String>,
    /// With ADOPT: which appointment of HealthFlow it is.
    #[arg(long, value_name = "ID")]
    pub healthflow_appointment_id: Option<String>,
    /// Who decided, and why.
    #[command(flatten)]
    pub signed: Signed,
    /// Do not wait for the outcome; print the id of the decision.
    #[arg(long)]
    pub no_wait: bool,
}

impl Action {
    /// Its configuration, and the form of its results.
    pub fn options(&self) -> &Options {
        match self {
            Action::List { options, .. }
            | Action::Show { options, .. }
            | Action::Decide { options, .. }
            | Action::Unlink { options, .. } => options,
        }
    }
}

impl Which {
    fn key(&self) -> BookingKey {
        BookingKey { practice: self.practice.as_str().into(), booking: self.booking.as_str().into() }
    }
}

impl ListArguments {
    /// What is listed, the nearest visit first.
    fn select<'all>(&self, all: &'all Reviews, now: Timestamp) -> Vec<&'all Waiting> {
        let since = self.older_than_h.map(|hours| now.0 - hours * HOUR_MS);
        let is_listed = |one: &&Waiting| {
            (self.behind || one.waits_for.is_none())
                && self.practice.as_ref().is_none_or(|practice| *practice == one.key.practice.as_str())
                && self.reason.as_ref().is_none_or(|reason| **reason == *one.reason)
                && since.is_none_or(|since| one.since.0 <= since)
        };
        let mut listed: Vec<&Waiting> = all.waiting.iter().filter(is_listed).collect();
        listed.sort_by_key(|one| one.visit_start);
        listed
    }
}

/// Runs it. Needs a runtime with several threads.
///
/// # Errors
/// There is no such question, it cannot be decided so, the worker refused the decision or did nothing in time, or Kafka or the
/// registry failed.
pub async fn run(
    connection: &Connection,
    kafka: KafkaSettings,
    healthflow: &TransportSettings,
    action: &Action,
    clock: Clock,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let now = clock.now();
    let topics = Topics::new(&connection.kafka, connection.registry.clone())?;
    let count = topics.partition_count().await?;
    let count = count.context("appointments.requested does not exist; run `healthflow-sync topics`")?;
    let translator = connection.translator(&kafka.group_id).await?;
    let home = |practice: &str| partition_of(practice.as_bytes(), count.cast_unsigned());
    let read = |practice: Option<&str>| {
        let partitions = practice.map_or(0..count, |practice| home(practice)..home(practice) + 1);
        block_in_place(|| reviews::read(&kafka, &translator, partitions))
    };
    match action {
        Action::List { arguments, .. } => {
            let all = read(arguments.practice.as_deref())?;
            list(arguments, &all, now, out)?;
        }
        Action::Show { which, reveal, .. } => {
            let all = read(Some(&which.practice))?;
            let question = all.of(&which.key(), which.version)?;
            out.items(&lines::question(question, &all, now), &lines::question_json(question, &all))?;
            if let Some(looking) = reveal.looking() {
                let partition = home(&which.practice);
                let content = || reviews::content(&kafka, &translator, partition, question);
                let review = block_in_place(content)?;
                reveal::reveal(connection, healthflow, &review, &looking, clock, out).await?;
            }
        }
        Action::Unlink { arguments, .. } => {
            let partition = home(&arguments.practice);
            let reach =
                unlink::Reach { connection, kafka: &kafka, translator: &translator, partition, clock };
            unlink::run(&reach, arguments, out).await?;
        }
        Action::Decide { arguments, .. } => {
            let partition = home(&arguments.which.practice);
            // From before the review is read: whatever happens to it from now on shows.
            let watch = block_in_place(|| Watch::begin(&kafka, &translator, partition))?;
            let all = read(Some(&arguments.which.practice))?;
            let question = all.question(&arguments.which.key(), arguments.which.version)?;
            if block_in_place(|| decided::is_decided(&kafka, &translator, partition, question))? {
                bail!(
                    "{} version {} is decided already; its result follows in appointments.synced or appointments.failed",
                    question.key,
                    question.version
                );
            }
            let decision = arguments.decision(question, &new_id(), now)?;
            write(connection, DECISIONS, &decision.practice_id, &decision).await?;
            let id = &decision.decision_id;
            if arguments.no_wait {
                out.item(id, &json!({"decision_id": &**id}))?;
            } else {
                let line = wait(&watch, question, &decision, clock)?;
                out.item(&line, &json!({"decision_id": &**id, "message": line}))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(
    arguments: &ListArguments,
    all: &Reviews,
    now: Timestamp,
    out: &mut Printer<'_>,
) -> std::io::Result<()> {
    let listed = arguments.select(all, now);
    if out.format() == Format::Json {
        if all.unreadable > 0 {
            out.item("", &json!({ "unreadable_records": all.unreadable }))?;
        }
        return listed.iter().try_for_each(|one| out.item("", &lines::json(one, all)));
    }
    if listed.is_empty() {
        out.line("nothing waits for a person")?;
    } else {
        lines::table(&listed, all, now).iter().try_for_each(|line| out.line(line))?;
    }
    if all.unreadable > 0 {
        out.line(format!(
            "{} records of appointments.review cannot be read; a newer version may have written them: use that one",
            all.unreadable
        ))?;
    }
    Ok(())
}

fn wait(
    watch: &Watch<'_>,
    question: &Waiting,
    decision: &AppointmentDecision,
    clock: Clock,
) -> anyhow::Result<String> {
    let id = &decision.decision_id;
    match block_in_place(|| watch.wait(question, id, WAIT_LIMIT_MS, || clock.now()))? {
        Some(became) => lines::became(question, id, &became).map_err(|refused| anyhow!(refused)),
        None => bail!(
            "decision {id} about {} version {} is written, and nothing came of it within {} s; see whether a worker has its \
             partition, and do not decide again: it will be read",
            question.key,
            question.version,
            WAIT_LIMIT_MS / 1000
        ),
    }
}

impl DecideArguments {
    /// The decision about this question.
    ///
    /// # Errors
    /// The reason of the review does not allow it, or a field breaks its rule.
    fn decision(&self, question: &Waiting, id: &str, now: Timestamp) -> anyhow::Result<AppointmentDecision> {
        let allowed = lines::codes(question);
        if !allowed.contains(&self.verdict.code()) {
            bail!(
                "{} version {} waits for {}, which {} does not end; decide {}",
                question.key,
                question.version,
                question.reason,
                self.verdict.code(),
                if allowed.is_empty() {
                    "with a newer version of this program".into()
                } else {
                    allowed.join(" or ")
                }
            );
        }
        let text = |text: &Option<String>| text.as_deref().map(Arc::from);
        let decision = AppointmentDecision {
            decision_id: id.into(),
            practice_id: question.key.practice.clone(),
            booking_id: question.key.booking.clone(),
            version: question.version,
            generation: question.generation.into(),
            verdict: self.verdict,
            healthflow_patient_id: text(&self.healthflow_patient_id),
            healthflow_appointment_id: text(&self.healthflow_appointment_id),
            decided_by: self.signed.by.as_str().into(),
            why: self.signed.why.as_str().into(),
            decided_at: now,
        };
        checked(decision)
    }
}

/// The decision, if it is valid.
fn checked(decision: AppointmentDecision) -> anyhow::Result<AppointmentDecision> {
    let valid = decision.clone().into_decision();
    valid.map_err(|why| anyhow!("the decision is not valid: {why}; nothing was written"))?;
    Ok(decision)
}

/// An id like a random UUID: the seeds of the standard library's hash are the system's random numbers.
fn new_id() -> String {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    let bits = (half() << 64 | half()) & !(0xf << 76 | 0x3 << 62) | (0x4 << 76 | 0x2 << 62);
    let text = format!("{bits:032x}");
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &text[part]).join("-")
}

fn verdict(text: &str) -> Result<VerdictSymbol, String> {
    use VerdictSymbol::{Adopt, Create, Link, Reject, Retry};
    let known = [Link, Create, Adopt, Retry, Reject];
    let found = known.into_iter().find(|verdict| verdict.code().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("it must be one of {}", known.map(VerdictSymbol::code).join(", ")))
}
