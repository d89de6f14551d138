//! `appointments.review`: a person must decide who the patient is.

use crate::booking::Booking;
use crate::patient::decide::Evidence;
use crate::sync::Reason;
use crate::time::Timestamp;

/// A booking held for a person's decision, with the evidence.
#[derive(Clone, Debug, PartialEq)]
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
