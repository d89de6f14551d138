//! A job whose next call a limit holds: it waits, and others whose limits have room go on.

use crate::healthflow::Operation;
use crate::partition::job::{Job, JobKey};
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::retry::schedule::delay_ms;
use crate::time::Timestamp;

/// Over how long jobs that wait for one limit look again, in milliseconds: not all of them at once.
const SPREAD_MS: i64 = 500;

impl View<'_> {
    /// Until when a job waits that is about to ask this; none if its limits have room.
    pub(super) fn limited_until(
        &self,
        key: &JobKey,
        job: &Job,
        operation: Operation,
        turn: &Turn<'_>,
    ) -> Option<Timestamp> {
        let asking = key.asking(self.partition, operation);
        let at = turn.limits.wait_until(asking, job.asked_version.is_some(), turn.now)?;
        Some(at.plus_ms(delay_ms(key, 0, 1, SPREAD_MS, 2 * SPREAD_MS) - SPREAD_MS))
    }
}
