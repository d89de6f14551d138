//! What a task knows that bears on one booking, put before [`next_step`]: from state, and from what its job has read.

use crate::booking::Booking;
use crate::panic_guard::caught;
use crate::partition::job::Job;
use crate::partition::rules;
use crate::partition::view::View;
use crate::patient::digests::{Likeness, PersonDigests};
use crate::settings::Settings;
use crate::sync::{Knowledge, Outcome, ReviewReason, Step, next_step};

impl View<'_> {
    /// Whether the open creation of the patient of `booking` was decided for somebody who agrees with it in nothing.
    pub(super) fn creates_somebody_else(&self, booking: &Booking) -> bool {
        let patient = booking.patient_key();
        let intent = self.ledger.patients().get_hot(&patient).and_then(|state| state.intent.as_ref());
        let digests = intent.and_then(|intent| intent.digests.as_ref());
        digests
            .is_some_and(|digests| digests.compare(&PersonDigests::of_booking(booking)) == Likeness::Stranger)
    }

    /// What the flow proper asks for, from all that is known.
    pub(super) fn step(&self, booking: &Booking, job: &Job, settings: &Settings) -> Step {
        let booking_state = self.ledger.bookings().get(&booking.key);
        let patient_state = self.ledger.patients().get(&booking.patient_key());
        let (booking_state, patient_state) = (booking_state.as_deref(), patient_state.as_deref());
        let remembered = patient_state.and_then(|state| state.link.as_ref());
        let link = rules::link_of(remembered, booking, settings);
        let charts = rules::charts_of(job, booking, settings);
        let rejected = rules::rejected_charts(patient_state, booking, settings);
        let search = rules::search_of(job, booking, settings);
        let knowledge = Knowledge {
            link: link.as_deref(),
            gone_patient: job.gone_patient.as_ref(),
            charts: &charts,
            search: search.as_deref(),
            cursor: job.pages.cursor(),
            patient_incarnation: patient_state.map_or(0, |state| state.incarnation),
            reference: patient_state.map_or(0, |state| state.reference),
            unverified_creation: patient_state.and_then(|state| state.unverified_creation),
            rejected: &rejected,
            is_new: patient_state.is_some_and(|state| state.is_new),
            is_unlinked: patient_state.is_some_and(|state| state.is_unlinked),
            has_references: settings.guard.has_references(),
            placement: booking_state.and_then(|state| state.placement.as_ref()),
            incarnation: booking_state.map_or(0, |state| state.incarnation),
            outdated: job.outdated.as_ref().map(|outdated| &outdated.revision),
        };
        caught(|| next_step(booking, &knowledge)).unwrap_or_else(a_defect)
    }
}

/// Deciding about a booking panicked: a person must look at it, and at us (rule K6).
fn a_defect() -> Step {
    Step::Finish(Outcome::Review { reason: ReviewReason::Defect, evidence: Vec::new() })
}
