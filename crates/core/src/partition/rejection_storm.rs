//! What a storm of refusals means for a task: whom it puts aside, who is tried, and who comes back once it is over.

use crate::booking::{BookingKey, PracticeId, Version};
use crate::healthflow::Operation;
use crate::limits::rejection_storm::StormOf;
use crate::partition::job::{Job, JobKey, Purpose};
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::retry::WaitReason;
use crate::time::Timestamp;

impl Task {
    /// Whether a version that HealthFlow refuses for good waits all the same, for everything is refused just now.
    pub(super) fn is_refused_in_storm(
        &self,
        key: &BookingKey,
        version: Version,
        operation: Operation,
        turn: &Turn<'_>,
    ) -> bool {
        turn.storms.is_refused_in_storm(&key.practice, operation)
            // A look on behalf of a question, or what a person rejected meanwhile, ends as ever.
            && !self.is_question(key, version)
            && !self.is_rejected_version(key, version)
            && rules::storm_defers_refusals(turn.settings)
    }

    /// A version was refused in a storm. That is no attempt. If a newer one came meanwhile, that goes on in its place.
    pub(super) fn wait_for_calm(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        version: Version,
        turn: &mut Turn<'_>,
    ) {
        if job.newest().is_some_and(|newest| newest.booking.version == version) {
            let until = parked_until(turn);
            self.park_all(key, job, until, WaitReason::RejectionStorm, turn);
        }
    }

    /// Whether the booking of a call had been put aside in a storm.
    pub fn was_in_storm(&self, key: &JobKey) -> bool {
        self.jobs.get(key).is_some_and(was_in_storm)
    }

    /// Takes out one booking that waits for the end of a storm, to be tried; false if none is here that may.
    pub fn try_in_storm(&mut self, of: &StormOf, turn: &Turn<'_>) -> bool {
        if self.is_draining() {
            return false;
        }
        let may_try = |practice: &PracticeId| {
            of.practice.as_ref().is_none_or(|of| of == practice)
                && !turn.storms.holds(practice, of.operation, true, turn.now)
        };
        let Some(waiting) = self.waiting_room.take_first_in_storm(may_try) else { return false };
        self.take_from_waiting_room(waiting, turn);
        true
    }

    /// A storm is over: who waits for that, and for no other one, need not wait for its time.
    pub fn take_back_stormed(&mut self, turn: &Turn<'_>) {
        while let Some(waiting) =
            self.waiting_room.take_first_in_storm(|practice| turn.storms.is_calm(practice))
        {
            self.take_from_waiting_room(waiting, turn);
        }
    }
}

impl View<'_> {
    /// Until when a job is put aside that is about to ask what a storm has refused; none if it may ask.
    pub(super) fn stormed_until(
        &self,
        key: &JobKey,
        job: &Job,
        operation: Operation,
        purpose: Purpose,
        turn: &Turn<'_>,
    ) -> Option<Timestamp> {
        // A probe may find out both, and nothing moves in Kafka meanwhile.
        if purpose == Purpose::Settle || turn.is_stopped() || !rules::storm_puts_aside(turn.settings) {
            return None;
        }
        let practice = rules::practice_in_storm(key, turn);
        let holds = turn.storms.holds(practice, operation, was_in_storm(job), turn.now);
        holds.then(|| parked_until(turn))
    }
}

fn was_in_storm(job: &Job) -> bool {
    job.newest().is_some_and(|newest| newest.waited_for().is_some_and(WaitReason::is_storm))
}

/// So late that it is no busy loop; it comes back earlier to be tried, or once the storm is over.
fn parked_until(turn: &Turn<'_>) -> Timestamp {
    turn.now.plus_ms(turn.settings.retry_backoff_max_ms)
}
