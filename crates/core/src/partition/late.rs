//! Reports to those who wait for a booking that it will not be confirmed in time (`DELAYED` in `appointments.notices`), once. The notice
//! is written with the state that remembers it, so that neither a restart nor a take-over repeats it; a booking without its notice is
//! found late again by the next owner. A notice is never a reason to hold up a result: few go into one commit, the others wait.

use std::sync::Arc;

use crate::booking::{Booking, BookingKey, Source};
use crate::event::notice::{About, Delay};
use crate::event::{Identity, Notice, Outgoing};
use crate::fact::Fact;
use crate::limits::Outlook;
use crate::partition::job::{InHand, Job, JobKey, JobStage};
use crate::partition::notices::Late;
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::waiting::{HeldUpBy, waits_for};
use crate::retry::WaitReason;
use crate::settings::Settings;
use crate::state::{ParkingPlace, ToldDelay};
use crate::time::Timestamp;

impl Task {
    /// Whether a notice is to be written. A task that is given back leaves that to the next owner.
    pub fn has_notices(&self) -> bool {
        (self.notices.are_due() || self.outages.have_changed()) && !self.is_draining()
    }

    /// Sees to it that a version which was taken in hand is looked at when it is late.
    pub(super) fn note_promise(&mut self, in_hand: &InHand, settings: &Settings) {
        let moves_aside = settings.overdue_after_ms > 0 && in_hand.is_fresh();
        let after_ms = match settings.late_after_ms() {
            Some(after_ms) if is_promised(&in_hand.booking) && in_hand.position.is_some() => after_ms,
            _ if moves_aside => settings.overdue_after_ms,
            _ => return,
        };
        let key = JobKey::Booking(in_hand.booking.key.clone());
        self.jobs.note_overdue(in_hand.overdue_at(after_ms), key);
    }

    /// Notes that a version at hand is late, if it is: it gets a notice.
    pub(super) fn note_late(&mut self, key: &JobKey, turn: &Turn<'_>) {
        let JobKey::Booking(booking) = key else { return };
        let Some(newest) = self.jobs.get(key).and_then(Job::newest) else { return };
        let Some(after_ms) = turn.settings.late_after_ms().filter(|_| newest.position.is_some()) else {
            return;
        };
        let late_at = newest.overdue_at(after_ms);
        let wanted = Arc::clone(&newest.booking);
        match self.next_word_at(&wanted, turn) {
            None => {}
            Some(at) if at.max(late_at) > turn.now => {
                self.jobs.note_overdue(at.max(late_at), key.clone());
            }
            Some(_) if self.knows_no_better(&wanted, turn) => {
                self.jobs.note_stopped(key.clone());
            }
            Some(_) => self.notices.add(booking, Late { booking: wanted, parked: None }),
        }
    }

    /// Notes that a parked version will come back too late, if it will: it gets a notice.
    pub(super) fn note_parked(
        &mut self,
        booking: &Arc<Booking>,
        why: WaitReason,
        not_before: Timestamp,
        turn: &Turn<'_>,
    ) {
        self.notices.went_away();
        let Some(after_ms) = turn.settings.late_after_ms() else { return };
        let back_at = not_before.max(turn.now);
        let is_late = why == WaitReason::Overdue || back_at >= booking.requested_at.plus_ms(after_ms);
        if is_late
            && !self.knows_no_better(booking, turn)
            && self.next_word_at(booking, turn).is_some_and(|at| at <= back_at)
        {
            let late = Late { booking: Arc::clone(booking), parked: Some((why, not_before)) };
            self.notices.add(&booking.key, late);
        }
    }

    /// From when on this version may get a notice: at once if it had none, else once it takes half as long again as the last one
    /// promised. None if it gets no more.
    fn next_word_at(&self, booking: &Booking, turn: &Turn<'_>) -> Option<Timestamp> {
        let (key, version) = (&booking.key, booking.version);
        let state = self.ledger.bookings().get_hot(key);
        // A redriven version was answered once, and nobody was promised when it would be again. One that is older than what was
        // written is answered next.
        let is_answered =
            state.is_some_and(|state| state.answered.contains(version) || version < state.newest);
        if !is_promised(booking) || is_answered || self.is_question(key, version) {
            return None;
        }
        let told = state.and_then(|state| state.told_delay.as_deref());
        match told.filter(|_| rules::knows_notices(turn.settings)) {
            Some(told) if told.version > version => None,
            Some(told) if told.version == version => {
                let told_ms = told.promised_at.since_ms(booking.requested_at).max(turn.settings.promise_ms);
                Some(booking.requested_at.plus_ms(told_ms.saturating_add(told_ms / 2).saturating_add(1)))
            }
            _ => Some(Timestamp(i64::MIN)),
        }
    }

    /// Whether this version had its notice, and there is nothing better to report: nothing goes on, and until when is unknown.
    fn knows_no_better(&self, booking: &Booking, turn: &Turn<'_>) -> bool {
        let told = self.ledger.bookings().get_hot(&booking.key).and_then(|state| state.told_delay.as_deref());
        is_stopped(&booking.key, turn) && told.is_some_and(|told| told.version == booking.version)
    }

    /// Puts the notices that are due into the batch that is about to begin, as many as it may carry.
    pub fn write_notices(&mut self, outlook: &Outlook, turn: &Turn<'_>) {
        if self.is_draining() {
            return;
        }
        self.tell_outage(outlook, turn);
        for _ in 0..turn.settings.notices_max {
            let Some((key, late)) = self.notices.next() else { break };
            if let Some(delay) = self.delay_of(&key, late, outlook, turn) {
                self.tell_delay(&key, delay, turn);
            }
        }
    }

    /// What its notice contains; none if it has its result by now, or if the last notice still holds.
    fn delay_of(&self, key: &BookingKey, late: Late, outlook: &Outlook, turn: &Turn<'_>) -> Option<Delay> {
        let booking = &late.booking;
        let job_key = JobKey::Booking(key.clone());
        let job = self.jobs.get(&job_key).filter(|job| !job.versions.is_empty());
        let (why, earliest) = match (job, late.parked) {
            // Of an older version its result tells, which comes with the newer one's.
            (Some(job), _) => job
                .newest()
                .filter(|newest| newest.booking.version == booking.version)
                .map(|_| what_holds(key, job, turn))?,
            (None, Some(parked)) => {
                let state = self.ledger.bookings().get_hot(key)?;
                let waits = state.parked.iter().filter(|parked| parked.place == ParkingPlace::Retry);
                let newest = waits.map(|parked| parked.version).max();
                let (reason, not_before) = parked;
                (newest == Some(booking.version)).then_some((HeldUpBy::Reason(reason), not_before))?
            }
            (None, None) => return None,
        };
        let promised_at = outlook.promise(earliest, turn.now);
        let is_news = self.next_word_at(booking, turn).is_some_and(|at| at <= promised_at)
            && !self.knows_no_better(booking, turn);
        let at_earliest = is_stopped(key, turn) || why.ends_unforeseen();
        let identity = Identity::from(&**booking);
        is_news.then_some(Delay { identity, reason: why.code(), promised_at, at_earliest })
    }

    fn tell_delay(&mut self, key: &BookingKey, delay: Delay, turn: &Turn<'_>) {
        let Delay { identity, promised_at, at_earliest, .. } = &delay;
        let told =
            ToldDelay { version: identity.version, promised_at: *promised_at, at_earliest: *at_earliest };
        self.ledger.change_booking(key).told_delay = Some(Box::new(told));
        if self.jobs.is_at_hand(&JobKey::Booking(key.clone())) {
            // Then it is seen whether the promise was kept.
            self.jobs.note_overdue(told.promised_at, JobKey::Booking(key.clone()));
        }
        self.tell(About::Delayed(delay), turn.now);
    }

    /// Writes a notice; that is reported once the commit is good.
    pub(super) fn tell(&mut self, about: About, now: Timestamp) {
        let notice = Notice { at: now, about };
        self.outbox.tell(Fact::NoticeWritten { partition: self.partition, kind: notice.kind() });
        self.outbox.write(Outgoing::Notice(Box::new(notice)));
    }
}

/// Whether a version is promised to be confirmed soon.
fn is_promised(booking: &Booking) -> bool {
    booking.source == Source::Live
}

/// Whether nothing goes on for this booking, and until when is unknown.
fn is_stopped(key: &BookingKey, turn: &Turn<'_>) -> bool {
    turn.is_stopped() || turn.by_hand.stops(&key.practice)
}

/// What holds a job, and before when it cannot go on.
fn what_holds(key: &BookingKey, job: &Job, turn: &Turn<'_>) -> (HeldUpBy, Timestamp) {
    let until = if let JobStage::AwaitsTime(at) = job.stage { at } else { turn.now };
    let why = match turn.by_hand.stops_all() {
        true => HeldUpBy::Reason(WaitReason::Paused),
        false => waits_for(key, job, turn.breaker, turn.by_hand),
    };
    (why, until)
}
