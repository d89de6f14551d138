//! Whether a task is being given back, and until when (rule K2). What that means for its jobs is in `draining.rs`.

use crate::time::Timestamp;

/// Whether a task is being given back.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Drain {
    /// When that must be over; none while the task is live (rule K2).
    until: Option<Timestamp>,
}

impl Drain {
    /// The task is given back by `until`. False if that has begun before: the first moment counts.
    pub fn begin(&mut self, until: Timestamp) -> bool {
        let is_first = self.until.is_none();
        self.until.get_or_insert(until);
        is_first
    }

    /// When that must be over, if the task is being given back.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }
}
