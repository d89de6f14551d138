//! The fleet's record in `appointments.state`, as it is written and read back. It shares the schema of the bookings in that
//! topic, and is of none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::state::AppointmentStateRecord;
use crate::state::{FleetRecord, Owner};
use crate::time::Timestamp;

/// `Fleet` in `schemas/appointments.state.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Fleet")]
pub(super) struct FleetFields {
    application: Arc<str>,
    group_id: Arc<str>,
    partition_count: u32,
    moving_to: Option<u32>,
    handing_over_to: Option<FleetOwner>,
    written_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "FleetOwner")]
struct FleetOwner {
    application: Arc<str>,
    group_id: Arc<str>,
}

impl From<&FleetRecord> for AppointmentStateRecord {
    fn from(record: &FleetRecord) -> Self {
        let FleetRecord { owner, partition_count, moving_to, handing_over_to, written_at } = record.clone();
        let Owner { application, group_id } = owner;
        let to = |Owner { application, group_id }| FleetOwner { application, group_id };
        let handing_over_to = handing_over_to.map(to);
        let fleet =
            FleetFields { application, group_id, partition_count, moving_to, handing_over_to, written_at };
        let mut record = AppointmentStateRecord::of_no_booking();
        record.fleet = Some(fleet);
        record
    }
}

impl AppointmentStateRecord {
    /// The fleet; none if the record is of a booking or a task.
    pub fn into_fleet(self) -> Option<FleetRecord> {
        let FleetFields { application, group_id, partition_count, moving_to, handing_over_to, written_at } =
            self.fleet?;
        let to = |FleetOwner { application, group_id }| Owner { application, group_id };
        Some(FleetRecord {
            owner: Owner { application, group_id },
            partition_count,
            moving_to,
            handing_over_to: handing_over_to.map(to),
            written_at,
        })
    }
}
