//! Who would ask HealthFlow and may not: because it does not work, because an operator stopped everything, or because its
//! practice is paused or limited by hand. Without an intent, without its patient and without a place it keeps nobody from
//! anything. What belongs to one practice waits beside the queue, and after a while in `appointments.retry`, so that the lane of
//! its neighbours moves.

use crate::booking::{BookingKey, PatientKey, PracticeId};
use crate::partition::job::{Job, JobKey, JobStage};
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::retry::WaitReason;
use crate::time::Timestamp;

impl Task {
    /// Nothing may be asked now: the job is back where it waits for a place, behind the others, without an intent and without
    /// its patient. If that is about its practice alone, it waits beside them.
    pub(super) fn hold_back(&mut self, key: &JobKey, mut job: Job, turn: &mut Turn<'_>) {
        let (now, since) = (turn.now, job.waiting_since.unwrap_or(turn.now));
        self.end(key, &mut job, now);
        if turn.holds_back() {
            self.jobs.put_back(key, job);
            self.jobs.look_again(key.clone());
            return;
        }
        let give_up_at = since.plus_ms(turn.settings.memory_wait_ms);
        let Some(booking) = self.may_be_parked(key, &job) else {
            // A doubt without a record has nothing to be parked.
            self.jobs.put_back(key, job);
            self.jobs.hold(key);
            return;
        };
        if now >= give_up_at {
            return self.park_held(&booking, job, turn);
        }
        job.waiting_since = Some(since);
        self.jobs.put_back(key, job);
        self.jobs.hold(key);
        self.jobs.wake_at(give_up_at, key.clone());
    }

    /// Nothing may be asked any more, or nothing of one practice: jobs that were about to ask are held back, in the same order,
    /// before those that wait for a place.
    pub fn stand_down(&mut self, of: Option<&PracticeId>, now: Timestamp) {
        let is_meant = |key: &JobKey| of.is_none_or(|practice| key.practice() == practice);
        let ready = self.jobs.drain_ready(is_meant).into_iter();
        let awaiting = self.outbox.awaited_by().filter(|key| is_meant(key)).cloned();
        let about_to_ask: Vec<JobKey> = ready.chain(awaiting).collect();
        about_to_ask.into_iter().rev().for_each(|key| self.stand_down_one(key, now));
    }

    /// The same for one job, if it was about to ask.
    fn stand_down_one(&mut self, key: JobKey, now: Timestamp) {
        let Some(mut job) = self.jobs.take(&key) else { return };
        let is_unsent = job.stage.is_about_to_ask();
        if is_unsent {
            self.is_not_alone_any_more(&key, job.patient.as_ref(), now);
            self.end(&key, &mut job, now);
        }
        self.jobs.put_back(&key, job);
        if is_unsent {
            self.jobs.look_again_first(key);
        }
    }

    /// A patient is held from now on: whoever is about to ask for it is not. Its intent was written before the hold, and would let it
    /// go out as soon as a person's decision is read, before that is durable (rule K4).
    pub(super) fn stand_down_for(&mut self, patient: &PatientKey, now: Timestamp) {
        if let Some(holder) = self.jobs.holder_of(patient).cloned() {
            self.stand_down_one(holder, now);
        }
    }

    /// Lets those go of a limited practice for whom there is room, and those of a practice that is not held any more.
    pub fn let_some_go(&mut self, turn: &Turn<'_>) {
        for (practice, room) in self.room(turn) {
            for key in self.jobs.take_held(&practice, room).into_iter().rev() {
                if self.jobs.is_at_hand(&key) {
                    self.jobs.look_again_first(key);
                } else {
                    // Its record is parked, its doubt is not.
                    self.jobs.wake_at(turn.now, key);
                }
            }
        }
    }

    /// Whether somebody could be let go at once.
    pub fn can_let_go(&self, turn: &Turn<'_>) -> bool {
        !self.room(turn).is_empty()
    }

    /// The practices with somebody to let go, and how many of them.
    fn room(&self, turn: &Turn<'_>) -> Vec<(PracticeId, usize)> {
        if !self.jobs.holds_anybody() || self.is_draining() {
            return Vec::new();
        }
        let room = |practice: &PracticeId| match turn.by_hand.places(practice) {
            _ if turn.by_hand.stops(practice) => 0,
            Some(places) => places.saturating_sub(self.jobs.about_to_ask(practice)),
            None => usize::MAX,
        };
        let practices = self.jobs.held_practices().map(|practice| (practice.clone(), room(practice)));
        practices.filter(|(_, room)| *room > 0).collect()
    }

    /// A practice is not paused any more, or not limited as it was: its parked bookings need not wait for their time.
    pub fn take_back_held(&mut self, practice: &PracticeId, turn: &Turn<'_>) {
        for waiting in self.waiting_room.take_held_by_hand(practice) {
            self.take_from_waiting_room(waiting, turn);
        }
    }

    /// Parks who is held by hand if their records would keep a lane from being read on.
    pub fn make_room(&mut self, turn: &mut Turn<'_>) {
        if !self.jobs.holds_anybody() || turn.holds_back() || !self.progress.is_full(turn.settings) {
            return;
        }
        let practices: Vec<PracticeId> = self.jobs.held_practices().cloned().collect();
        let held: Vec<JobKey> =
            practices.iter().flat_map(|practice| self.jobs.take_held(practice, usize::MAX)).collect();
        for key in held {
            let Some(job) = self.jobs.take(&key) else {
                // A doubt whose record is parked already.
                self.jobs.hold(&key);
                continue;
            };
            let booking = self.may_be_parked(&key, &job).filter(|_| job.stage == JobStage::Arrived);
            if let Some(booking) = booking {
                self.park_held(&booking, job, turn);
            } else {
                self.jobs.put_back(&key, job);
                self.jobs.hold(&key);
            }
        }
    }

    /// The booking of a job that has records to be parked.
    fn may_be_parked(&self, key: &JobKey, job: &Job) -> Option<BookingKey> {
        match key {
            JobKey::Booking(booking) if !job.versions.is_empty() && !self.is_rejected(key, job) => {
                Some(booking.clone())
            }
            _ => None,
        }
    }

    /// Parks what is held. It is no attempt; a paused practice's bookings come back so late that they are no busy loop, and at
    /// once when it is resumed.
    fn park_held(&mut self, key: &BookingKey, mut job: Job, turn: &mut Turn<'_>) {
        let (why, until) = if turn.by_hand.stops(&key.practice) {
            (WaitReason::Paused, turn.now.plus_ms(turn.settings.retry_backoff_max_ms))
        } else {
            (WaitReason::Limited, self.next_parking_ends(key, &job, turn))
        };
        rules::count_pause(&mut job, turn.settings);
        self.park_all(key, &mut job, until, why, turn);
        self.end(&JobKey::Booking(key.clone()), &mut job, turn.now);
        // Its doubt settles once it may ask.
        if let Some(doubt) = self.intents.doubt(key) {
            self.jobs.wake_at(doubt.settles_at.max(soon(turn.now)), JobKey::Booking(key.clone()));
        }
    }
}

impl View<'_> {
    /// Whether a job must not ask, though others may.
    pub(super) fn is_stopped_by_hand(&self, key: &JobKey, job: &Job, turn: &Turn<'_>) -> bool {
        let practice = key.practice();
        if turn.by_hand.stops(practice) {
            return rules::stops(job, turn.settings);
        }
        let Some(places) = turn.by_hand.places(practice) else { return false };
        let others =
            self.jobs.about_to_ask(practice).saturating_sub(usize::from(job.stage.is_about_to_ask()));
        others >= places
    }
}

fn soon(now: Timestamp) -> Timestamp {
    now.plus_ms(1)
}
