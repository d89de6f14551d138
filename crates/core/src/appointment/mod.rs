//! Which appointment should exist in HealthFlow, and what we know exists. Knows nothing of Kafka or of the wire.

pub mod fingerprint;
pub mod idempotency;
pub mod span;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::{BookingStatus, Version, identifier};
use crate::time::Timestamp;

pub use span::Span;

identifier! {
    /// HealthFlow's revision of an appointment, if it answers one: a new one after every change, never the same again.
    /// HealthFlow carries out a PUT that names it (`If-Match`) only while it is the current one.
    Revision, shown
}

/// The slot that a create asked for: the only way to find it again if HealthFlow does not keep our reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// HealthFlow's id of the patient.
    pub patient_id: Arc<str>,
    /// Start of the visit.
    pub start: Timestamp,
    /// The provider.
    pub provider_id: Arc<str>,
}

/// What exists in HealthFlow for a booking, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// HealthFlow's id of the appointment.
    pub appointment_id: Arc<str>,
    /// HealthFlow's id of the patient it was written for.
    pub patient_id: Arc<str>,
    /// Digest of the patient for whom it was written (`patient_digest`); none if an earlier worker wrote it, or it was only found.
    pub patient: Option<u32>,
    /// Which creation of this booking it came from (rule W6). No rule reads it: it is for readers of the topic.
    pub incarnation: u32,
    /// The version written last; none if a look-up found the appointment, so that it is unknown.
    pub version: Option<Version>,
    /// Status written last.
    pub status: BookingStatus,
    /// Fingerprint of the content written last; none if the present content is uncertain (rule W5).
    pub fingerprint: Option<i64>,
    /// The last revision that HealthFlow answered; none if it has answered none, or answers none at all.
    pub revision: Option<Revision>,
    /// What it may occupy: several spans if the present content is uncertain; none if it occupies nothing, or an earlier
    /// worker wrote it (rule K11).
    pub spans: Vec<Span>,
}

impl Placement {
    /// Whether it may occupy time that is not over yet.
    pub fn is_to_come(&self, now: Timestamp) -> bool {
        self.spans.iter().any(|span| now < span.end())
    }
}

/// HealthFlow's ids of what exists for a booking, as a result names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PlacedIds {
    /// The patient.
    pub patient_id: Option<Arc<str>>,
    /// The appointment.
    pub appointment_id: Option<Arc<str>>,
}
