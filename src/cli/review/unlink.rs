//! `review unlink`: undoes a link that was wrong. The worker forgets it and bars the chart; this command lists what was written under
//! it, and re-opens the versions of the visits still to come, so that a person is asked about each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::bail;
use serde_json::json;
use tokio::task::block_in_place;

use crate::cli::Connection;
use crate::cli::output::Printer;
use crate::cli::publish::{Publisher, write};
use crate::cli::redrive;
use crate::cli::review::{Signed, WAIT_LIMIT_MS, checked, new_id};
use crate::kafka::KafkaSettings;
use crate::kafka_admin::decided::{Became, Watch};
use crate::kafka_admin::unlinked::{self, UnderLink, Written};
use crate::registry::Translator;
use crate::worker::Clock;
use healthflow_core::booking::{BookingKey, Version};
use healthflow_core::event::decision::{AppointmentDecision, VerdictSymbol};
use healthflow_core::event::{RetryEntry, Schedule};
use healthflow_core::sync::{FailureReason, ReviewReason};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::DECISIONS;

/// How long to wait for a refusal before state is read once more.
const LOOK_AGAIN_MS: i64 = 1_000;

/// The arguments of `review unlink`.
#[derive(Clone, Debug, clap::Args)]
pub struct UnlinkArguments {
    /// The practice.
    #[arg(value_name = "PRACTICE_ID")]
    pub practice: String,
    /// A booking of the patient, whose appointment was written into the wrong chart.
    #[arg(value_name = "BOOKING_ID")]
    pub booking: String,
    /// The chart that is somebody else's.
    #[arg(long, value_name = "ID")]
    pub healthflow_patient_id: String,
    /// Who decided, and why.
    #[command(flatten)]
    pub signed: Signed,
    /// Do not wait until it is undone, and re-open nothing; print the id of the decision.
    #[arg(long)]
    pub no_wait: bool,
}

/// What the command needs of Kafka.
pub(super) struct Reach<'a> {
    pub connection: &'a Connection,
    pub kafka: &'a KafkaSettings,
    pub translator: &'a Translator,
    /// The partition of the practice.
    pub partition: i32,
    pub clock: Clock,
}

/// What follows for an appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FollowUp {
    /// A person is asked about it.
    Asked,
    /// Its content is not in `appointments.requested` any more.
    ContentGone,
    /// It stays where it is.
    Stays,
}

impl UnlinkArguments {
    /// The booking that names the patient.
    pub fn key(&self) -> BookingKey {
        BookingKey { practice: self.practice.as_str().into(), booking: self.booking.as_str().into() }
    }

    fn decision(&self, id: &str, now: Timestamp) -> anyhow::Result<AppointmentDecision> {
        let decision = AppointmentDecision {
            decision_id: id.into(),
            practice_id: self.practice.as_str().into(),
            booking_id: self.booking.as_str().into(),
            version: 0,
            generation: 0,
            verdict: VerdictSymbol::Unlink,
            healthflow_patient_id: Some(self.healthflow_patient_id.as_str().into()),
            healthflow_appointment_id: None,
            decided_by: self.signed.by.as_str().into(),
            why: self.signed.why.as_str().into(),
            decided_at: now,
        };
        checked(decision)
    }
}

/// Runs it.
pub(super) async fn run(
    reach: &Reach<'_>,
    arguments: &UnlinkArguments,
    out: &mut Printer<'_>,
) -> anyhow::Result<()> {
    let now = reach.clock.now();
    let decision = arguments.decision(&new_id(), now)?;
    let watch = block_in_place(|| Watch::begin(reach.kafka, reach.translator, reach.partition))?;
    // A mistake is told before anything is written.
    reach.under_link(arguments, now)?;
    write(reach.connection, DECISIONS, &decision.practice_id, &decision).await?;
    if arguments.no_wait {
        let id = &decision.decision_id;
        return Ok(out.item(id, &json!({"decision_id": &**id}))?);
    }
    let under = reach.wait(&watch, arguments, &decision)?;
    let reopened = reach.reopen(&under, now).await?;
    let count = under.written.len();
    let text = format!(
        "the link of the patient of {} to {} is undone; appointments written under it: {count}",
        arguments.key(),
        arguments.healthflow_patient_id
    );
    out.item(text, &json!({"decision_id": &*decision.decision_id, "appointments": count}))?;
    for one in &under.written {
        let follow_up = follow_up(one, &reopened);
        let Written { key, version, .. } = one;
        let (practice, booking) = (key.practice.as_str(), key.booking.as_str());
        let text = line(one, follow_up);
        let object =
            json!({"practice_id": practice, "booking_id": booking, "version": version, "message": text});
        out.item(&text, &object)?;
    }
    Ok(())
}

impl Reach<'_> {
    fn under_link(&self, arguments: &UnlinkArguments, now: Timestamp) -> anyhow::Result<UnderLink> {
        let practice = arguments.practice.as_str().into();
        let bookings =
            block_in_place(|| unlinked::bookings(self.kafka, self.translator, self.partition, &practice))?;
        Ok(unlinked::under_link(&bookings, &arguments.key(), &arguments.healthflow_patient_id, now)?)
    }

    /// Waits until the worker has undone the link.
    fn wait(
        &self,
        watch: &Watch<'_>,
        arguments: &UnlinkArguments,
        decision: &AppointmentDecision,
    ) -> anyhow::Result<UnderLink> {
        let (id, now) = (&decision.decision_id, || self.clock.now());
        let until = now().plus_ms(WAIT_LIMIT_MS);
        while now() < until {
            let refusal = || watch.refusal(&decision.practice_id, id, LOOK_AGAIN_MS, now);
            if let Some(Became::Refused { reason, detail }) = block_in_place(refusal)? {
                // The link was undone before, and what stands under it is not re-opened yet: this goes on from there.
                let under = self.under_link(arguments, now())?;
                let is_unfinished =
                    under.written.iter().any(|one| one.is_to_come && one.reopens_after.is_some());
                if *reason == *FailureReason::DecisionStale.code() && is_unfinished {
                    return Ok(under);
                }
                bail!("the worker refused decision {id} ({reason}): {detail}");
            }
            let under = self.under_link(arguments, now())?;
            if under.last_decision.as_ref() == Some(id) {
                return Ok(under);
            }
        }
        bail!(
            "decision {id} is written, and nothing came of it within {} s; see whether a worker has its partition, and run this \
             again once it has: it goes on from there",
            WAIT_LIMIT_MS / 1000
        )
    }

    /// Re-opens the versions that may be, as far as their content is still there (rule K10).
    async fn reopen(&self, under: &UnderLink, now: Timestamp) -> anyhow::Result<BTreeSet<BookingKey>> {
        let may_be = under.written.iter().filter(|one| one.is_to_come && one.reopens_after.is_some());
        let wanted: BTreeMap<BookingKey, Version> =
            may_be.map(|one| (one.key.clone(), one.version)).collect();
        let found =
            block_in_place(|| unlinked::requested(self.kafka, self.translator, self.partition, &wanted))?;
        let (publisher, mut reopened) = (Publisher::new(self.connection)?, BTreeSet::new());
        for one in &under.written {
            let Some((event, generation)) = found.get(&one.key).zip(one.reopens_after) else { continue };
            // What is not valid any more is published again like what is gone.
            let Ok(booking) = event.clone().into_booking(now) else { continue };
            reopened.insert(one.key.clone());
            let last_error = ReviewReason::Unlinked.code().into();
            let schedule = Schedule { not_before: now, last_error, ..Schedule::default() };
            let entry = RetryEntry { booking: Arc::new(booking), schedule, generation: generation + 1 };
            redrive::publish(&publisher, self.translator, &one.key, entry, &[]).await?;
        }
        Ok(reopened)
    }
}

fn follow_up(one: &Written, reopened: &BTreeSet<BookingKey>) -> FollowUp {
    match (one.is_to_come && one.reopens_after.is_some(), reopened.contains(&one.key)) {
        (true, true) => FollowUp::Asked,
        (true, false) => FollowUp::ContentGone,
        (false, _) => FollowUp::Stays,
    }
}

/// What became of one appointment.
fn line(one: &Written, follow_up: FollowUp) -> String {
    let visit = one.start.map_or_else(|| "cancelled".to_owned(), |start| format!("visit at {start}"));
    let what = match follow_up {
        FollowUp::Asked => {
            "is to come; its version is tried again, and a person is asked who it is for".to_owned()
        }
        FollowUp::ContentGone => format!(
            "is to come; version {} is not in appointments.requested any more: have DentScheduler publish it again under a higher \
             version",
            one.version
        ),
        FollowUp::Stays if one.is_to_come => {
            "is to come; a newer version of it is or was under way: see that it ends".to_owned()
        }
        FollowUp::Stays => "stays in that chart; correct it in HealthFlow".to_owned(),
    };
    format!("{} appointment {}, {visit}: {what}", one.key, one.appointment_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_appointment_says_what_becomes_of_it() {
        let one = Written {
            key: BookingKey { practice: "practice-1".into(), booking: "b-1".into() },
            appointment_id: "a-1".into(),
            version: 2,
            start: Some(Timestamp(1_767_600_000_000)),
            is_to_come: true,
            reopens_after: Some(1),
        };
        let none = BTreeSet::new();
        assert_eq!(follow_up(&one, &none), FollowUp::ContentGone);
        assert!(
            line(&one, FollowUp::ContentGone).contains("version 2 is not in appointments.requested any more")
        );
        let begin = "practice-1/b-1 appointment a-1, visit at 2026-01-05T08:00:00Z: is to come; its version is tried again";
        assert!(line(&one, FollowUp::Asked).starts_with(begin), "{}", line(&one, FollowUp::Asked));
        let newer = Written { reopens_after: None, ..one.clone() };
        assert!(line(&newer, follow_up(&newer, &none)).ends_with("under way: see that it ends"));
        let over = Written { is_to_come: false, ..one };
        assert!(
            line(&over, follow_up(&over, &none)).ends_with("stays in that chart; correct it in HealthFlow")
        );
    }

    #[test]
    fn an_undoing_is_about_no_version_and_says_who_and_why() {
        let arguments = UnlinkArguments {
            practice: "practice-1".into(),
            booking: "b-1".into(),
            healthflow_patient_id: "hf-1".into(),
            signed: Signed { by: "frontdesk-2".into(), why: "two people".into() },
            no_wait: false,
        };
        let decision = arguments.decision("d-1", Timestamp(1_767_600_000_000)).expect("it is valid");
        assert_eq!((decision.version, decision.generation), (0, 0));
        let nowhere = UnlinkArguments { healthflow_patient_id: String::new(), ..arguments };
        let refused = nowhere.decision("d-1", Timestamp(0)).expect_err("an id is missing").to_string();
        assert!(refused.contains("nothing was written"), "{refused}");
    }
}
