//! What state counts of long limits, field by field as in `schemas/appointments.state.avsc`. It shares the schema of the bookings in
//! that topic, and is of none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::{BookingKey, PracticeId};
use crate::event::state::AppointmentStateRecord;
use crate::state::{BookingState, QuotaCount, QuotaOwner};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "QuotaCount")]
pub(super) struct QuotaCountRecord {
    limit: Arc<str>,
    begin: Timestamp,
    calls: u32,
}

impl From<QuotaCountRecord> for QuotaCount {
    fn from(QuotaCountRecord { limit, begin, calls }: QuotaCountRecord) -> Self {
        QuotaCount { limit, begin, calls }
    }
}

impl From<(&QuotaOwner, &Vec<QuotaCount>)> for AppointmentStateRecord {
    fn from((owner, counts): (&QuotaOwner, &Vec<QuotaCount>)) -> Self {
        let practice = owner.clone().unwrap_or_else(|| "".into());
        let key = BookingKey { practice, booking: "".into() };
        let mut record = AppointmentStateRecord::of(&key, &BookingState::default());
        let count = |QuotaCount { limit, begin, calls }: QuotaCount| QuotaCountRecord { limit, begin, calls };
        record.quotas = counts.iter().cloned().map(count).collect();
        record
    }
}

/// Whose counts they are: the account's if no practice is named.
pub(super) fn owner(practice: PracticeId) -> QuotaOwner {
    Some(practice).filter(|practice| !practice.as_str().is_empty())
}
