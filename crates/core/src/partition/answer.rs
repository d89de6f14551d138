//! What HealthFlow's replies teach: which intents they close, which doubts they open, and which they leave (rules W3, W4,
//! W6). What settles a doubt is in `settle.rs`, what a search finds in `searched.rs`.

use std::sync::Arc;

use crate::appointment::fingerprint::fingerprint;
use crate::appointment::{Placement, Span};
use crate::booking::{Booking, BookingKey, BookingStatus, PatientKey};
use crate::fact::{DuplicateOf, Fact};
use crate::healthflow::fault::{Missing, NotSent, Unknown};
use crate::healthflow::{Answer, AppointmentId, Fault, Operation, Reply, WrittenAppointment};
use crate::partition::blockers::DoubtVerdict;
use crate::partition::intents::{FaultOutcome, fields_of};
use crate::partition::job::{AskedToWait, Flight, Job, JobKey, JobStage, Purpose};
use crate::partition::rules;
use crate::partition::slot_waits::may_occupy_too;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::patient::digests::{PersonDigests, patient_digest};
use crate::patient::{HealthFlowPatientId, Link, LinkOrigin};
use crate::retry::WaitReason;
use crate::state::Suspicion;
use crate::sync::{FailureReason, Outcome, SyncedOutcome};

impl Task {
    /// A call of a job ended; HealthFlow may have asked the booking to wait.
    pub fn answered(
        &mut self,
        key: &JobKey,
        reply: Reply,
        asked_to_wait: Option<AskedToWait>,
        turn: &mut Turn<'_>,
    ) {
        let Some(mut job) = self.jobs.take(key) else { return };
        let JobStage::InFlight(flight) = job.stage.clone() else {
            self.jobs.put_back(key, job);
            return;
        };
        self.set_stage(key, &mut job, JobStage::Arrived, turn.now);
        let reply =
            if turn.settings.supports_if_match { reply } else { reply.map(Answer::without_revisions) };
        self.is_not_alone_any_more(key, job.patient.as_ref(), turn.now);
        let why = reply.as_ref().err().map_or(WaitReason::Throttled, WaitReason::from);
        job.asked_to_wait = asked_to_wait;
        match (key, flight.purpose, flight.operation) {
            (JobKey::Patient(patient), ..) => self.patient_looked_up(patient, &mut job, reply, turn),
            (JobKey::Booking(booking), Purpose::Settle, _) => {
                self.appointment_looked_up(booking, &mut job, reply, turn);
            }
            (JobKey::Booking(booking), Purpose::Flow, Operation::CreatePatient) => {
                self.patient_created(booking, &mut job, &flight, reply, turn);
            }
            (JobKey::Booking(booking), Purpose::Flow, operation) if operation.is_write() => {
                self.appointment_written(booking, &mut job, &flight, reply, turn);
            }
            (JobKey::Booking(booking), Purpose::Flow, Operation::ReadAppointment) => {
                self.appointment_read(booking, &mut job, reply, turn);
            }
            (JobKey::Booking(booking), Purpose::Flow, Operation::ReadPatient) => {
                self.chart_read(booking, &mut job, &flight, reply, turn);
            }
            (JobKey::Booking(booking), Purpose::Flow, _) => {
                self.searched(booking, &mut job, &flight, reply, turn);
            }
        }
        if let (Some(AskedToWait { until, by_itself: true, .. }), JobKey::Booking(booking)) =
            (job.asked_to_wait, key)
            && !self.is_rejected(key, &job)
        {
            // If the answer parked the job, that applied the wait; a write in doubt has counted its attempt already.
            if why == WaitReason::Unavailable {
                self.park_all(booking, &mut job, until, why, turn);
            } else {
                self.try_again_later(booking, &mut job, why, until, turn);
            }
        }
        self.jobs.put_back(key, job);
        self.advance(key, turn);
    }

    /// In which of the account's pauses HealthFlow asked a booking to wait, if its last answer did so: in this life, or
    /// before the task put it aside.
    pub fn asked_to_wait_in(&self, key: &JobKey) -> Option<u32> {
        let job = self.jobs.get(key)?;
        let was_asked = || job.newest()?.waited_for().filter(|reason| reason.is_asked_to_wait());
        job.asked_to_wait.map(|asked| asked.in_pause).or(was_asked().map(|_| 0))
    }

    fn write_refused(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        fault: &Fault,
        turn: &mut Turn<'_>,
    ) {
        self.reject_version(key, job, flight, FailureReason::Rejected, &fields_of(fault), turn);
    }

    fn patient_created(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        let Some(patient) = job.patient.clone() else { return };
        let settles_at = turn.now.plus_ms(turn.settings.settle_ms());
        let fault = match reply {
            Ok(Answer::PatientCreated(id)) if self.is_somebody_elses(&patient, &id) => {
                return self.rejected_exists(key, job, &patient, turn);
            }
            Ok(Answer::PatientCreated(id)) => return self.patient_exists(&patient, id, None, turn),
            Ok(_) => Fault::Unknown(Unknown::Unreadable),
            Err(fault) => fault,
        };
        let Some(outcome) = self.intents.apply_fault(&patient, &fault, settles_at, turn) else { return };
        if let Some(doubt) = self.intents.doubt(&patient) {
            self.jobs.wake_at(doubt.settles_at.max(turn.now), JobKey::Patient(patient.clone()));
        }
        match outcome {
            FaultOutcome::Exists(id) if self.is_somebody_elses(&patient, &id.as_str().into()) => {
                self.rejected_exists(key, job, &patient, turn);
            }
            FaultOutcome::Exists(id) => self.patient_exists(&patient, id.into(), None, turn),
            // Only an update names a revision.
            FaultOutcome::Outdated => {}
            FaultOutcome::SendAgain { counts } => self.send_again(key, job, &fault, counts, turn),
            FaultOutcome::Refused => {
                self.close(&(&patient).into());
                let woken = self.recent_creations.never_happened(&patient);
                self.jobs.look_again_all(woken);
                self.write_refused(key, job, flight, &fault, turn);
            }
            FaultOutcome::InDoubt => {
                self.ledger.change_patient(&patient).last_write_at = Some(turn.now);
                let operation = flight.operation;
                turn.facts.push_back(Fact::DoubtOpened { key: None, operation, settles_at });
                let verdict = self.view().verdict(&(&patient).into(), false, turn.now, turn.settings);
                self.doubtful(key, job, verdict, WaitReason::from(&fault), turn);
            }
        }
    }

    /// The patient that we created exists. The link is for the person for whom the task decided the creation, whichever
    /// booking repeated it; if memory does not have that person, for the one that a look-up `found`.
    pub(super) fn patient_exists(
        &mut self,
        patient: &PatientKey,
        id: HealthFlowPatientId,
        found: Option<PersonDigests>,
        turn: &mut Turn<'_>,
    ) {
        let intent = self.ledger.patients().get_hot(patient).and_then(|state| state.intent.as_ref());
        let digests = intent.and_then(|intent| intent.digests.clone()).or(found);
        self.close(&patient.into());
        let woken = self.recent_creations.answered(patient, &id, turn.now);
        self.jobs.look_again_all(woken);
        let state = self.ledger.change_patient(patient);
        state.last_write_at = Some(turn.now);
        state.suspicion = Suspicion::default();
        let created = Link {
            healthflow_patient_id: id,
            origin: LinkOrigin::Created,
            digests,
            outranks: None,
            decided: None,
        };
        // A link learnt elsewhere meanwhile stays; then what we created is a second chart.
        (state.is_new, state.is_unlinked) = (false, false);
        let link = state.link.get_or_insert_with(|| created.clone());
        if link.healthflow_patient_id != created.healthflow_patient_id {
            turn.facts.push_back(Fact::DuplicateFound { key: None, what: DuplicateOf::Patient });
        }
    }

    fn appointment_written(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        let settles_at = turn.now.plus_ms(turn.settings.settle_ms());
        let placement = self.ledger.bookings().get(key).and_then(|state| state.placement.clone());
        let fault = match (reply, placement) {
            // What exists is what we sent; the answer does not name the revision.
            (Ok(Answer::UpdateUnseen), Some(placement)) => {
                let written =
                    WrittenAppointment { id: AppointmentId(placement.appointment_id), revision: None };
                return self.write_succeeded(key, job, flight, written, turn);
            }
            (Ok(Answer::AppointmentCreated(written) | Answer::AppointmentUpdated(written)), _) => {
                return self.write_succeeded(key, job, flight, written, turn);
            }
            (Ok(_), _) => Fault::Unknown(Unknown::Unreadable),
            (Err(fault), _) => fault,
        };
        let Some(outcome) = self.intents.apply_fault(key, &fault, settles_at, turn) else { return };
        match outcome {
            FaultOutcome::Exists(id) => {
                if let Some(patient_id) = &flight.patient_id {
                    self.adopt(key, WrittenAppointment { id: id.into(), revision: None }, patient_id);
                }
                self.close(&key.into());
            }
            FaultOutcome::Outdated => self.appointment_changed(key, job, flight, turn),
            FaultOutcome::SendAgain { counts } => self.send_again(key, job, &fault, counts, turn),
            FaultOutcome::Refused => {
                self.close(&key.into());
                match &fault {
                    Fault::NotFound(Missing::Appointment) => self.placement_gone(key, job, turn),
                    Fault::NotFound(Missing::Patient) => self.patient_gone(key, job, flight, turn),
                    Fault::Refused { fields, .. } if self.was_sent_along(job, flight, fields) => {
                        self.sent_along_refused(key, job, flight, turn);
                    }
                    Fault::SlotTaken => self.slot_taken(key, job, flight, turn),
                    _ => self.write_refused(key, job, flight, &fault, turn),
                }
            }
            FaultOutcome::InDoubt => {
                self.ledger.change_booking(key).last_write_at = Some(turn.now);
                let (key_of, operation) = (Some(key.clone()), flight.operation);
                turn.facts.push_back(Fact::DoubtOpened { key: key_of, operation, settles_at });
                self.jobs.wake_at(settles_at, JobKey::Booking(key.clone()));
                let verdict = self.view().verdict(&key.into(), false, turn.now, turn.settings);
                self.doubtful(key, job, verdict, WaitReason::from(&fault), turn);
            }
        }
    }

    /// A write of the appointment succeeded. HealthFlow may hold an older version's bytes, for a server may replay the first
    /// answer to other bytes. Then the version is not answered yet: a PUT comes next (rule W5).
    fn write_succeeded(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        written: WrittenAppointment,
        turn: &mut Turn<'_>,
    ) {
        let intent = self.ledger.bookings().get_hot(key).and_then(|state| state.intent.clone());
        self.close(&key.into());
        self.ledger.change_booking(key).last_write_at = Some(turn.now);
        let Some(patient_id) = flight.patient_id.clone() else { return };
        let created = flight.operation == Operation::CreateAppointment;
        let certain =
            !created || intent.as_ref().is_some_and(|intent| Some(intent.first_version) == flight.version);
        let sent = job.asked_by(flight).map(|in_hand| Arc::clone(&in_hand.booking));
        // A person may have barred the chart while the write was under way: then who the patient is is asked, and the next write
        // moves the appointment.
        let is_barred = |booking: &Booking| self.is_barred(booking, &patient_id);
        let Some(booking) = sent.filter(|booking| certain && !is_barred(booking)) else {
            self.adopt(key, written, &patient_id);
            return may_occupy_too(
                self.ledger.change_booking(key),
                intent.map_or_else(Vec::new, |intent| intent.asked),
            );
        };
        if job.outdated.take().is_some_and(|outdated| !outdated.may_be_ours) {
            turn.facts.push_back(Fact::EditOverwritten { key: key.clone() });
        }
        let state = self.ledger.change_booking(key);
        let adopted = state.placement.as_ref().is_none_or(|placement| placement.version.is_none());
        // A cancellation stays in the chart, whomever it names.
        let patient = match booking.status {
            BookingStatus::Scheduled => Some(patient_digest(&booking.patient_key())),
            BookingStatus::Cancelled => state.placement.as_ref().and_then(|placement| placement.patient),
        };
        state.placement = Some(Placement {
            appointment_id: written.id.0,
            patient,
            incarnation: state.incarnation,
            version: Some(booking.version),
            status: booking.status,
            fingerprint: Some(fingerprint(&booking, &patient_id)),
            revision: written.revision,
            patient_id,
            spans: Span::wanted(&booking).into_iter().collect(),
        });
        let outcome = match booking.status {
            BookingStatus::Cancelled => SyncedOutcome::Cancelled,
            BookingStatus::Scheduled if created || adopted => SyncedOutcome::Created,
            BookingStatus::Scheduled => SyncedOutcome::Updated,
        };
        self.conclude(key, job, booking.version, Outcome::Synced(outcome), turn);
    }

    /// Takes over the id of what exists. Its content is not certain, so the task writes the newest version next.
    pub(super) fn adopt(
        &mut self,
        key: &BookingKey,
        WrittenAppointment { id, revision }: WrittenAppointment,
        patient_id: &Arc<str>,
    ) {
        let state = self.ledger.change_booking(key);
        let spans = state.intent.as_deref().map_or_else(Vec::new, |intent| intent.asked.clone());
        state.placement = Some(Placement {
            appointment_id: id.0,
            patient_id: Arc::clone(patient_id),
            patient: None,
            incarnation: state.incarnation,
            version: None,
            status: BookingStatus::Scheduled,
            fingerprint: None,
            revision,
            spans,
        });
    }

    /// A request had no effect: it goes out again as soon as it may, or after a back-off if the failure counts.
    fn send_again(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        fault: &Fault,
        counts: bool,
        turn: &mut Turn<'_>,
    ) {
        if *fault == Fault::NotSent(NotSent::LeaseOver) {
            self.outbox.renew();
        }
        if counts {
            self.try_again_later(key, job, WaitReason::from(fault), turn.now, turn);
        }
    }

    /// A write is in doubt. If that is safe, the task repeats it at once, and the second time after a back-off. Anything else
    /// waits until the doubt is quiet.
    fn doubtful(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        verdict: Option<DoubtVerdict>,
        why: WaitReason,
        turn: &mut Turn<'_>,
    ) {
        match verdict {
            _ if rules::is_outage(why, turn) => {}
            Some(DoubtVerdict::Repeat) if job.repeats == 0 => {
                job.repeats += 1;
                self.count_attempt(job, turn);
            }
            Some(DoubtVerdict::Wait(at)) if at.since_ms(turn.now) <= turn.settings.memory_wait_ms => {
                self.count_attempt(job, turn);
            }
            Some(DoubtVerdict::Wait(at)) => self.try_again_later(key, job, why, at, turn),
            Some(DoubtVerdict::Repeat | DoubtVerdict::Settle | DoubtVerdict::UnderWay) | None => {
                self.try_again_later(key, job, why, turn.now, turn);
            }
        }
    }
}
