//! The next step for one booking, given everything learnt so far. Reading [`next_step`] teaches the business.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::appointment::{Placement, Revision, fingerprint::fingerprint, idempotency};
use crate::booking::{Booking, BookingStatus, PatientId, PracticeId};
use crate::healthflow::{AppointmentContent, AppointmentId, PatientContent, Request};
use crate::patient::reference::under_reference;
use crate::patient::search::{Pass, Search};
use crate::patient::{Candidate, HealthFlowPatientId, Link, UnverifiedCreation};
use crate::sync::who::{Who, who};
use crate::sync::{Outcome, SyncedOutcome};

/// Everything learnt so far about one booking. It only grows, until something in it turns out to be gone.
#[derive(Clone, Copy, Debug)]
pub struct Knowledge<'a> {
    /// HealthFlow's patient, once known.
    pub link: Option<&'a Link>,
    /// A HealthFlow patient that DentScheduler may still send along but that is gone.
    pub gone_patient: Option<&'a HealthFlowPatientId>,
    /// The search for the patient so far.
    pub search: Option<&'a Search>,
    /// The charts that were read, by id; none if HealthFlow knows no such patient of the practice.
    pub charts: &'a BTreeMap<HealthFlowPatientId, Option<Candidate>>,
    /// Where the next page of the pass under way starts.
    pub cursor: Option<&'a str>,
    /// The incarnation to create the patient under.
    pub patient_incarnation: u32,
    /// The number that our reference of the patient carries; 0 if none (rule W8).
    pub reference: u32,
    /// Whom a creation that was never looked up may have created: `PatientState::unverified_creation`.
    pub unverified_creation: Option<UnverifiedCreation>,
    /// Patients of HealthFlow of which a person decided that they are somebody else.
    pub rejected: &'a [HealthFlowPatientId],
    /// Whether a person decided that HealthFlow does not have this patient.
    pub is_new: bool,
    /// Whether a person undid the link to a chart.
    pub is_unlinked: bool,
    /// Whether HealthFlow can be searched by our reference.
    pub has_references: bool,
    /// What exists in HealthFlow for this booking.
    pub placement: Option<&'a Placement>,
    /// The incarnation to create the appointment under.
    pub incarnation: u32,
    /// The revision that, by HealthFlow's answer, is not the current one any more.
    pub outdated: Option<&'a Revision>,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask HealthFlow; the answer teaches.
    Ask(Request),
    /// Remember who the patient is, then ask again for the next step.
    Remember(Link),
    /// Forget the link: the id that was sent along leads nowhere, or to somebody else. Then ask again for the next step.
    Forget,
    /// This version ends.
    Finish(Outcome),
}

/// The next step for `booking`, given everything learnt so far.
pub fn next_step(booking: &Booking, known: &Knowledge<'_>) -> Step {
    // A cancellation needs no search for the patient: what was never created is cancelled already.
    if booking.status == BookingStatus::Cancelled {
        return match known.placement {
            None => Step::Finish(Outcome::Synced(SyncedOutcome::Cancelled)),
            Some(placement) => write(booking, &HealthFlowPatientId(placement.patient_id.clone()), known),
        };
    }
    // Who is it for? Known link, then search, then create.
    match who(booking, known) {
        Who::Known(patient) => write(booking, &patient, known),
        Who::Next(step) => step,
    }
}

/// The request to create the patient of `booking`: the same under every owner (rules W6, W8).
pub fn create_patient(booking: &Booking, incarnation: u32, reference: u32) -> Request {
    let practice = booking.key.practice.clone();
    let patient = under_reference(&practice, &booking.patient, reference).into_owned();
    Request::CreatePatient {
        content: PatientContent { practice, patient },
        idempotency_key: idempotency::patient_key(&booking.patient_key(), incarnation),
    }
}

/// The look-up that settles the creation of a patient, page by page: whom did we create under this reference?
pub fn look_up_patient(practice: &PracticeId, reference: PatientId, cursor: Option<&str>) -> Request {
    Request::SearchPatients {
        practice: practice.clone(),
        pass: Pass::Reference(reference),
        cursor: cursor.map(str::to_owned),
    }
}

/// Write only the difference: create, change, or nothing.
fn write(booking: &Booking, patient: &HealthFlowPatientId, known: &Knowledge<'_>) -> Step {
    let content = || AppointmentContent::wanted(booking, patient.clone());
    match known.placement {
        None => Step::Ask(Request::CreateAppointment {
            content: content(),
            idempotency_key: idempotency::appointment_key(&booking.key, known.incarnation),
        }),
        Some(placement) if placement.fingerprint == Some(fingerprint(booking, patient.as_str())) => {
            Step::Finish(Outcome::Synced(match booking.status {
                BookingStatus::Scheduled => SyncedOutcome::Unchanged,
                BookingStatus::Cancelled => SyncedOutcome::Cancelled,
            }))
        }
        // Somebody else wrote it, or we did and the answer was lost: read it.
        Some(placement) if placement.revision.is_some() && placement.revision.as_ref() == known.outdated => {
            Step::Ask(Request::ReadAppointment { id: AppointmentId(Arc::clone(&placement.appointment_id)) })
        }
        Some(placement) => Step::Ask(Request::UpdateAppointment {
            id: AppointmentId(Arc::clone(&placement.appointment_id)),
            content: content(),
            if_match: placement.revision.clone(),
        }),
    }
}
