//! What a task knows that bears on one booking, put before [`next_step`]: from state, and from what its job has read.

use std::collections::BTreeMap;

use crate::booking::Booking;
#[cfg(feature = "planted-defects")]
use crate::defects::mistaken;
use crate::defects::planted;
use crate::panic_guard::caught;
use crate::partition::job::Job;
use crate::partition::task::Task;
use crate::patient::digests::{Likeness, PersonDigests};
use crate::patient::{Candidate, HealthFlowPatientId, Link, Person};
use crate::settings::Settings;
use crate::sync::{Knowledge, Outcome, ReviewReason, Step, next_step};

impl Task {
    /// Whether the open creation of the patient of `booking` was decided for somebody who agrees with it in nothing.
    pub(super) fn creates_somebody_else(&self, booking: &Booking) -> bool {
        let patient = booking.patient_key();
        let intent = self.ledger.patients().get_hot(&patient).and_then(|state| state.intent.as_ref());
        let digests = intent.and_then(|intent| intent.digests.as_ref());
        let this_one = PersonDigests::of(&patient, &Person::from(&booking.patient));
        digests.is_some_and(|digests| digests.compare(&this_one) == Likeness::Stranger)
    }

    /// What the flow proper asks for, from all that is known.
    pub(super) fn step(&self, booking: &Booking, job: &Job, settings: &Settings) -> Step {
        let booking_state = self.ledger.bookings().get(&booking.key);
        let patient_state = self.ledger.patients().get(&booking.patient_key());
        let (booking_state, patient_state) = (booking_state.as_deref(), patient_state.as_deref());
        let link = patient_state.and_then(|state| state.link.as_ref());
        let believed = link.filter(|_| planted!(settings, LinkNotCompared)).map(|link| {
            let digests = PersonDigests::of(&booking.patient_key(), &Person::from(&booking.patient));
            Link { digests: Some(digests), ..link.clone() }
        });
        let believed_unread = planted!(settings, SentAlongBelieved).then(|| {
            let id = booking.patient.healthflow_patient_id.clone().map(HealthFlowPatientId);
            let theirs = |id: HealthFlowPatientId| (id.clone(), Some(its_chart(booking, id)));
            id.map(theirs).into_iter().chain(job.charts.clone()).collect::<BTreeMap<_, _>>()
        });
        #[cfg(feature = "planted-defects")]
        let mistaken = job.search.as_ref().map(|search| mistaken(search, booking, settings.defect));
        #[cfg(feature = "planted-defects")]
        let search = mistaken.as_ref();
        #[cfg(not(feature = "planted-defects"))]
        let search = job.search.as_ref();
        let knowledge = Knowledge {
            link: believed.as_ref().or(link),
            gone_patient: job.gone_patient.as_ref(),
            charts: believed_unread.as_ref().unwrap_or(&job.charts),
            search,
            cursor: job.pages.cursor(),
            patient_incarnation: patient_state.map_or(0, |state| state.incarnation),
            unverified_creation: patient_state.and_then(|state| state.unverified_creation),
            has_references: settings.guard.has_references(),
            placement: booking_state.and_then(|state| state.placement.as_ref()),
            incarnation: booking_state.map_or(0, |state| state.incarnation),
            outdated: job.outdated.as_ref().map(|outdated| &outdated.revision),
        };
        caught(|| next_step(booking, &knowledge)).unwrap_or_else(a_defect)
    }
}

/// What a chart would show that is the patient's of `booking`.
fn its_chart(booking: &Booking, id: HealthFlowPatientId) -> Candidate {
    Candidate { id: Some(id), external_id: None, person: Person::from(&booking.patient) }
}

/// Deciding about a booking panicked: a person must look at it, and at us (rule K6).
fn a_defect() -> Step {
    Step::Finish(Outcome::Review { reason: ReviewReason::Defect, evidence: Vec::new() })
}
