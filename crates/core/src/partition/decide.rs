//! What the task does about a job next, and why the job may have to wait. A decision reads what is known and changes nothing.
//! `apply.rs` carries it out, and then the task decides again, so that nothing rests on stale information.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::appointment::{Revision, Slot};
use crate::booking::{Booking, BookingKey, PatientKey, PracticeId, Version};
use crate::healthflow::Request;
use crate::partition::blockers::{DoubtVerdict, Opening};
use crate::partition::cover::subject;
use crate::partition::job::{Job, JobKey, Purpose};
use crate::partition::rules;
use crate::partition::settle::Settling;
use crate::partition::slot_waits::SlotWait;
use crate::partition::subject::Subject;
use crate::partition::task::{Task, Turn};
use crate::patient::Link;
use crate::retry::WaitReason;
use crate::state::{BookingState, Parked, ParkingPlace, WriteOperation};
use crate::sync::step::create_patient;
use crate::sync::{Disposition, FailureReason, Outcome, Step};
use crate::time::Timestamp;

/// What is done about a job: something that changes what is known, after which it is decided again, or where the job is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// From now on this version is written before the newest, or none is (rule K11).
    WriteFirst(Option<Version>),
    /// A copy of an answered version is dropped.
    Drop(Version),
    /// A version gives way to a newer one; what was searched for its patient counts only if that is the same person.
    Supersede { version: Version, forgets_search: bool },
    /// Every version at hand waits behind the review of this booking.
    HoldBehind(BookingKey),
    /// The newest version at hand goes to a person, and the doubt about the booking with it.
    LeaveToAPerson,
    /// The booking kills workers: this version goes to a person (rule K6).
    GiveUp(Version),
    /// A version ends that could not end while a write of it was in doubt.
    EndLate(Version, Outcome),
    /// The doubt about an update is over: it is simply written again.
    WriteAgain,
    /// A creation in doubt is quiet, and HealthFlow cannot be asked for it.
    CreationUnverified(PatientKey),
    /// The job needs this patient for itself.
    Lock(PatientKey),
    /// Who the patient is.
    Remember(Link),
    /// The link leads nowhere, or to somebody else.
    ForgetLink,
    /// The content in HealthFlow is not certain any more.
    ForgetContent,
    /// The version at work has come to its end.
    Finish(Outcome),
    /// What was searched is dropped, and the search begins anew; `outlived`: because it took too long.
    SearchAnew { outlived: bool },

    /// The job is left ready to ask.
    Ask(Box<Asked>),
    /// It is left until a moment.
    Wait(Timestamp, WaitReason),
    /// The search is dropped, and the job waits until the moment at which a search shows what we created since.
    SearchAnewAt(Timestamp),
    /// It is left until the next commit, which counts its call in a long limit.
    AwaitCount,
    /// It is left until it is woken.
    Await(Awaited),
    /// It is left until another booking frees the slot.
    AwaitSlot(SlotWait),
    /// Nothing more can be done about it before this moment, if ever.
    Rest(Option<Timestamp>),
}

/// A request that is decided, with what must be so before it may go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// What to ask.
    pub request: Arc<Request>,
    /// Why.
    pub purpose: Purpose,
    /// The intent that must cover it.
    pub intent: Option<IntentFor>,
    /// The suspect on whose behalf it is asked, which runs alone (rule K6).
    pub suspect: Option<Subject>,
}

/// What an intent is opened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IntentFor {
    /// The creation of a patient.
    Creation(PatientKey),
    /// The creation of a patient is repeated under the intent that is open.
    RepeatedCreation(PatientKey),
    /// A write of the appointment.
    Write(CoveredWrite),
}

/// The write of an appointment that an intent covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoveredWrite {
    /// Create or update.
    pub operation: WriteOperation,
    /// Where it will be looked for, if HealthFlow keeps no references.
    pub slot: Option<Slot>,
    /// The revision that it names.
    pub if_match: Option<Revision>,
}

/// What wakes a job that waits for no moment of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Another booking gives the patient back.
    Patient(PatientKey),
    /// The doubt about the patient's creation is settled, or cannot be settled now.
    Settling(PatientKey),
    /// A creation of somebody else in the practice has its outcome (rule W7).
    Creations(PracticeId),
    /// Another suspect has run (rule K6).
    Alone,
}

impl Move {
    /// The job is left ready to ask this.
    pub fn ask(request: Request, purpose: Purpose, intent: Option<IntentFor>) -> Self {
        Move::Ask(Box::new(Asked { request: Arc::new(request), purpose, intent, suspect: None }))
    }
}

impl Awaited {
    /// The name of the wait.
    pub fn reason(&self) -> WaitReason {
        match self {
            Awaited::Patient(_) => WaitReason::PatientBusy,
            Awaited::Settling(_) => WaitReason::PatientInDoubt,
            Awaited::Creations(_) => WaitReason::RecentCreations,
            Awaited::Alone => WaitReason::CrashSuspect,
        }
    }
}

impl Task {
    /// What is done about a job next.
    pub(super) fn decide(&self, key: &JobKey, job: &Job, turn: &Turn<'_>) -> Move {
        if self.is_draining() {
            return Move::Rest(None);
        }
        let next = match key {
            JobKey::Booking(booking) => self.decide_booking(booking, job, turn),
            JobKey::Patient(patient) => self.decide_creation(patient, job, turn),
        };
        let Move::Ask(asked) = next else { return next };
        if let Some(asked_to_wait) = job.asked_to_wait.filter(|asked| turn.now < asked.until) {
            return Move::Wait(asked_to_wait.until, WaitReason::Throttled);
        }
        let operation = asked.request.operation();
        // While the breaker is open one call asks for all anyway.
        if !operation.is_write()
            && !turn.breaker.is_open()
            && let Some(at) = turn.reads.wait_until(operation, key, turn.now)
        {
            return Move::Wait(at, WaitReason::ReadsFail);
        }
        if let Some(at) = self.stormed_until(key, job, (operation, asked.purpose), turn) {
            return Move::Wait(at, WaitReason::RejectionStorm);
        }
        if let Some(held_by_limit) = self.held_by_limit(key, job, operation, turn) {
            return held_by_limit;
        }
        let subject = subject(key, job, &asked.request, asked.purpose);
        let suspect = subject.filter(|subject| self.is_suspect(subject, turn.settings));
        let may_run = rules::may_run(key, &self.alone, turn.settings);
        if suspect.is_some() && !may_run {
            return Move::Await(Awaited::Alone);
        }
        Move::Ask(Box::new(Asked { suspect, ..*asked }))
    }

    fn decide_booking(&self, key: &BookingKey, job: &Job, turn: &Turn<'_>) -> Move {
        let (first, parked_first) = self.choose_version(key, job, turn);
        if job.first != first {
            return Move::WriteFirst(first);
        }
        let Some(booking) = job.at_work().map(|at_work| &at_work.booking) else {
            return self.decide_doubt(key, job, turn);
        };
        let version = booking.version;
        let state = self.ledger.bookings().get(key);
        let hold = state.as_deref().and_then(|state| state.hold(version));
        let asked = state.as_deref().and_then(BookingState::question).unwrap_or(0);
        let (answered, newest_known) =
            state.map_or((false, 0), |state| (state.is_answered(version), state.newest));
        if answered {
            return Move::Drop(version);
        }
        if let Some((version, older)) = self.replaced_version(key, job, parked_first) {
            return Move::Supersede { version, forgets_search: older.patient != booking.patient };
        }
        // What a person rejected ends, whoever its patient is.
        let is_rejected = rules::is_rejected(hold, turn.settings);
        if let Some(holder) = self.holder_of(booking, turn.settings).filter(|_| !is_rejected) {
            // That review does not answer what became of this one's create.
            let is_unclear = self.intents.is_unclear(key);
            return if is_unclear { Move::LeaveToAPerson } else { Move::HoldBehind(holder) };
        }
        if asked > version || self.waits_newer(key, version, job) {
            return Move::Supersede { version, forgets_search: false };
        }
        if rules::is_outdated(version, newest_known, turn.settings) {
            return Move::Supersede { version, forgets_search: false };
        }
        if self.kills_workers(booking, turn.settings) {
            return Move::GiveUp(version);
        }
        if let Some((version, outcome)) = self.late_end(key, job, turn) {
            return Move::EndLate(version, outcome);
        }
        let is_over = is_rejected || is_over(job, turn);
        let doubt = self.verdict(&key.into(), is_over, turn.now, turn.settings);
        match doubt {
            Some(DoubtVerdict::Wait(at)) if rules::holds_other_writes(turn.settings) => {
                return Move::Wait(at, WaitReason::InDoubt);
            }
            Some(DoubtVerdict::Settle) => return self.settling_move(key, job, turn),
            // Who asks is not decided about meanwhile; nothing more would be asked under the intent.
            Some(DoubtVerdict::UnderWay) => {
                let settles_at = self.intents.settles_at(key, turn.now);
                return Move::Wait(settles_at.max(turn.now.plus_ms(1)), WaitReason::InDoubt);
            }
            Some(DoubtVerdict::Wait(_) | DoubtVerdict::Repeat) | None => {}
        }
        let patient = booking.patient_key();
        if is_rejected && doubt.is_none() {
            return Move::EndLate(version, rejected_in_review());
        }
        if job.patient.as_ref() != Some(&patient) {
            return Move::Lock(patient);
        }
        self.creation_in_doubt(&patient, job, booking, turn)
            .unwrap_or_else(|| self.decide_flow(key, job, booking, doubt, turn))
    }

    /// Whether a newer version of the booking waits elsewhere, in the retry topic or behind a review. An older one whose content was
    /// read late is not written before it, unless another booking waits for the slot that it frees (rule K11).
    fn waits_newer(&self, key: &BookingKey, version: Version, job: &Job) -> bool {
        let state = self.ledger.bookings().get_hot(key);
        let waits = |parked: &Parked| {
            let waits = match parked.place {
                ParkingPlace::Review(_) => true,
                ParkingPlace::Retry => !self.is_order_unknown(job),
                ParkingPlace::Failed => false,
            };
            waits && parked.version > version
        };
        job.first != Some(version) && state.is_some_and(|state| state.parked.iter().any(waits))
    }

    /// The oldest version at hand that is older than what is written next, and older than what must be written first, unless it
    /// may have to be written itself.
    fn replaced_version<'a>(
        &self,
        key: &BookingKey,
        job: &'a Job,
        parked_first: Option<Version>,
    ) -> Option<(Version, &'a Booking)> {
        let at_work = job.at_work()?.booking.version;
        let before = parked_first.unwrap_or(at_work).min(at_work);
        let (version, older) = job.versions.first_key_value().filter(|(version, _)| **version < before)?;
        (!self.may_be_first(key, job)).then_some((*version, &older.booking))
    }

    /// What the doubt about the creation of the patient calls for, if there is one and the patient has no link yet.
    fn creation_in_doubt(
        &self,
        patient: &PatientKey,
        job: &Job,
        booking: &Booking,
        turn: &Turn<'_>,
    ) -> Option<Move> {
        let state = self.ledger.patients().get(patient);
        if state.as_ref().is_some_and(|state| state.link.is_some()) {
            return None;
        }
        match self.verdict(&patient.into(), is_over(job, turn), turn.now, turn.settings)? {
            // Whom the creation was decided for: only that one is created again (rule W6), this one is compared with it.
            DoubtVerdict::Repeat if self.creates_somebody_else(booking) => {
                let at = self.intents.settles_at(patient, turn.now);
                Some(Move::Wait(at, WaitReason::PatientInDoubt))
            }
            DoubtVerdict::Repeat => {
                // As it was begun: a person may have barred its reference since (rule W8).
                let intent = state.as_ref().and_then(|state| state.intent.as_ref());
                let begun = intent.map_or((0, 0), |intent| (intent.incarnation, intent.reference));
                let request = create_patient(booking, begun.0, begun.1);
                let intent = Some(IntentFor::RepeatedCreation(patient.clone()));
                Some(Move::ask(request, Purpose::Flow, intent))
            }
            // The patient's own job settles it.
            DoubtVerdict::Settle | DoubtVerdict::UnderWay => {
                Some(Move::Await(Awaited::Settling(patient.clone())))
            }
            DoubtVerdict::Wait(at) => Some(Move::Wait(at, WaitReason::PatientInDoubt)),
        }
    }

    /// The next step of the flow proper, with the blockers that the protocol puts before it.
    fn decide_flow(
        &self,
        key: &BookingKey,
        job: &Job,
        booking: &Booking,
        doubt: Option<DoubtVerdict>,
        turn: &Turn<'_>,
    ) -> Move {
        let request = match self.kept_request(booking, job, turn.settings) {
            Some(request) => request,
            None => match self.next_step(key, job, booking, doubt, turn) {
                ControlFlow::Continue(request) => Arc::new(request),
                ControlFlow::Break(other) => return other,
            },
        };
        if let Some(wait) = self.slot_wait(key, job, booking, &request, turn) {
            return Move::AwaitSlot(wait);
        }
        match self.opening(booking, job, &request, turn) {
            Opening::Now => {}
            Opening::At(at) => return Move::Wait(at, WaitReason::RecentCreations),
            Opening::AfterCreations => return Move::Await(Awaited::Creations(key.practice.clone())),
            Opening::SearchAnewAt(at) => return Move::SearchAnewAt(at),
            Opening::SearchAnew { outlived } => return Move::SearchAnew { outlived },
        }
        let intent = match &*request {
            Request::CreatePatient { .. } => Some(IntentFor::Creation(booking.patient_key())),
            Request::CreateAppointment { content, .. } => Some(IntentFor::Write(CoveredWrite {
                operation: WriteOperation::Create,
                slot: (!turn.settings.guard.has_references()).then(|| content.slot()),
                if_match: None,
            })),
            Request::UpdateAppointment { if_match, .. } => Some(IntentFor::Write(CoveredWrite {
                operation: WriteOperation::Update,
                slot: None,
                if_match: if_match.clone(),
            })),
            _ => None,
        };
        Move::Ask(Box::new(Asked { request, purpose: Purpose::Flow, intent, suspect: None }))
    }

    /// The request that the flow proper asks for, or what is to be done instead.
    fn next_step(
        &self,
        key: &BookingKey,
        job: &Job,
        booking: &Booking,
        doubt: Option<DoubtVerdict>,
        turn: &Turn<'_>,
    ) -> ControlFlow<Move, Request> {
        ControlFlow::Break(match self.step(booking, job, turn.settings) {
            Step::Ask(request) => return ControlFlow::Continue(request),
            Step::Remember(link) => Move::Remember(link),
            Step::Forget => Move::ForgetLink,
            // What exists is what the doubt is about: the task writes it again if that is safe.
            Step::Finish(_) if doubt == Some(DoubtVerdict::Repeat) && self.is_content_known(key) => {
                Move::ForgetContent
            }
            // While a write is in doubt the newest version gets no final result (rule W4).
            Step::Finish(_) if rules::defers_result(doubt.is_some(), turn.settings) => {
                let at = self.intents.settles_at(key, turn.now);
                Move::Wait(at, WaitReason::InDoubt)
            }
            Step::Finish(outcome) => Move::Finish(outcome),
        })
    }

    /// How a doubt that is quiet is settled.
    pub(super) fn settling_move(&self, key: &BookingKey, job: &Job, turn: &Turn<'_>) -> Move {
        match self.settling(key, job, turn) {
            Settling::Ask(request) => Move::ask(*request, Purpose::Settle, None),
            Settling::WriteAgain => Move::WriteAgain,
            Settling::Unclear => Move::LeaveToAPerson,
        }
    }
}

/// How a version ends that a person rejected.
fn rejected_in_review() -> Outcome {
    let (reason, disposition) = (FailureReason::RejectedInReview, Disposition::Operator);
    Outcome::Failed { reason, disposition, detail: "a person decided in review not to book it".into() }
}

/// Whether the time of the newest version at hand was up when its last attempt failed.
fn is_over(job: &Job, turn: &Turn<'_>) -> bool {
    job.newest().is_some_and(|newest| newest.is_over(turn.settings))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
