//! What the task does about a job next, and why the job may have to wait. A decision reads a `View` and changes nothing.
//! `apply.rs` carries it out, and then the task decides again, so that nothing rests on stale information.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::booking::{Booking, BookingKey, PatientKey, Version};
use crate::healthflow::Request;
use crate::partition::blockers::{DoubtVerdict, Opening};
use crate::partition::cover::subject;
use crate::partition::job::{Job, JobKey, Purpose};
use crate::partition::moves::{Asked, Awaited, CoveredWrite, IntentFor, Move};
use crate::partition::rules;
use crate::partition::settle::Settling;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::retry::WaitReason;
use crate::settings::Settings;
use crate::state::{BookingState, Parked, ParkingPlace, WriteOperation};
use crate::sync::step::create_patient;
use crate::sync::{Disposition, FailureReason, Outcome, Step};
use crate::time::Timestamp;

impl View<'_> {
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
        if let Some(at) = self.stormed_until(key, job, operation, asked.purpose, turn) {
            return Move::Wait(at, WaitReason::RejectionStorm);
        }
        if let Some(held_by_limit) = self.held_by_limit(key, job, operation, turn) {
            return held_by_limit;
        }
        let subject = subject(key, job, &asked.request, asked.purpose);
        let suspect = subject.filter(|subject| self.is_suspect(subject, turn.settings));
        let may_run = rules::may_run(key, self.alone, turn.settings);
        if suspect.is_some() && !may_run {
            return Move::Await(Awaited::Alone);
        }
        if turn.holds_back() || self.is_stopped_by_hand(key, job, turn) {
            return Move::HoldBack;
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
        let asked = state.as_deref().and_then(BookingState::question);
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
        if asked.is_some_and(|asked| asked > version) || self.waits_newer(key, version, job) {
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
        if let Some(at) = newer_waits_until(doubt, turn.settings) {
            return Move::Wait(at, WaitReason::InDoubt);
        }
        match doubt {
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
            Step::Finish(outcome) => Move::Finish(self.finish(key, job, outcome)),
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

/// Until when whatever version is at hand, a newer one too, waits for the doubt about the booking's last write: what was sent
/// may land after it, and would undo it (rule W5).
fn newer_waits_until(doubt: Option<DoubtVerdict>, settings: &Settings) -> Option<Timestamp> {
    match doubt {
        Some(DoubtVerdict::Wait(at)) if rules::holds_other_writes(settings) => Some(at),
        _ => None,
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
