//! The envelope that all result records share, and the value it is made from.

use std::sync::Arc;

use crate::event::Identity;
use crate::sync::SyncedOutcome;
use crate::time::Timestamp;

/// A version that ended well, with everything its result says.
#[derive(Clone, Debug, PartialEq)]
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
    /// When it ended.
    pub finished_at: Timestamp,
}
