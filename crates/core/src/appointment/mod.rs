//! What should stand in HealthFlow's book, and what we know stands there. Knows nothing of Kafka or of the wire.

pub mod fingerprint;
pub mod reference;
pub mod span;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::{BookingStatus, Version, identifier};
use crate::time::Timestamp;

pub use span::Span;

identifier! {
    /// HealthFlow's own version of an appointment, where it offers versions: another one after every change, never the same
    /// again. A PUT that names it (`If-Match`) is carried out only while it is the current one.
    Revision, shown
}

/// Where in the book a create wanted to be: all there is to find it again by where HealthFlow does not keep our reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// HealthFlow's id of the patient.
    pub patient_id: Arc<str>,
    /// Start of the visit.
    pub start: Timestamp,
    /// Who treats.
    pub provider_id: Arc<str>,
}

/// What stands in HealthFlow for a booking, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// HealthFlow's id of the appointment.
    pub appointment_id: Arc<str>,
    /// HealthFlow's id of the patient it was written for.
    pub patient_id: Arc<str>,
    /// Which creation of this booking it came from (rule W6).
    pub incarnation: u32,
    /// The version written last; 0 where a look-up found it and the version is unknown.
    pub version: Version,
    /// Status written last.
    pub status: BookingStatus,
    /// Fingerprint of the content written last; none where it is not certain what stands (rule W5).
    pub fingerprint: Option<i64>,
    /// The last revision that HealthFlow told us; none where it offers no versions, or told none yet.
    pub revision: Option<Revision>,
    /// What it may occupy: several where it is not certain what stands, none where nothing, or where an earlier worker wrote
    /// it (rule K11).
    pub spans: Vec<Span>,
}
