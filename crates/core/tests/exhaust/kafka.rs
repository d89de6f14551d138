//! Kafka as far as one task can see it: two logs, what a restore reads, the committed offsets, and the epoch of the
//! transactional id. A transaction is committed whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use healthflow_core::booking::{Booking, VersionKey};
use healthflow_core::event::failed::DeadContent;
use healthflow_core::event::retry::AppointmentRetry;
use healthflow_core::event::review::AppointmentReview;
use healthflow_core::event::state::{AppointmentStateRecord, PatientStateRecord};
use healthflow_core::event::{Arrival, Decision, Outgoing, RetryEntry, ReviewCase, Verdict};
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::patient::decide::Agreement;
use healthflow_core::state::{Hold, StateRecord, TaskState};
use healthflow_core::sync::ReviewReason;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::promises::results::{Outcome, one_result};

#[derive(Clone, Debug, Default, Hash)]
pub struct Kafka {
    /// How many of the scenario's records are published.
    pub published: usize,
    pub retry: Vec<RetryEntry>,
    /// What people decided.
    pub decisions: Vec<Decision>,
    /// What a restore reads.
    pub state: TaskState,
    pub offsets: BTreeMap<Lane, i64>,
    /// The producer epoch; whoever has an older one is fenced.
    pub epoch: u64,
    /// When the owner of each epoch was fenced off by the next, from epoch 0 on.
    pub fences: Vec<Timestamp>,
    /// Versions that wait for a person's decision.
    pub in_review: BTreeSet<VersionKey>,
    /// Final results of each version.
    pub verdicts: BTreeMap<VersionKey, Outcome>,
}

impl Kafka {
    pub fn committed(&self, lane: Lane) -> i64 {
        self.offsets.get(&lane).copied().unwrap_or(0)
    }

    /// Where a lane ends.
    pub fn end(&self, lane: Lane) -> i64 {
        match lane {
            Lane::Requested => self.published as i64,
            Lane::Retry => self.retry.len() as i64,
            Lane::Decisions => self.decisions.len() as i64,
        }
    }

    /// The record of a lane at `offset`.
    pub fn record(&self, lane: Lane, offset: i64, records: &[Booking]) -> Arrival {
        let index = offset as usize;
        match lane {
            Lane::Requested => Arrival::Requested(Arc::new(records[index].clone())),
            Lane::Retry => Arrival::Retry(Box::new(self.retry[index].clone())),
            Lane::Decisions => Arrival::Decided(Box::new(self.decisions[index].clone())),
        }
    }

    /// What is asked of people: each question's version and generation.
    fn questions(&self) -> impl Iterator<Item = (VersionKey, u32)> {
        let asked = |of: &VersionKey| {
            let state = self.state.bookings.get(&of.booking)?;
            let parked = state.parked(of.version)?;
            (state.hold(of.version) == Some(Hold::Question)).then(|| (of.clone(), parked.generation))
        };
        self.in_review.iter().filter_map(asked)
    }

    /// The decisions that somebody may write now: both verdicts about the first question, and one about a question that nobody
    /// asks; once there are `most` of them, only one that is needed.
    pub fn possible_decisions(&self, most: usize) -> Vec<Decision> {
        let Some((VersionKey { booking: key, version }, generation)) = self.questions().next() else {
            return Vec::new();
        };
        let decision = |verdict, generation| Decision {
            id: format!("d-{}", self.decisions.len()).into(),
            key: key.clone(),
            version,
            generation,
            verdict,
            by: "desk".into(),
            at: Timestamp(0),
        };
        let is_about =
            |one: &Decision| (&one.key, one.version, one.generation) == (&key, version, generation);
        let needed = decision(Verdict::Create, generation);
        match self.decisions.iter().any(is_about) {
            true if self.decisions.len() >= most => Vec::new(),
            false if self.decisions.len() >= most => vec![needed],
            _ => {
                let (other, stale) =
                    (decision(Verdict::Reject, generation), decision(Verdict::Reject, generation + 1));
                vec![needed, other, stale]
            }
        }
    }

    /// Fences whoever had the task; the new epoch.
    pub fn fence(&mut self, now: i64) -> u64 {
        self.fences.push(Timestamp(now));
        self.epoch += 1;
        self.epoch
    }

    /// Makes a transaction stand; what it breaks. What is written goes through the records' wire values, so that what
    /// is only memory does not survive.
    pub fn apply(&mut self, batch: &CommitBatch, now: i64) -> Vec<String> {
        let mut broken = Vec::new();
        for record in &batch.records {
            match record {
                Outgoing::Synced(done) => {
                    let version = done.identity.version_key();
                    self.answer(version, Ok(done.outcome), &mut broken);
                }
                Outgoing::Failed(letter) if matches!(letter.content, DeadContent::Decision(_)) => {}
                Outgoing::Failed(letter) => {
                    let identity = letter.identity.as_ref().expect("every record of a small world has one");
                    self.answer(identity.version_key(), Err(letter.reason), &mut broken);
                }
                Outgoing::Retry(entry) => {
                    let record = AppointmentRetry::from(&**entry);
                    self.retry.push(record.into_entry(Timestamp(now)).expect("it was possible before"));
                }
                Outgoing::State(state) => self.state.apply(match &**state {
                    StateRecord::Booking(key, state) => as_read(AppointmentStateRecord::of(key, state)),
                    StateRecord::Patient(key, state) => PatientStateRecord::of(key, state).into(),
                    StateRecord::Task(positions) => as_read(AppointmentStateRecord::from(positions)),
                    StateRecord::Quota(owner, counts) => {
                        as_read(AppointmentStateRecord::from((owner, counts)))
                    }
                }),
                Outgoing::Review(case) if is_about_near_twins(case) => {
                    self.in_review.insert(case.booking.version_key());
                    let held = AppointmentReview::from(&**case).into_held(Timestamp(now));
                    self.state.apply_held(held.expect("it was possible before"));
                }
                Outgoing::Released(of) => {
                    self.in_review.remove(of);
                    self.state.release_held(of);
                }
                Outgoing::Review(_)
                | Outgoing::Notice(_)
                | Outgoing::ReleasedOfOld(_)
                | Outgoing::Forwarded(..)
                | Outgoing::Forgotten(_) => {
                    broken.push("a small world has nothing to review, forward or forget".to_owned());
                }
            }
        }
        self.offsets.extend(batch.offsets.iter().map(|at| (at.lane, at.offset)));
        broken
    }

    fn answer(&mut self, version: VersionKey, verdict: Outcome, broken: &mut Vec<String>) {
        let text = format!("one result: {version}");
        // Nobody redrives anything in a small world.
        let second = one_result(&mut self.verdicts, version, verdict, |_, _| false);
        broken.extend(second.map(|what| format!("{text} {what}")));
    }
}

/// Only they are held in a small world: all is equal but for a mark or the sex.
fn is_about_near_twins(case: &ReviewCase) -> bool {
    case.waits_for.is_some()
        || case.reason == ReviewReason::AmbiguousPatient
            && case.evidence.iter().all(|one| {
                one.given_name_without_marks == Agreement::Equal
                    && (one.given_name == Agreement::Differs || one.sex == Agreement::Differs)
            })
}

fn as_read(record: AppointmentStateRecord) -> StateRecord {
    StateRecord::try_from(record).expect("what was written can be read")
}
