//! Sending: the task decides once more about a ready job, checks the lease, and hands the request out (rules W1, W2). A job
//! with nothing to send waits, is parked, or ends.

use std::sync::Arc;

use crate::booking::{BookingKey, PatientKey, PracticeId};
use crate::fact::Fact;
use crate::healthflow::Request;
use crate::limits::Claim;
use crate::partition::advance::Next;
use crate::partition::cover::subject;
use crate::partition::job::{Flight, Job, JobKey, JobStage, Purpose, Share};
use crate::partition::limited::claim_of;
use crate::partition::moves::Awaited;
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::patient::search::Search;
use crate::retry::WaitReason;
use crate::retry::schedule::delay_ms;
use crate::time::Timestamp;

/// A booking that has begun and meets a limit stays in memory for so long, in milliseconds: until a long window is over would be too
/// long, for its patient waits with it.
const HALF_WAY_MS: i64 = 5 * 60_000;

/// A request that may go out now.
#[derive(Debug)]
pub struct ReadyCall {
    /// Whose it is.
    pub job: JobKey,
    /// What to send.
    pub request: Request,
    /// For a write: the end of the lease, to be checked last before the socket.
    pub lease_until: Option<Timestamp>,
    /// What it may use of long limits.
    pub claim: Claim,
}

impl Task {
    /// Whether a job of this share is ready to send.
    pub fn has_ready(&self, share: Share) -> bool {
        self.jobs.has_ready(share) && !self.is_draining()
    }

    /// Whether a job of this share waits for a place in the ready queue.
    pub fn has_arrivals(&self, share: Share) -> bool {
        self.jobs.has_arrivals(share) && !self.is_draining()
    }

    /// Puts a job of another practice than this first, if one is ready.
    pub fn puts_another_first(&mut self, practice: &PracticeId) -> bool {
        self.jobs.puts_another_first(practice)
    }

    /// The next request of this share that may go out. The caller takes a permit for it next: nothing may wait after this.
    pub fn send_next(&mut self, share: Share, turn: &mut Turn<'_>) -> Option<ReadyCall> {
        while let Some((key, mut job)) = self.jobs.take_ready(share, |key| rules::has_permit(key, turn)) {
            let next = self.next_of(&key, &mut job, turn);
            let Next::Ask(request, purpose) = next else {
                self.put_aside(&key, job, next, turn);
                self.note_job(&key, turn);
                continue;
            };
            if !self.may_be_sent(&key, &job, &request, purpose, turn) {
                self.set_stage(&key, &mut job, JobStage::AwaitsCommit, turn.now);
                self.jobs.put_back(&key, job);
                continue;
            }
            let lease_until = self.intents.lease_until(turn.settings);
            let needs_lease = rules::needs_lease(&request, turn.settings);
            let ends_soon = |until: Timestamp| turn.now.plus_ms(turn.settings.lease_margin_ms) >= until;
            if needs_lease && lease_until.is_none_or(ends_soon) {
                // Committing the offset again renews the lease; an empty transaction would reach no coordinator (rule W2).
                self.outbox.renew();
                self.jobs.put_back_ready(share, &key, job);
                return None;
            }
            let claim = claim_of(&job, turn.settings);
            self.launch(&key, &mut job, &request, purpose, turn);
            if let JobKey::Booking(booking) = &key
                && request.operation().is_write()
            {
                // From now on it may occupy what it asks for.
                self.note_slots_of(booking, &mut job, turn);
            }
            self.jobs.put_back(&key, job);
            let request = Arc::unwrap_or_clone(request);
            let lease_until = lease_until.filter(|_| needs_lease);
            return Some(ReadyCall { job: key, request, lease_until, claim });
        }
        None
    }

    fn launch(
        &mut self,
        key: &JobKey,
        job: &mut Job,
        request: &Request,
        purpose: Purpose,
        turn: &mut Turn<'_>,
    ) {
        let patient_id = match request {
            Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
                Some(content.patient.0.clone())
            }
            Request::ReadPatient { id, .. } => Some(id.0.clone()),
            _ => None,
        };
        let version = job.at_work().map(|at_work| at_work.booking.version);
        job.asked_version = version;
        job.kept_request = None;
        let if_match = match request {
            Request::UpdateAppointment { if_match, .. } => if_match.clone(),
            _ => None,
        };
        let near_unknown = match key {
            JobKey::Booking(booking) => self.slots.is_anybody_somewhere(&booking.practice),
            JobKey::Patient(_) => false,
        };
        let operation = request.operation();
        let flight = Flight { operation, purpose, version, patient_id, if_match, near_unknown };
        self.set_stage(key, job, JobStage::InFlight(Box::new(flight)), turn.now);
        if let Some(subject) = subject(key, job, request, purpose) {
            self.intents.sent(&subject, operation.is_write());
        }
        if matches!(request, Request::SearchPatients { .. }) && purpose == Purpose::Flow {
            job.search.get_or_insert_with(|| Search::start(turn.now));
        }
        self.creation_sent(job, request, turn);
        turn.facts.push_back(Fact::CallSent { operation: request.operation() });
    }

    /// Puts a job that has nothing to send where it belongs: into a wait, into the retry topic, or to its end.
    pub(super) fn put_aside(&mut self, key: &JobKey, mut job: Job, next: Next, turn: &mut Turn<'_>) {
        let now = turn.now;
        self.is_not_alone_any_more(key, job.patient.as_ref(), now);
        // While HealthFlow does not work nothing is put aside in Kafka: it would only lie elsewhere.
        let give_up_at = |job: &Job| match turn.is_stopped() {
            true => Timestamp::NEVER,
            false => {
                turn.after_ms(key.practice(), job.waiting_since.unwrap_or(now), turn.settings.memory_wait_ms)
            }
        };
        match next {
            Next::Ask(..) | Next::Done => {}
            Next::HeldBack => return self.hold_back(key, job, turn),
            Next::AwaitCount => return self.await_count(key, job, turn.now),
            Next::AwaitSlot(until) => return self.put_aside_for_slot(key, job, until, turn),
            Next::Wait(at, why) => {
                // Parked, it would forget how far it has come, and spend the same calls again each time.
                let is_soon = at <= now.plus_ms(HALF_WAY_MS);
                let is_half_way = why == WaitReason::Limit && job.asked_version.is_some() && is_soon;
                let must_stay = job.versions.is_empty() || is_half_way || self.is_rejected(key, &job);
                // While nearly everything is refused nobody waits in memory: lanes must move.
                let may_stay = at <= give_up_at(&job) && why != WaitReason::RejectionStorm;
                if may_stay || must_stay {
                    job.waits_for = why.into();
                    self.set_stage(key, &mut job, JobStage::AwaitsTime(at.max(now.plus_ms(1))), now);
                    self.jobs.put_back(key, job);
                    return;
                }
                if let JobKey::Booking(booking) = key {
                    // A short poll in memory must not become a busy loop through Kafka.
                    let parked_until = at.max(self.next_parking_ends(booking, &job, turn));
                    self.park_all(booking, &mut job, parked_until, why, turn);
                    // Its doubt settles meanwhile all the same.
                    if self.intents.is_in_doubt(booking) {
                        self.jobs.wake_at(at, key.clone());
                    }
                }
            }
            Next::Await(awaited) => {
                let give_up_at = give_up_at(&job);
                if now < give_up_at || job.versions.is_empty() || self.is_rejected(key, &job) {
                    // A doubt without a record has nothing to be parked: it waits on.
                    let again_at = now.plus_ms(turn.settings.memory_wait_ms.max(1));
                    let at = if now < give_up_at { give_up_at.min(again_at) } else { again_at };
                    self.note_awaited(key, &awaited, now);
                    job.waits_for = awaited.reason().into();
                    let stage = match awaited {
                        Awaited::Patient(patient) => JobStage::AwaitsPatient(patient),
                        _ => JobStage::AwaitsTime(at),
                    };
                    self.set_stage(key, &mut job, stage, now);
                    self.jobs.wake_at(at, key.clone());
                    self.jobs.put_back(key, job);
                    return;
                }
                if let JobKey::Booking(booking) = key {
                    let at = self.next_parking_ends(booking, &job, turn);
                    self.park_all(booking, &mut job, at, awaited.reason(), turn);
                    // Its doubt settles meanwhile all the same.
                    if let Some(doubt) = self.intents.doubt(booking) {
                        self.jobs.wake_at(doubt.settles_at.max(now.plus_ms(1)), key.clone());
                    }
                }
            }
        }
        self.end(key, &mut job, now);
    }

    /// Sees to it that what a job waits for wakes it.
    fn note_awaited(&mut self, key: &JobKey, awaited: &Awaited, now: Timestamp) {
        match awaited {
            Awaited::Patient(patient) => self.jobs.await_patient(patient.clone(), key),
            // It has a job of its own, whether or not it is at hand.
            Awaited::Settling(patient) => self.jobs.wake_at(now, JobKey::Patient(patient.clone())),
            Awaited::Creations(practice) => self.recent_creations.await_outcome(practice, key),
            Awaited::Alone => self.alone.await_turn(key),
        }
    }

    /// Until when a job is parked that only waits: longer each time, for it may be parked again and again.
    pub(super) fn next_parking_ends(&self, key: &BookingKey, job: &Job, turn: &Turn<'_>) -> Timestamp {
        let version = job.newest().map_or(0, |newest| newest.booking.version);
        let parked = self.ledger.bookings().get_hot(key).and_then(|state| state.parked(version));
        let times = parked.map_or(0, |parked| parked.generation) + 1;
        let (min_ms, max_ms) = (turn.settings.retry_backoff_min_ms, turn.settings.retry_backoff_max_ms);
        turn.now.plus_ms(delay_ms(key, version, times, min_ms, max_ms))
    }

    /// A job has nothing more to do: no unsent intent stays behind (rule W1), the patient is free for the next one.
    pub(super) fn end(&mut self, key: &JobKey, job: &mut Job, now: Timestamp) {
        self.set_stage(key, job, JobStage::Arrived, now);
        if let JobKey::Booking(booking) = key {
            self.withdraw(&booking.into());
        }
        if let Some(patient) = job.patient.take() {
            self.withdraw(&(&patient).into());
            self.jobs.unlock_patient(&patient);
        }
    }

    /// Takes the lock of a patient, giving back another one that the job held; false while somebody else has it.
    pub(super) fn lock_patient(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        patient: &PatientKey,
        turn: &Turn<'_>,
    ) -> bool {
        if let Some(other) = job.patient.take() {
            self.withdraw(&(&other).into());
            self.jobs.unlock_patient(&other);
            job.forget_search();
        }
        let key = JobKey::Booking(key.clone());
        let is_free = rules::takes_lock(&mut self.jobs, patient, &key, turn.settings);
        job.patient = is_free.then(|| patient.clone());
        is_free
    }
}
