//! Undoing a link (rule K14): a person saw that visits of one patient are in the chart of another. From here on nothing leads there,
//! and what comes next for the patient is a question: the evidence that led to the wrong chart could lead to another wrong one.

use std::sync::Arc;

use crate::booking::{BookingKey, PatientKey};
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::patient::HealthFlowPatientId;
use crate::patient::digests::patient_digest;
use crate::state::{BookingState, Parked, ParkingPlace, PatientState};
use crate::sync::FailureReason;
use crate::time::Timestamp;

impl Task {
    /// Whose link to `chart` is undone: of the patient for whom the appointment of `key` was written.
    ///
    /// # Errors
    /// No appointment of it is in that chart, or nobody is linked to it any more, or several are and it is not known who is meant.
    pub(super) fn linked_to(
        &self,
        key: &BookingKey,
        chart: &HealthFlowPatientId,
        at: Timestamp,
    ) -> Result<PatientKey, (FailureReason, &'static str)> {
        let state = self.ledger.bookings().get(key);
        let Some(placement) = state.as_deref().and_then(|state| state.placement.as_ref()) else {
            return Err((FailureReason::DecisionUnknown, "no appointment of such a booking exists"));
        };
        if placement.patient_id != chart.0 {
            return Err((FailureReason::DecisionStale, "its appointment is in another chart"));
        }
        let linked = self.ledger.patients().of_practice(&key.practice);
        let is_one =
            |patient: &PatientKey| placement.patient.is_none_or(|digest| digest == patient_digest(patient));
        let mut linked = linked.filter(|(patient, state)| {
            state.link.as_ref().is_some_and(|link| link.healthflow_patient_id == *chart) && is_one(patient)
        });
        match (linked.next(), linked.next()) {
            // A copy that comes late must not undo what was decided since.
            (Some((_, state)), None) if decided_at(&state).is_some_and(|decided_at| at <= decided_at) => {
                Err((FailureReason::DecisionStale, "somebody has decided that link since"))
            }
            (Some((patient, _)), None) => Ok(patient),
            (None, _) => {
                Err((FailureReason::DecisionStale, "its patient is not linked to that chart any more"))
            }
            (Some(_), Some(_)) => Err((
                FailureReason::DecisionContradicts,
                "several patients are linked to that chart, and an earlier worker did not note for which one it was written",
            )),
        }
    }

    /// Undoes the link of `patient` to `chart` by this decision about `key`, and lets the visits that are still to come there be asked about.
    pub(super) fn unlink(
        &mut self,
        key: &BookingKey,
        decision: Arc<str>,
        patient: &PatientKey,
        chart: HealthFlowPatientId,
        turn: &Turn<'_>,
    ) {
        self.ledger.change_booking(key).last_decision = Some(decision);
        let state = self.ledger.patients().get(patient);
        let link = state.as_deref().and_then(|state| state.link.as_ref());
        let person = link.and_then(|link| link.digests.clone());
        self.reject_charts(patient, [chart.clone()], person.as_ref());
        if self.set_apart(key, patient, person.as_ref(), turn.settings) {
            self.ledger.change_patient(patient).is_unlinked = true;
        }
        for booking in self.to_come(key, patient, &chart, turn.now) {
            let state = self.ledger.change_booking(&booking);
            let (version, generation) = (state.newest, state.newest_generation);
            state.parked.push(Parked { version, place: ParkingPlace::Failed, generation, wish: None });
        }
    }

    /// The bookings whose visits are still to come and are in `chart` for `patient`. What was requested of them is in no state:
    /// who has it re-opens the newest version as if it were dead-lettered (rule K10), and a person is asked about it.
    fn to_come(
        &self,
        named: &BookingKey,
        patient: &PatientKey,
        chart: &HealthFlowPatientId,
        now: Timestamp,
    ) -> Vec<BookingKey> {
        let digest = patient_digest(patient);
        let of_practice = self.ledger.bookings().of_practice(&patient.practice);
        let is_one = |key: &BookingKey, state: &BookingState| {
            // A newer version that waits, or that is under way, is resolved anew anyway; a dead letter can be redriven already.
            let is_over = state.is_answered(state.newest) && state.parked(state.newest).is_none();
            is_over
                && state.placement.as_ref().is_some_and(|placement| {
                    let is_theirs = placement.patient == Some(digest) || key == named;
                    placement.patient_id == chart.0 && is_theirs && placement.is_to_come(now)
                })
        };
        of_practice.filter(|(key, state)| is_one(key, state)).map(|(key, _)| key).collect()
    }
}

/// When a person decided the link of a patient, if one did.
fn decided_at(state: &PatientState) -> Option<Timestamp> {
    state.link.as_ref()?.decided.as_ref().map(|decided| decided.at)
}
