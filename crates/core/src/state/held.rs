//! What lies in `appointments.review`: versions with their content, so that a decision that carries only ids finds the booking
//! it is about. Which of them still waits, and for what, is in `BookingState`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::booking::{Booking, BookingId, BookingKey, BookingStatus, PatientKey, Version, VersionKey};
use crate::patient::HealthFlowPatientId;
use crate::sync::ReviewReason;
use crate::time::Timestamp;

/// Held versions. In one map: most bookings have one, and a map of its own for it would take ten times as much memory.
pub type HeldByKey = BTreeMap<VersionKey, Held>;

/// A version that is held.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Held {
    /// Its booking.
    pub key: BookingKey,
    /// Which version.
    pub version: Version,
    /// Its patient.
    pub patient: PatientKey,
    /// Whether it is to take place or is cancelled.
    pub status: BookingStatus,
    /// When its visit begins.
    pub visit_start: Timestamp,
    /// Attempts before it was held.
    pub attempts: u32,
    /// When it came, as its offset in `appointments.requested`: what is released goes on in this order.
    pub order: i64,
    /// Since when it is held.
    pub since: Timestamp,
    /// What it waits for.
    pub asks: Asks,
    /// Whether its record lies under the key of an earlier worker, which wrote one for each booking: it is asked anew, and laid
    /// under its own key.
    pub is_of_old: bool,
    /// The booking as it was asked for; none while only the topic has it.
    pub content: Option<Arc<Booking>>,
}

impl Held {
    /// One with its content, held since `since`.
    pub fn new(booking: Arc<Booking>, attempts: u32, order: i64, since: Timestamp, asks: Asks) -> Self {
        Held {
            key: booking.key.clone(),
            version: booking.version,
            patient: booking.patient_key(),
            status: booking.status,
            visit_start: booking.visit.start,
            attempts,
            order,
            since,
            asks,
            is_of_old: false,
            content: Some(booking),
        }
    }
}

impl Held {
    /// Which version of which booking it is.
    pub fn version_key(&self) -> VersionKey {
        self.key.version(self.version)
    }

    /// Whether it waits behind the review of this booking of its practice.
    pub fn waits_behind(&self, holder: &BookingKey) -> bool {
        matches!(&self.asks, Asks::Review(booking) if *booking == holder.booking)
    }
}

/// What a held version waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Asks {
    /// A person's decision about itself.
    Person {
        /// Why.
        reason: ReviewReason,
        /// The patients of HealthFlow that the review shows.
        candidates: Vec<HealthFlowPatientId>,
    },
    /// The decision about this booking of the same practice.
    Review(BookingId),
}
