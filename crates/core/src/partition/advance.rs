//! What a job does next, and why it may have to wait. Asked when a job is admitted, after every answer, when a wait is
//! over, and once more right before a request goes out, so that nothing is sent on yesterday's knowledge.

use std::sync::Arc;

use crate::booking::{Booking, BookingKey, PatientKey};
use crate::defects::planted;
use crate::healthflow::Request;
use crate::partition::blockers::DoubtVerdict;
use crate::partition::job::{Job, JobKey, Purpose, Share, Standing};
use crate::partition::settle::Settling;
use crate::partition::subject::Subject;
use crate::partition::task::{Task, Turn};
use crate::patient::Person;
use crate::retry::WaitReason;
use crate::state::WriteOperation;
use crate::sync::Step;
use crate::sync::step::create_patient;
use crate::time::Timestamp;

/// What a job does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Ask HealthFlow, as soon as there is a permit and, for a write, its intent stands.
    Ask(Request, Purpose),
    /// Nothing before this moment; and for what.
    Wait(Timestamp, WaitReason),
    /// Another booking of this patient is under way.
    AwaitPatient(PatientKey),
    /// Another booking will free the slot; at this moment it is tried all the same.
    AwaitSlot(Timestamp),
    /// Nothing more: every version has ended or is parked.
    Done,
}

/// How long until a booking looks again whether its patient's doubt is settled, and a patient's job whether the repeat
/// under way settled it, in milliseconds.
pub(super) const SETTLE_AGAIN_MS: i64 = 1_000;

impl Task {
    /// Looks at a job again and moves it to where it stands now.
    pub(super) fn advance(&mut self, key: &JobKey, turn: &mut Turn<'_>) {
        let Some(mut job) = self.jobs.take(key) else { return };
        if job.flight.is_some() || matches!(job.standing, Standing::Ready | Standing::AwaitsCommit) {
            self.jobs.put_back(key, job);
            return;
        }
        let next = self.next_of(key, &mut job, turn);
        if let Next::Ask(request, purpose) = &next {
            job.share = Share::of(&job, *purpose);
            let standing = if self.may_be_sent(key, &job, (request, *purpose), turn) {
                Standing::Ready
            } else {
                Standing::AwaitsCommit
            };
            self.stand(key, &mut job, standing, turn.now);
            self.jobs.put_back(key, job);
        } else {
            self.put_aside(key, job, next, turn);
        }
        self.note_job(key, turn);
    }

    /// Takes the next job that waits for a place of this share, if there is one.
    pub fn admit(&mut self, share: Share, turn: &mut Turn<'_>) -> bool {
        let Some(key) = self.jobs.next_arrival(share) else { return false };
        self.advance(&key, turn);
        true
    }

    /// Wakes every job whose moment has come; a doubt that is quiet gets a job of its own if it has none (rule W5).
    pub fn wake(&mut self, turn: &mut Turn<'_>) {
        while let Some(key) = self.jobs.take_due(turn.now) {
            if !self.jobs.is_at_hand(&key) {
                if !self.intents.is_open(Subject::settled_by(&key)) {
                    continue;
                }
                if planted!(turn.settings, DoubtSettledOnlyByRecord) {
                    continue;
                }
                self.jobs.open(&key);
            }
            self.advance(&key, turn);
        }
        let searches = self.jobs.iter().filter_map(|job| job.search.as_ref());
        let oldest_search = || searches.map(|search| search.started_at).min();
        self.newcomers.prune(turn.now, turn.settings.search_lag_ms, oldest_search);
        self.outbox.renew_if_old(turn.now);
    }

    /// What the job does next.
    pub(super) fn next_of(&mut self, key: &JobKey, job: &mut Job, turn: &mut Turn<'_>) -> Next {
        if self.is_draining() {
            return Next::Done;
        }
        let next = match key {
            JobKey::Booking(booking) => self.next_of_booking(booking, job, turn),
            JobKey::Patient(patient) => self.next_of_patient(patient, job, turn),
        };
        let Next::Ask(request, purpose) = next else { return next };
        if let Some(told) = job.told.filter(|told| turn.now < told.until) {
            return Next::Wait(told.until, WaitReason::Throttled);
        }
        let operation = request.operation();
        if !operation.is_write()
            && let Some(at) = turn.reads.wait_until(operation, key, turn.now)
        {
            return Next::Wait(at, WaitReason::ReadsFail);
        }
        self.one_suspect_at_a_time(key, job, (request, purpose), turn)
    }

    fn next_of_booking(&mut self, key: &BookingKey, job: &mut Job, turn: &mut Turn<'_>) -> Next {
        self.note_slots(key, Some(job), turn);
        loop {
            let parked_first = self.choose_version(key, job, turn);
            let Some(booking) = job.at_work().map(|at_work| Arc::clone(&at_work.booking)) else {
                return self.next_of_doubt(key, job, turn);
            };
            let (answered, newest_known) = self
                .state
                .bookings
                .get(key)
                .map_or((false, 0), |state| (state.is_answered(booking.version), state.newest));
            if answered {
                self.drop_version(job, booking.version);
                continue;
            }
            let before = parked_first.unwrap_or(booking.version).min(booking.version);
            let older = job.versions.keys().next().copied().filter(|version| *version < before);
            if let Some(older) = older.filter(|_| !self.may_be_first(key, job)) {
                // Whoever was searched for under another description was not searched for.
                if job.versions.get(&older).is_some_and(|older| older.booking.patient != booking.patient) {
                    job.forget_search();
                }
                self.supersede(key, job, older, turn);
                continue;
            }
            if self.is_held(&booking) {
                self.wait_behind_review(key, job, turn);
                continue;
            }
            if booking.version < newest_known && !planted!(turn.settings, OlderVersionWritten) {
                self.supersede(key, job, booking.version, turn);
                continue;
            }
            if self.kills_workers(&booking, turn.settings) {
                self.give_up(key, job, &booking, turn);
                continue;
            }
            if self.ends_late(key, job, turn) {
                continue;
            }
            let is_over = job.newest().is_some_and(|newest| newest.is_over(turn.settings));
            let doubt = self.verdict(&key.into(), is_over, turn.now, turn.settings);
            match doubt {
                DoubtVerdict::Wait(at) if !planted!(turn.settings, OtherWriteInDoubt) => {
                    return Next::Wait(at, WaitReason::InDoubt);
                }
                DoubtVerdict::Settle => match self.settle(key, job, turn) {
                    Settling::Ask(request) => return Next::Ask(*request, Purpose::Settle),
                    Settling::Settled => continue,
                    Settling::Unclear => {
                        self.leave_to_a_person(key, job, turn);
                        continue;
                    }
                },
                DoubtVerdict::Wait(_) | DoubtVerdict::Repeat | DoubtVerdict::None => {}
            }
            if !self.lock_patient(key, job, &booking.patient_key())
                && !planted!(turn.settings, PatientNotLocked)
            {
                return Next::AwaitPatient(booking.patient_key());
            }
            if let Some(next) = self.next_in_flow(key, job, &booking, doubt, turn) {
                return next;
            }
        }
    }

    /// Parks what another review holds; that review does not answer what became of this one's create.
    fn wait_behind_review(&mut self, key: &BookingKey, job: &mut Job, turn: &mut Turn<'_>) {
        if self.intents.is_unclear(key) {
            self.leave_to_a_person(key, job, turn);
            return;
        }
        let version = job.newest().map_or(0, |newest| newest.booking.version);
        let not_before = self.held_until(key, version, turn);
        self.park_all(key, job, not_before, WaitReason::HeldByReview, turn);
    }

    /// The next step of the flow proper, with the blockers that the protocol puts before it; none to look again.
    fn next_in_flow(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        booking: &Booking,
        doubt: DoubtVerdict,
        turn: &mut Turn<'_>,
    ) -> Option<Next> {
        let patient = booking.patient_key();
        let is_over = job.newest().is_some_and(|newest| newest.is_over(turn.settings));
        if self.state.patients.get(&patient).is_none_or(|state| state.link.is_none()) {
            match self.verdict(&(&patient).into(), is_over, turn.now, turn.settings) {
                DoubtVerdict::None => {}
                // Whom the creation was decided for: only that one is created again (rule W6), this one is compared with it.
                DoubtVerdict::Repeat if self.creates_somebody_else(booking) => {
                    let at = self.intents.doubt(&patient).map_or(turn.now, |doubt| doubt.quiet_at);
                    return Some(Next::Wait(at, WaitReason::PatientInDoubt));
                }
                DoubtVerdict::Repeat => {
                    self.newcomers.begin(&patient, Person::from(&booking.patient));
                    let incarnation = self.state.patients.get(&patient).map_or(0, |state| state.incarnation);
                    return Some(Next::Ask(create_patient(booking, incarnation), Purpose::Flow));
                }
                // The patient's own job settles it.
                DoubtVerdict::Settle => {
                    self.jobs.wake_at(turn.now, JobKey::Patient(patient));
                    return Some(Next::Wait(turn.now.plus_ms(SETTLE_AGAIN_MS), WaitReason::PatientInDoubt));
                }
                DoubtVerdict::Wait(at) => return Some(Next::Wait(at, WaitReason::PatientInDoubt)),
            }
        }
        let request = match self.step(booking, job, turn.settings) {
            Step::Remember(link) => {
                self.remember(booking, link);
                return None;
            }
            Step::Forget => {
                self.forget_link(booking);
                return None;
            }
            // What stands is what the doubt is about: it is written, where that is safe.
            Step::Finish(_) if doubt == DoubtVerdict::Repeat && self.forget_content(key) => return None,
            // While a write is in doubt the newest version gets no final result (rule W4).
            Step::Finish(_) if doubt != DoubtVerdict::None && !planted!(turn.settings, FinishedInDoubt) => {
                let at = self.intents.doubt(key).map_or(turn.now, |doubt| doubt.quiet_at);
                return Some(Next::Wait(at, WaitReason::InDoubt));
            }
            Step::Finish(outcome) => {
                let outcome = self.own_doing(key, job, booking, outcome);
                self.conclude(key, job, booking.version, outcome, turn);
                return None;
            }
            Step::Ask(request) => request,
        };
        if let Some(wait) = self.awaits_slot(key, job, (booking, &request), turn) {
            return Some(wait);
        }
        let opens_at = match &request {
            Request::SearchPatients { .. } if job.search.is_none() => {
                self.search_opens_at(&patient, turn.now, turn.settings)
            }
            Request::CreatePatient { .. } => self.creation_opens_at(booking, job, turn.now, turn.settings),
            _ => None,
        };
        match opens_at {
            Some(at) if at > turn.now => return Some(Next::Wait(at, WaitReason::Newcomers)),
            Some(_) => return None,
            None => {}
        }
        match &request {
            Request::CreatePatient { .. } => self.cover_creation(&patient, booking, turn),
            Request::CreateAppointment { content, .. } => {
                let slot = (!turn.settings.guard.has_references()).then(|| content.slot());
                self.cover_write(key, (WriteOperation::Create, slot, None), booking, turn);
            }
            Request::UpdateAppointment { if_match, .. } => {
                self.cover_write(key, (WriteOperation::Update, None, if_match.clone()), booking, turn);
            }
            _ => {}
        }
        Some(Next::Ask(request, Purpose::Flow))
    }
}
