//! What can no longer be confirmed in time is moved aside, so that what still can goes first. Without it fresh bookings stand
//! behind the backlog of an overload or an outage, and all of them are late.

use crate::partition::job::{JobKey, JobStage};
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::retry::WaitReason;

/// How long until an overdue booking is looked at again while nothing goes on, in milliseconds.
const LOOK_AGAIN_MS: i64 = 1_000;

impl Task {
    /// Looks at bookings that came in so long ago that its promise is about to break: it is told so, and moved aside if it still waits
    /// for its first place. The next owner of a task that is given back does that. A burst is moved aside over several commits.
    pub(super) fn move_overdue_aside(&mut self, turn: &mut Turn<'_>) {
        while self.outbox.has_room()
            && let Some(key) = self.jobs.take_overdue(turn.now)
        {
            if !self.is_draining() {
                self.note_late(&key, turn);
                self.move_aside(&key, turn);
            }
        }
    }

    /// Parks a job if it is overdue: at no attempt, and due at once, behind what is fresh.
    fn move_aside(&mut self, key: &JobKey, turn: &mut Turn<'_>) {
        let JobKey::Booking(booking) = key else { return };
        if turn.settings.overdue_after_ms == 0 {
            return;
        }
        let Some(job) = self.jobs.get(key) else { return };
        let waits = job.stage == JobStage::Arrived && job.asked_version.is_none();
        let Some(newest) = job.newest().filter(|newest| waits && newest.is_fresh()) else { return };
        let overdue_at = newest.overdue_at(turn.settings.overdue_after_ms);
        let is_stopped = turn.is_stopped() || turn.by_hand.stops(&booking.practice);
        // While HealthFlow does not work, or its practice is paused, nothing goes before it: it is looked at again. Once that is over,
        // what it made late goes behind what can still be in time.
        if is_stopped || turn.now < overdue_at {
            let again_at = overdue_at.max(turn.now.plus_ms(LOOK_AGAIN_MS));
            return self.jobs.note_overdue(again_at, key.clone());
        }
        if self.is_rejected(key, job) {
            return;
        }
        let Some(mut job) = self.jobs.take(key) else { return };
        self.park_all(booking, &mut job, turn.now, WaitReason::Overdue, turn);
        self.end(key, &mut job, turn.now);
        self.note_job(key, turn);
    }
}
