//! Looking at jobs: when they are admitted, after every answer, when what they wait for has come, and once more right before
//! a request goes out. What is done about a job is decided in `decide.rs` and carried out in `apply.rs`.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::healthflow::Request;
use crate::limits::fair_queue::CALL;
use crate::partition::job::{Job, JobKey, JobStage, Purpose, Share};
use crate::partition::moves::Awaited;
use crate::partition::rules;
use crate::partition::subject::Subject;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::retry::WaitReason;
use crate::time::Timestamp;

/// So many moves a job may take, one after the other, without being done with a version or left somewhere. In all that
/// tests tried it takes less than half of that; what takes more would take them for ever, and hang the worker.
pub(super) const MOVES_MAX: usize = 16;

/// How long a job waits that was left nowhere in so many moves, in milliseconds.
const UNDECIDED_MS: i64 = 60_000;

/// So many jobs are woken in one turn; the next turn goes on, so that not even a job that is due again at once keeps the
/// others waiting.
const WAKES_MAX: usize = 10_000;

/// Where a job is left.
#[derive(Debug)]
pub(super) enum Next {
    /// It asks HealthFlow, as soon as there is a permit and, for a write, its intent is durable.
    Ask(Arc<Request>, Purpose),
    /// Nothing before this moment; and for what.
    Wait(Timestamp, WaitReason),
    /// Nothing until the next commit, which counts its call in a long limit.
    AwaitCount,
    /// Nothing until it is woken.
    Await(Awaited),
    /// Another booking will free the slot; at this moment it is tried all the same.
    AwaitSlot(Timestamp),
    /// It would ask, and nothing may be asked now.
    HeldBack,
    /// Nothing more: every version has ended or is parked.
    Done,
}

/// Whom a probe may be of, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeChoice {
    /// A look-up that is due, of a practice whose probes did not fail.
    LookUp,
    /// Anything of a practice whose probes did not fail.
    AnotherPractice,
    /// Anything.
    Anything,
}

impl ProbeChoice {
    /// All, the best first.
    pub const ALL: [ProbeChoice; 3] =
        [ProbeChoice::LookUp, ProbeChoice::AnotherPractice, ProbeChoice::Anything];
}

impl Task {
    /// Decides again about a job and moves it to its next stage.
    pub(super) fn advance(&mut self, key: &JobKey, turn: &mut Turn<'_>) {
        let Some(mut job) = self.jobs.take(key) else { return };
        if job.stage.takes_place() {
            self.jobs.put_back(key, job);
            return;
        }
        let awaited = match &job.stage {
            JobStage::AwaitsPatient(patient) => Some(patient.clone()),
            _ => None,
        };
        let noted = match key {
            JobKey::Booking(booking) if !self.is_draining() => Some(booking),
            _ => None,
        };
        noted.into_iter().for_each(|booking| self.note_slots_of(booking, &mut job, turn));
        let next = self.next_of(key, &mut job, turn);
        if let Next::Ask(request, purpose) = &next {
            job.share = Share::of(&job, *purpose);
            let stage = if self.may_be_sent(key, &job, request, *purpose, turn) {
                JobStage::Ready
            } else {
                JobStage::AwaitsCommit
            };
            self.set_stage(key, &mut job, stage, turn.now);
            noted.into_iter().for_each(|booking| self.note_slots_of(booking, &mut job, turn));
            self.jobs.put_back(key, job);
        } else {
            self.put_aside(key, job, next, turn);
            self.note_job(key, turn);
        }
        // It was its turn, and it did not take the patient after all: the next one may.
        if let Some(patient) = awaited.filter(|patient| !self.jobs.is_patient_busy(patient)) {
            self.jobs.unlock_patient(&patient);
        }
    }

    /// Takes the next job that waits for a place of this share, if there is one.
    pub fn admit(&mut self, share: Share, turn: &mut Turn<'_>) -> bool {
        let Task { jobs, ledger, .. } = self;
        // A practice of weight two has twice as many turns.
        let cost = |key: &JobKey, job: &Job| {
            (ledger.expected_calls(job) * CALL / turn.by_hand.weight(key.practice()).max(1)).max(1)
        };
        let Some(key) = jobs.next_arrival(share, cost) else { return false };
        self.advance(&key, turn);
        true
    }

    /// Takes a job that `choice` allows as a probe, if there is one.
    pub fn admit_probe(&mut self, choice: ProbeChoice, turn: &mut Turn<'_>) -> bool {
        let Task { jobs, intents, .. } = self;
        let is_due = |key: &JobKey| {
            let doubt = intents.doubt(Subject::settled_by(key));
            doubt.is_some_and(|doubt| doubt.settles_at <= turn.now)
        };
        let allows = |key: &JobKey| match choice {
            ProbeChoice::LookUp => is_due(key) && !turn.breaker.passes_over(key.practice()),
            ProbeChoice::AnotherPractice => !turn.breaker.passes_over(key.practice()),
            ProbeChoice::Anything => true,
        };
        let Some(key) = jobs.take_arrival(allows) else { return false };
        self.advance(&key, turn);
        true
    }

    /// Wakes every job whose moment has come; a doubt that is quiet gets a job of its own if it has none (rule W5).
    pub fn wake(&mut self, turn: &mut Turn<'_>) {
        self.end_holds(turn);
        self.let_some_go(turn);
        self.move_overdue_aside(turn);
        self.look_at_outage(turn);
        self.repark_what_pins(turn);
        if !self.is_draining() {
            self.attend_to_reviews(turn);
        }
        for _ in 0..WAKES_MAX {
            let Some(key) = self.jobs.take_due(turn.now) else { break };
            if !self.jobs.is_at_hand(&key) {
                let is_open = self.intents.is_open(Subject::settled_by(&key));
                if !rules::settles_without_record(is_open, turn.settings) {
                    continue;
                }
                self.jobs.open(&key);
            }
            self.advance(&key, turn);
        }
        let searches = self.jobs.iter().filter_map(|job| job.search.as_ref());
        let oldest_search = || searches.map(|search| search.started_at).min();
        self.recent_creations.prune(turn.now, turn.settings.search_lag_ms, oldest_search);
        self.outbox.renew_if_old(turn.now);
    }

    /// Decides about a job and carries that out until the job is left somewhere; returns where.
    pub(super) fn next_of(&mut self, key: &JobKey, job: &mut Job, turn: &mut Turn<'_>) -> Next {
        let mut moves = 0;
        while moves < MOVES_MAX {
            let at_hand = job.versions.len();
            let decided = self.view().decide(key, job, turn);
            if let ControlFlow::Break(next) = self.apply(decided, key, job, turn) {
                return next;
            }
            moves = if job.versions.len() < at_hand { 0 } else { moves + 1 };
        }
        debug_assert!(false, "a job took {moves} moves and was left nowhere");
        Next::Wait(turn.now.plus_ms(UNDECIDED_MS), WaitReason::Undecided)
    }
}
