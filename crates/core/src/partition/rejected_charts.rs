//! Charts of which a person decided that they are somebody else's (rule W8). Without this our own reference would lead back to one:
//! it is in the chart, and where it is unique every further creation under it returns that chart.

use crate::booking::{Booking, BookingKey, BookingStatus, PatientId, PatientKey};
use crate::fact::LinkChange;
use crate::partition::job::Job;
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::patient::digests::PersonDigests;
use crate::patient::reference::reference;
use crate::patient::{HealthFlowPatientId, Rejected};
use crate::retry::WaitReason;
use crate::settings::Settings;

/// Charts that are remembered as somebody else's, for one patient.
const REJECTED_MAX: usize = 400;

impl Task {
    /// These patients of HealthFlow are somebody else: never proposed again.
    pub(super) fn reject_charts(
        &mut self,
        patient: &PatientKey,
        charts: impl IntoIterator<Item = HealthFlowPatientId>,
        person: Option<&PersonDigests>,
    ) {
        let state = self.ledger.change_patient(patient);
        for chart in charts {
            let rejected = Rejected { chart, person: person.cloned() };
            if state.rejected.contains(&rejected) {
                continue;
            }
            // The newest counts: a link to it is about to be forgotten.
            if state.rejected.len() >= REJECTED_MAX {
                state.rejected.remove(0);
            }
            state.rejected.push(rejected);
        }
    }

    /// The patient has none of the rejected charts: a link to one is forgotten, and the next creation has a key and a reference of its
    /// own. A creation that is open keeps its own, and must end first. Returns whether nothing is known of the patient now.
    pub(super) fn set_apart(
        &mut self,
        key: &BookingKey,
        patient: &PatientKey,
        person: Option<&PersonDigests>,
        settings: &Settings,
    ) -> bool {
        let state = self.ledger.change_patient(patient);
        let rejected = &state.rejected;
        let link = state.link.take_if(|link| {
            rejected.iter().any(|one| one.chart == link.healthflow_patient_id && one.is_of(person))
        });
        if state.link.is_some() {
            return false;
        }
        state.incarnation += 1;
        state.reference = rules::next_reference(state.incarnation, state.reference, settings);
        self.tell_link(key, link.map(|_| LinkChange::Dropped));
        true
    }

    /// Whether a person decided that this chart is not that of the person whom the open creation of `patient` is for.
    pub(super) fn is_somebody_elses(&self, patient: &PatientKey, chart: &HealthFlowPatientId) -> bool {
        let state = self.ledger.patients().get(patient);
        let Some(state) = state.as_deref() else { return false };
        let person = state.intent.as_ref().and_then(|intent| intent.digests.as_ref());
        state.rejected.iter().any(|rejected| rejected.chart == *chart && rejected.is_of(person))
    }

    /// Whether a person decided that this chart is not that of whom a scheduled booking is for.
    pub(super) fn is_barred(&self, booking: &Booking, chart: &str) -> bool {
        let state = self.ledger.patients().get(&booking.patient_key());
        let Some(state) = state.as_deref().filter(|state| !state.rejected.is_empty()) else { return false };
        let person = PersonDigests::of_booking(booking);
        let bars = |one: &Rejected| one.chart.as_str() == chart && one.is_of(Some(&person));
        booking.status == BookingStatus::Scheduled && state.rejected.iter().any(bars)
    }

    /// HealthFlow answers a creation with a chart that a person rejected while it was under way: nobody was created, and the next one
    /// must not lead there.
    pub(super) fn rejected_exists(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        patient: &PatientKey,
        turn: &mut Turn<'_>,
    ) {
        let state = self.ledger.patients().get_hot(patient);
        let intent = state.and_then(|state| state.intent.as_ref());
        let person = intent.and_then(|intent| intent.digests.clone());
        self.close(&patient.into());
        let woken = self.recent_creations.never_happened(patient);
        self.jobs.look_again_all(woken);
        self.set_apart(key, patient, person.as_ref(), turn.settings);
        job.forget_search();
        self.try_again_later(key, job, WaitReason::AlreadyThere, turn.now, turn);
    }
}

impl View<'_> {
    /// The reference under which the open creation of `patient` was begun.
    pub(super) fn reference_begun(&self, patient: &PatientKey) -> PatientId {
        let state = self.ledger.patients().get_hot(patient);
        let number = state.and_then(|state| state.intent.as_ref()).map_or(0, |intent| intent.reference);
        reference(patient, number)
    }
}
