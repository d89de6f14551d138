//! What can no longer be confirmed in time is moved aside, so that what still can goes first. Without it fresh bookings stand
//! behind the backlog of an overload or an outage, and all of them are late.

use crate::partition::job::{JobKey, JobStage};
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::retry::WaitReason;
use crate::time::Timestamp;

impl Task {
    /// Looks at bookings that came in so long ago that their promise is about to break: it is told so, and what still waits for its
    /// first call goes behind those that can be in time, at once here, and in Kafka over several commits. The next owner of a task that
    /// is given back does that.
    pub(super) fn move_overdue_aside(&mut self, turn: &mut Turn<'_>) {
        if self.jobs.has_stopped() && !turn.is_stopped() {
            self.jobs.go_on(turn.now, |practice| turn.by_hand.stops(practice));
        }
        while let Some(key) = self.jobs.take_overdue(turn.now) {
            if !self.is_draining() {
                self.note_late(&key, turn);
                self.let_others_pass(&key, turn);
            }
        }
        while self.outbox.has_room()
            && let Some(key) = self.jobs.take_late()
        {
            if !self.is_draining() {
                self.move_aside(&key, turn);
            }
        }
    }

    /// When a job is overdue, if it came in as a fresh booking and still waits for its first call.
    fn overdue_at(&self, key: &JobKey, turn: &Turn<'_>) -> Option<Timestamp> {
        let after_ms = turn.settings.overdue_after_ms;
        let job = self.jobs.get(key).filter(|_| after_ms > 0)?;
        let waits = matches!(job.stage, JobStage::Arrived | JobStage::AwaitsPatient(_));
        let newest = job.newest().filter(|newest| waits && newest.is_fresh())?;
        (job.asked_version.is_none() && !self.is_rejected(key, job)).then(|| newest.overdue_at(after_ms))
    }

    /// While HealthFlow does not work, or its practice is paused, nothing goes before a booking. Once that is over, what it made late
    /// goes behind what can still be in time.
    fn is_stopped_for(&self, key: &JobKey, turn: &Turn<'_>) -> bool {
        turn.is_stopped() || turn.by_hand.stops(key.practice())
    }

    /// From now on a job is served behind those that can be in time, if it is overdue.
    fn let_others_pass(&mut self, key: &JobKey, turn: &Turn<'_>) {
        let Some(overdue_at) = self.overdue_at(key, turn) else { return };
        if turn.now < overdue_at {
            self.jobs.note_overdue(overdue_at, key.clone());
        } else if self.is_stopped_for(key, turn) {
            self.jobs.note_stopped(key.clone());
        } else {
            self.jobs.is_late(overdue_at, key);
        }
    }

    /// Parks a job that is late: at no attempt, and due at once, behind what is fresh.
    fn move_aside(&mut self, key: &JobKey, turn: &mut Turn<'_>) {
        let JobKey::Booking(booking) = key else { return };
        if self.overdue_at(key, turn).is_none() {
            return;
        }
        if self.is_stopped_for(key, turn) {
            return self.jobs.note_stopped(key.clone());
        }
        let Some(mut job) = self.jobs.take(key) else { return };
        self.park_all(booking, &mut job, turn.now, WaitReason::Overdue, turn);
        self.end(key, &mut job, turn.now);
        self.note_job(key, turn);
    }
}
