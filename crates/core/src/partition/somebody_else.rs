//! Charts of which a person decided that they are somebody else's (rule W8). Without this our own reference would lead back to one:
//! it stands in the chart, and where it is unique every further creation under it returns that chart.

use crate::booking::{BookingKey, PatientId, PatientKey};
use crate::fact::LinkChange;
use crate::partition::job::Job;
use crate::partition::rules;
use crate::partition::task::{Task, Turn};
use crate::patient::HealthFlowPatientId;
use crate::patient::reference::reference;
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
    ) {
        let state = self.ledger.change_patient(patient);
        for chart in charts {
            if state.rejected.contains(&chart) {
                continue;
            }
            // The newest counts: a link to it is about to be forgotten.
            if state.rejected.len() >= REJECTED_MAX {
                state.rejected.remove(0);
            }
            state.rejected.push(chart);
        }
    }

    /// The patient has none of the rejected charts: a link to one is forgotten, and the next creation has a key and a reference of its
    /// own. A creation that is open keeps its own, and must end first. Returns whether nothing is known of the patient now.
    pub(super) fn set_apart(&mut self, key: &BookingKey, patient: &PatientKey, settings: &Settings) -> bool {
        let state = self.ledger.change_patient(patient);
        let link = state.link.take_if(|link| state.rejected.contains(&link.healthflow_patient_id));
        if state.link.is_some() {
            return false;
        }
        state.incarnation += 1;
        state.reference = rules::next_reference(state.incarnation, state.reference, settings);
        self.tell_link(key, link.map(|_| LinkChange::Dropped));
        true
    }

    /// The reference under which the open creation of `patient` was begun.
    pub(super) fn reference_begun(&self, patient: &PatientKey) -> PatientId {
        let state = self.ledger.patients().get_hot(patient);
        let number = state.and_then(|state| state.intent.as_ref()).map_or(0, |intent| intent.reference);
        reference(patient, number)
    }

    /// Whether a person decided that this chart is not the patient's.
    pub(super) fn is_somebody_elses(&self, patient: &PatientKey, chart: &HealthFlowPatientId) -> bool {
        self.ledger.patients().get(patient).is_some_and(|state| state.rejected.contains(chart))
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
        self.close(&patient.into());
        let woken = self.recent_creations.never_happened(patient);
        self.jobs.look_again_all(woken);
        self.set_apart(key, patient, turn.settings);
        job.forget_search();
        self.try_again_later(key, job, WaitReason::AlreadyThere, turn.now, turn);
    }
}
