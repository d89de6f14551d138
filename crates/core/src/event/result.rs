//! The envelope that all result records share, and the value it is made from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::{BookingId, PracticeId};
use crate::event::Identity;
use crate::sync::SyncedOutcome;
use crate::time::Timestamp;

/// A version that ended well, with everything its result says.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Finished {
    /// Which version.
    pub identity: Identity,
    /// How it ended.
    pub outcome: SyncedOutcome,
    /// HealthFlow's id of the patient, if there is one.
    pub healthflow_patient_id: Option<Arc<str>>,
    /// HealthFlow's id of the appointment, if there is one.
    pub healthflow_appointment_id: Option<Arc<str>>,
    /// Attempts, the last one included.
    pub attempts: u32,
    /// Which parking of the version it came from; 0 if it was never parked.
    pub generation: u32,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// What all result records share, field by field as `ResultEnvelope` in the schemas: ids and codes, no patient data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultEnvelope {
    /// DentScheduler's id of the event.
    pub event_id: Option<Arc<str>>,
    /// The booking.
    pub booking_id: Option<BookingId>,
    /// The version.
    pub version: Option<i64>,
    /// The practice.
    pub practice_id: Option<PracticeId>,
    /// How it ended.
    pub outcome: ResultOutcome,
    /// Whether it is the final result of the version.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The code of a [`Reason`].
    pub reason: Option<Arc<str>>,
    /// HealthFlow's id of the patient.
    pub healthflow_patient_id: Option<Arc<str>>,
    /// HealthFlow's id of the appointment.
    pub healthflow_appointment_id: Option<Arc<str>>,
    /// Attempts, the last one included.
    pub attempts: u32,
    /// Which parking of the version it came from; 0 if it was never parked. There is one final result per version and
    /// generation: a version that is redriven gets a second one, under a higher number (rule K10).
    pub generation: u32,
    /// When the version was requested.
    pub requested_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// How a version ended, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Outcome", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResultOutcome {
    /// The appointment was created.
    Created,
    /// The appointment was changed.
    Updated,
    /// The appointment was cancelled, or never had to be created.
    Cancelled,
    /// Nothing had to be changed.
    Unchanged,
    /// A newer version counts instead.
    Superseded,
    /// A person must decide.
    Review,
    /// It failed for good.
    Failed,
    /// A symbol of a newer schema.
    Unknown,
}

impl From<SyncedOutcome> for ResultOutcome {
    fn from(outcome: SyncedOutcome) -> Self {
        match outcome {
            SyncedOutcome::Created => ResultOutcome::Created,
            SyncedOutcome::Updated => ResultOutcome::Updated,
            SyncedOutcome::Cancelled => ResultOutcome::Cancelled,
            SyncedOutcome::Unchanged => ResultOutcome::Unchanged,
            SyncedOutcome::Superseded => ResultOutcome::Superseded,
        }
    }
}

impl ResultEnvelope {
    /// The envelope of `identity`, as far as that is known, without HealthFlow ids, attempts and generation.
    pub fn new(
        identity: Option<&Identity>,
        outcome: ResultOutcome,
        reason: Option<&str>,
        finished_at: Timestamp,
    ) -> Self {
        ResultEnvelope {
            event_id: identity.map(|identity| identity.event_id.clone()).filter(|id| !id.is_empty()),
            booking_id: identity.map(|identity| identity.key.booking.clone()),
            version: identity.map(|identity| identity.version.cast_signed()),
            practice_id: identity.map(|identity| identity.key.practice.clone()),
            outcome,
            is_final: outcome != ResultOutcome::Review,
            reason: reason.map(Into::into),
            healthflow_patient_id: None,
            healthflow_appointment_id: None,
            attempts: 0,
            generation: 0,
            requested_at: identity.map(|identity| identity.requested_at),
            finished_at,
        }
    }
}
