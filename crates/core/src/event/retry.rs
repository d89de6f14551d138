//! `appointments.retry`: a booking that waits, with its schedule. All else that is known of it stays in state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::check::Invalid;
use crate::event::requested::AppointmentRequested;
use crate::event::{RetryEntry, Schedule};
use crate::time::Timestamp;

/// The record, field by field as in `schemas/appointments.retry.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppointmentRetry {
    /// The booking as it was requested.
    pub event: AppointmentRequested,
    /// Which record of this version is the valid one (rule K4).
    pub generation: u32,
    /// Attempts that failed so far.
    pub attempt: u32,
    /// Not to be tried before this.
    pub not_before: Timestamp,
    /// When the first attempt failed.
    pub first_failed_at: Option<Timestamp>,
    /// When the last attempt failed.
    pub last_failed_at: Option<Timestamp>,
    /// A code, never a value.
    pub last_error: Arc<str>,
    /// Since when it waits for a slot that another booking will free.
    pub slot_since: Option<Timestamp>,
}

impl AppointmentRetry {
    /// The entry, if its booking is valid.
    pub fn into_entry(self, now: Timestamp) -> Result<RetryEntry, Invalid> {
        Ok(RetryEntry {
            booking: self.event.into_booking(now)?.into(),
            schedule: Schedule {
                attempts: self.attempt,
                not_before: self.not_before,
                first_failed_at: self.first_failed_at,
                last_failed_at: self.last_failed_at,
                last_error: self.last_error,
                slot_since: self.slot_since,
            },
            generation: self.generation,
        })
    }
}

impl From<&RetryEntry> for AppointmentRetry {
    fn from(entry: &RetryEntry) -> Self {
        AppointmentRetry {
            event: (&*entry.booking).into(),
            generation: entry.generation,
            attempt: entry.schedule.attempts,
            not_before: entry.schedule.not_before,
            first_failed_at: entry.schedule.first_failed_at,
            last_failed_at: entry.schedule.last_failed_at,
            last_error: entry.schedule.last_error.clone(),
            slot_since: entry.schedule.slot_since,
        }
    }
}
