//! What a worker may promise to those who wait: how much it has to do, and how fast it may.

use crate::limits::Outlook;
use crate::partition::Task;
use crate::partition::job::Share;
use crate::processor::Processor;
use crate::processor::ownership::OwnedTask;
use crate::time::Timestamp;

impl Processor {
    /// What lies before those who wait; none if nobody is to be told of it now.
    pub(super) fn outlook(&self, now: Timestamp) -> Option<Outlook> {
        if !self.has_live(Task::has_notices) {
            return None;
        }
        let tasks = || {
            self.tasks.values().filter_map(|slot| match slot {
                OwnedTask::Live(task) => Some(&**task),
                OwnedTask::Acquiring { .. } => None,
            })
        };
        let stated = self.shared.limits.per_second().unwrap_or(f64::INFINITY);
        let is_fresh_waiting = tasks().any(|task| task.has_arrivals(Share::First));
        Some(Outlook {
            bookings_waiting: tasks().map(Task::bookings_waiting).sum(),
            per_second: self.account.per_second().min(stated),
            part_left: if is_fresh_waiting { self.shared.settings.again_share } else { 1.0 },
            begins_at: self.account.paused_until(now).unwrap_or(now),
            ramp_ms: self.shared.breaker.ramp_left_ms(now),
        })
    }
}
