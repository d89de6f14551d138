//! A job whose next call a limit holds: it waits, and others whose limits have room go on.

use crate::booking::{PracticeId, Source};
use crate::event::Outgoing;
use crate::healthflow::Operation;
use crate::limits::{Claim, QuotaWait};
use crate::partition::job::{Job, JobKey, JobStage};
use crate::partition::moves::Move;
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::retry::WaitReason;
use crate::retry::schedule::delay_ms;
use crate::settings::Settings;
use crate::state::StateRecord;
use crate::time::Timestamp;

/// Over how long jobs that wait for one limit look again, in milliseconds: not all of them at once.
const SPREAD_MS: i64 = 500;

/// What a job's call may use of long limits: a reserve of them is for live bookings.
pub(super) fn claim_of(job: &Job, settings: &Settings) -> Claim {
    let is_history = job.at_work().is_some_and(|at_work| at_work.booking.source == Source::Backfill);
    if is_history && rules::leaves_reserve(settings) { Claim::Backfill } else { Claim::Live }
}

impl View<'_> {
    /// What becomes of a job that is about to ask this, if its limits have no room.
    pub(super) fn held_by_limit(
        &self,
        key: &JobKey,
        job: &Job,
        operation: Operation,
        turn: &Turn<'_>,
    ) -> Option<Move> {
        let (asking, is_begun) = (key.asking(self.partition, operation), job.asked_version.is_some());
        if let Some(at) = turn.limits.wait_until(asking, is_begun, turn.now) {
            return Some(Move::Wait(spread(key, at), WaitReason::Limit));
        }
        match turn.limits.quota_wait(asking, is_begun, claim_of(job, turn.settings), turn.now)? {
            QuotaWait::Until(at) => Some(Move::Wait(spread(key, at), WaitReason::Limit)),
            QuotaWait::Commit => rules::awaits_count(turn.settings).then_some(Move::AwaitCount),
        }
    }
}

impl Task {
    /// A job goes on once the next commit is good, which counts its call.
    pub(super) fn await_count(&mut self, key: &JobKey, mut job: Job, now: Timestamp) {
        self.uncounted.insert(key.practice().clone());
        self.outbox.renew();
        self.set_stage(key, &mut job, JobStage::AwaitsCommit, now);
        self.jobs.put_back(key, job);
    }

    /// The practices whose calls wait for the next commit to count them.
    pub fn take_uncounted(&mut self) -> impl Iterator<Item = PracticeId> + use<> {
        std::mem::take(&mut self.uncounted).into_iter()
    }

    /// The next commit says what this task counts of long limits; it should come soon.
    pub fn commit_counts(&mut self) {
        self.outbox.renew();
    }

    /// Puts what is counted into the commit that is about to begin.
    pub fn write_counts(&mut self, counts: impl IntoIterator<Item = StateRecord>) {
        for record in counts {
            self.outbox.write(Outgoing::State(Box::new(record)));
        }
    }
}

fn spread(key: &JobKey, at: Timestamp) -> Timestamp {
    at.plus_ms(delay_ms(key, 0, 1, SPREAD_MS, 2 * SPREAD_MS) - SPREAD_MS)
}
