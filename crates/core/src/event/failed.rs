//! `appointments.failed`: the dead letters.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::appointment::PlacedIds;
use crate::booking::check::Invalid;
use crate::booking::{Booking, BookingKey};
use crate::event::requested::AppointmentRequested;
use crate::event::result::{ResultEnvelope, ResultOutcome};
use crate::event::unusable_names::Named;
use crate::event::{Decision, Identity, Origin, RetryEntry, Schedule, Unusable};
use crate::sync::{Disposition, FailureReason};
use crate::time::Timestamp;

/// A version or record that failed for good.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct DeadLetter {
    /// What failed.
    pub content: DeadContent,
    /// Which version, as far as it can be read.
    pub identity: Option<Identity>,
    /// Why.
    pub reason: FailureReason,
    /// What an operator does with it.
    pub disposition: Disposition,
    /// Field and rule, or what happened; never a value.
    pub detail: Arc<str>,
    /// HealthFlow's ids of what exists all the same.
    pub placed_ids: PlacedIds,
    /// Attempts, the last one included.
    pub attempts: u32,
    /// Which parking of the version this is: a redrive quotes the next one (rule K10). 0 if it was never parked.
    pub generation: u32,
    /// Where the record came from; none for a booking whose record was settled from state.
    pub origin: Option<Origin>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// What a dead letter preserves.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum DeadContent {
    /// A booking.
    Booking(Arc<Booking>),
    /// A record that could not be decoded, or is not a valid booking.
    Record(Box<Unusable>),
    /// Nothing: its record is gone from its topic, and only the ids are known.
    Lost,
    /// A decision that cannot be carried out: it is of no version.
    Decision(Box<Decision>),
}

/// The record, field by field as in `schemas/appointments.failed.avsc`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AppointmentFailed {
    /// Outcome FAILED, with the reason.
    pub result: ResultEnvelope,
    /// The booking, if it could be decoded.
    pub event: Option<AppointmentRequested>,
    /// The key of a record that could not.
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub raw_key: Option<Vec<u8>>,
    /// The value of a record that could not.
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub raw_value: Option<Vec<u8>>,
    /// The code of a [`Disposition`].
    pub disposition: Arc<str>,
    /// Field and rule, or what happened; never a value.
    pub detail: Arc<str>,
    /// The decision that could not be carried out; none of anything else.
    pub decision_id: Option<Arc<str>>,
}

/// Why a dead letter cannot be redriven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRedrivable {
    /// It holds no booking: its record could not be decoded, or is gone.
    #[error("it holds no booking")]
    NotUnderstood,
    /// It was valid then and is not now.
    #[error("{0}")]
    Invalid(Invalid),
}

impl DeadLetter {
    /// The booking that it is about, as far as it is known.
    pub fn booking(&self) -> Option<&BookingKey> {
        match &self.content {
            DeadContent::Decision(decision) => Some(&decision.key),
            _ => self.identity.as_ref().map(|identity| &identity.key),
        }
    }
}

impl AppointmentFailed {
    /// What reopens its version: the booking as it was requested, under the next generation (rule K10).
    ///
    /// # Errors
    /// There is no valid booking.
    pub fn into_redrive(self, now: Timestamp) -> Result<RetryEntry, NotRedrivable> {
        let event = self.event.ok_or(NotRedrivable::NotUnderstood)?;
        let booking = event.into_booking(now).map_err(NotRedrivable::Invalid)?;
        let last_error = self.result.reason.unwrap_or_default();
        let schedule = Schedule { not_before: now, last_error, ..Schedule::default() };
        Ok(RetryEntry {
            booking: Arc::new(booking),
            schedule,
            generation: self.result.generation.saturating_add(1),
        })
    }
}

impl From<&DeadLetter> for AppointmentFailed {
    fn from(letter: &DeadLetter) -> Self {
        let identity = letter.identity.as_ref();
        let (event, raw_key, raw_value) = match &letter.content {
            DeadContent::Booking(booking) => (Some(AppointmentRequested::from(&**booking)), None, None),
            DeadContent::Record(record) => (None, record.raw_key.clone(), record.raw_value.clone()),
            DeadContent::Lost | DeadContent::Decision(_) => (None, None, None),
        };
        let decision = match &letter.content {
            DeadContent::Decision(decision) => Some(decision),
            _ => None,
        };
        let decision_id = match &letter.content {
            DeadContent::Decision(decision) => Some(decision.id.clone()),
            DeadContent::Record(record) => record.decision_id.clone(),
            DeadContent::Booking(_) | DeadContent::Lost => None,
        };
        // What a record says of itself, without its version: nobody may take the letter for the result of that.
        let named = match &letter.content {
            DeadContent::Record(record) => record.named.clone(),
            _ => Named::default(),
        };
        let is_lost = letter.content == DeadContent::Lost;
        let PlacedIds { patient_id: healthflow_patient_id, appointment_id: healthflow_appointment_id } =
            letter.placed_ids.clone();
        let envelope = ResultEnvelope::new(
            identity,
            ResultOutcome::Failed,
            Some(letter.reason.code()),
            letter.finished_at,
        );
        AppointmentFailed {
            result: ResultEnvelope {
                event_id: envelope.event_id.clone().filter(|_| !is_lost).or(named.event_id),
                practice_id: decision
                    .map_or(envelope.practice_id.clone(), |of| Some(of.key.practice.clone()))
                    .or(named.practice),
                booking_id: decision
                    .map_or(envelope.booking_id.clone(), |of| Some(of.key.booking.clone()))
                    .or(named.booking),
                requested_at: envelope.requested_at.filter(|_| !is_lost),
                healthflow_patient_id,
                healthflow_appointment_id,
                attempts: letter.attempts,
                generation: letter.generation,
                ..envelope
            },
            event,
            raw_key,
            raw_value,
            disposition: letter.disposition.code().into(),
            detail: letter.detail.clone(),
            decision_id,
        }
    }
}
