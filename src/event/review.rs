//! `appointments.review`: a person must decide who the patient is.

use serde::{Deserialize, Serialize};

use crate::booking::Booking;
use crate::event::Identity;
use crate::event::requested::AppointmentRequested;
use crate::event::result::{ResultEnvelope, ResultOutcome};
use crate::patient::decide::Evidence;
use crate::sync::Reason;
use crate::time::Timestamp;

/// Candidates that a review shows at most, the first ones: a person cannot choose from more, and the record must fit.
pub const EVIDENCE_MAX: usize = 200;

/// A booking held for a person's decision, with the evidence.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct ReviewCase {
    /// The booking that waits.
    pub booking: Booking,
    /// Which parking of it this is; the decision quotes it (rule K4).
    pub generation: u32,
    /// Why a person must decide.
    pub reason: Reason,
    /// How each candidate compares, field by field.
    pub evidence: Vec<Evidence>,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// Since when it waits.
    pub since: Timestamp,
}

/// The record, field by field as in `schemas/appointments.review.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppointmentReview {
    /// Where it stands: not final.
    pub result: ResultEnvelope,
    /// The booking as it was asked for.
    pub event: AppointmentRequested,
    /// How each candidate compares.
    pub evidence: Vec<Evidence>,
}

impl From<&ReviewCase> for AppointmentReview {
    fn from(case: &ReviewCase) -> Self {
        let identity = Identity::from(&case.booking);
        AppointmentReview {
            result: ResultEnvelope {
                attempts: case.attempts,
                generation: case.generation,
                ..ResultEnvelope::new(Some(&identity), ResultOutcome::Review, Some(case.reason), case.since)
            },
            event: (&case.booking).into(),
            evidence: case.evidence.iter().take(EVIDENCE_MAX).cloned().collect(),
        }
    }
}
