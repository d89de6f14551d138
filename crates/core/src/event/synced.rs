//! `appointments.synced`: a version that ended well.

use serde::{Deserialize, Serialize};

use crate::event::Finished;
use crate::event::result::{ResultEnvelope, ResultOutcome};

/// The record, field by field as in `schemas/appointments.synced.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppointmentSynced {
    /// How it ended.
    pub result: ResultEnvelope,
}

impl From<&Finished> for AppointmentSynced {
    fn from(finished: &Finished) -> Self {
        AppointmentSynced {
            result: ResultEnvelope {
                healthflow_patient_id: finished.healthflow_patient_id.clone(),
                healthflow_appointment_id: finished.healthflow_appointment_id.clone(),
                attempts: finished.attempts,
                generation: finished.generation,
                ..ResultEnvelope::new(
                    Some(&finished.identity),
                    ResultOutcome::from(finished.outcome),
                    None,
                    finished.finished_at,
                )
            },
        }
    }
}
