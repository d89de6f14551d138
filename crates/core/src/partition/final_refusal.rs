//! HealthFlow refuses a version for good: how it ends.

use std::sync::Arc;

use crate::booking::BookingKey;
use crate::partition::job::{Flight, Job};
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::retry::WaitReason;
use crate::sync::{Disposition, FailureReason, Outcome};

impl Task {
    /// The version that was asked for is refused for good, unless it is in a storm.
    pub(super) fn reject_version(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        reason: FailureReason,
        fields: &[String],
        turn: &mut Turn<'_>,
    ) {
        let Some(version) = flight.version else { return };
        // Nothing is given up while a write of it is in doubt (rule W4).
        if let Some(doubt) = self.intents.doubt(key) {
            return self.try_again_later(key, job, WaitReason::InDoubt, doubt.settles_at, turn);
        }
        if self.is_refused_in_storm(key, version, flight.operation, turn) {
            return self.wait_for_calm(key, job, version, turn);
        }
        let detail = match reason {
            FailureReason::SlotTaken => Arc::from("the slot is taken; book another one"),
            _ if fields.is_empty() => Arc::from("HealthFlow refuses it and names no field"),
            _ => Arc::from(format!("HealthFlow refuses {}", fields.join(", "))),
        };
        let outcome = Outcome::Failed { reason, disposition: Disposition::Rejected, detail };
        self.conclude(key, job, version, outcome, turn);
    }
}
