//! The front desk of the torture: it ends every review as the plan says while everything breaks, and on the way writes decisions
//! that no worker may carry out: late, contradicting, about another question, or twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use healthflow_core::booking::BookingKey;
use healthflow_core::event::decision::{AppointmentDecision, VerdictSymbol};
use healthflow_core::event::result::ResultOutcome;
use healthflow_proof::random::Random;
use serde::Serialize;
use tokio::time::sleep;

use super::LOOK;
use crate::dentscheduler::now;
use crate::dentscheduler::publisher::Publisher;
use crate::front_desk::WHO;
use crate::journal::{Asked, Journal, Name};
use crate::workload::desk::Ending;
use crate::workload::{Expected, Publication, Workload};

/// Its random numbers, apart from those of the faults.
const DESK: u64 = 8;

/// What it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// Decisions that a worker must carry out.
    pub decisions: usize,
    /// Copies of such decisions, which must be passed over.
    pub copied_decisions: usize,
    /// Decisions that a worker must refuse.
    pub refused_decisions: usize,
    /// Newer versions that end a review.
    pub newer_versions: usize,
}

/// The front desk at work.
pub struct FrontDesk<'a> {
    publisher: &'a Publisher,
    journal: &'a Arc<Journal>,
    workload: &'a Workload,
    chart_ids: &'a [String],
    seed: u64,
    decided: Mutex<Decided>,
}

/// An open review.
struct Open {
    booking: BookingKey,
    version: i64,
    generation: u32,
    ending: Ending,
}

impl<'a> FrontDesk<'a> {
    /// One that decides what `journal` sees in review.
    pub fn new(
        publisher: &'a Publisher,
        journal: &'a Arc<Journal>,
        workload: &'a Workload,
        chart_ids: &'a [String],
        seed: u64,
    ) -> FrontDesk<'a> {
        FrontDesk { publisher, journal, workload, chart_ids, seed, decided: Mutex::default() }
    }

    /// What it did so far.
    pub fn decided(&self) -> Decided {
        *self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides whatever comes; ends only if it fails.
    pub async fn work(&self) -> Result<()> {
        let mut random = Random::new(self.seed.wrapping_add(DESK));
        let planned: HashMap<BookingKey, Ending> = self
            .workload
            .publications
            .iter()
            .filter_map(|one| match one.expected {
                Expected::Review(ending) => Some((one.booking(), ending)),
                _ => None,
            })
            .collect();
        let (mut seen, mut undecided) = (0, planned);
        loop {
            let open = self.look(&mut seen, &mut undecided);
            for one in open {
                self.end(&one, &mut random).await?;
            }
            sleep(LOOK).await;
        }
    }

    /// The reviews among the results that came since it looked last, each once.
    fn look(&self, seen: &mut usize, undecided: &mut HashMap<BookingKey, Ending>) -> Vec<Open> {
        let notes = self.journal.notes();
        let new = notes.results.iter().skip(*seen).filter(|result| result.outcome == ResultOutcome::Review);
        let open = new.filter_map(|result| {
            let (booking, version) = result.version.clone()?;
            let ending = undecided.remove(&booking)?;
            Some(Open { booking, version, generation: result.generation, ending })
        });
        let open = open.collect();
        *seen = notes.results.len();
        open
    }

    async fn end(&self, one: &Open, random: &mut Random) -> Result<()> {
        let (verdict, chart) = match one.ending {
            Ending::Linked(chart) => (VerdictSymbol::Link, self.chart_ids.get(chart)),
            Ending::New => (VerdictSymbol::Create, None),
            Ending::Rejected => (VerdictSymbol::Reject, None),
            Ending::Open => return Ok(()),
            Ending::Named(_) | Ending::Cancelled => return self.publish_newer(one).await,
        };
        let right = one.decision(verdict, chart, "");
        // What comes before the right one leaves the question open; what comes after it is too late.
        match random.below(5) {
            0 => {
                let mut of_another = one.decision(verdict, chart, "-other");
                of_another.generation += 1;
                self.write_in_vain(of_another, "DECISION_STALE").await?;
            }
            1 => {
                let retry = one.decision(VerdictSymbol::Retry, None, "-retry");
                self.write_in_vain(retry, "DECISION_CONTRADICTS").await?;
            }
            _ => {}
        }
        self.publisher.decide(&right).await?;
        self.count(|decided| decided.decisions += 1);
        match random.below(5) {
            0 => {
                let late = one.decision(VerdictSymbol::Reject, None, "-late");
                self.write_in_vain(late, "DECISION_STALE").await?;
            }
            1 => {
                self.publisher.decide(&right).await?;
                self.count(|decided| decided.copied_decisions += 1);
            }
            _ => {}
        }
        Ok(())
    }

    async fn publish_newer(&self, one: &Open) -> Result<()> {
        let newer: Vec<Publication> =
            self.workload.newer.iter().filter(|newer| newer.booking() == one.booking).cloned().collect();
        self.publisher.publish(&newer, self.chart_ids, self.journal).await?;
        self.count(|decided| decided.newer_versions += newer.len());
        Ok(())
    }

    /// Writes a decision that must be refused for `reason`, and asks for that dead letter.
    async fn write_in_vain(&self, decision: AppointmentDecision, reason: &'static str) -> Result<()> {
        let name = Name::Decision(decision.decision_id.to_string());
        let asked = Asked { name, expected: Expected::Refused(reason), at: now() };
        self.journal.notes().asked.push(asked);
        self.count(|decided| decided.refused_decisions += 1);
        self.publisher.decide(&decision).await
    }

    fn count(&self, change: impl FnOnce(&mut Decided)) {
        change(&mut self.decided.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Open {
    /// A decision about it; `suffix` tells several about one question apart.
    fn decision(&self, verdict: VerdictSymbol, chart: Option<&String>, suffix: &str) -> AppointmentDecision {
        AppointmentDecision {
            decision_id: format!("{}/{}{suffix}", self.booking, self.version).into(),
            practice_id: self.booking.practice.clone(),
            booking_id: self.booking.booking.clone(),
            version: self.version,
            generation: self.generation.into(),
            verdict,
            healthflow_patient_id: chart.map(|id| id.as_str().into()),
            healthflow_appointment_id: None,
            decided_by: WHO.into(),
            why: "torture".into(),
            decided_at: now(),
        }
    }
}
