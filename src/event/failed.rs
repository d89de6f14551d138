//! `appointments.failed`: the dead letters.

use std::sync::Arc;

use crate::booking::Booking;
use crate::event::{Identity, Origin, Unusable};
use crate::sync::{Disposition, Reason};
use crate::time::Timestamp;

/// A version or record that failed for good.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// What failed.
    pub content: DeadContent,
    /// Which version, as far as it can be read.
    pub identity: Option<Identity>,
    /// Why.
    pub reason: Reason,
    /// What an operator does with it.
    pub disposition: Disposition,
    /// Field and rule, or what happened; never a value.
    pub detail: Arc<str>,
    /// HealthFlow's ids of what stands there nevertheless (patient, appointment).
    pub placed_ids: (Option<Arc<str>>, Option<Arc<str>>),
    /// Attempts, the last one included.
    pub attempts: u32,
    /// Where the record came from; none for a booking whose record was settled from state.
    pub origin: Option<Origin>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// What a dead letter preserves.
#[derive(Clone, Debug, PartialEq)]
pub enum DeadContent {
    /// A booking that was understood.
    Booking(Box<Booking>),
    /// A record that was not.
    Record(Box<Unusable>),
}
