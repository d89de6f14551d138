//! How a task reads after an unclean end (rule K6): it hands its outbox to the guard in `read_guard.rs`, which decides what is
//! read with care, and keeps the committable offset before what is not decoded.

use crate::partition::read_guard::{GuardedRange, Others};
use crate::partition::task::Task;
use crate::settings::Settings;
use crate::topics::Position;

impl Task {
    /// Takes note of a record that is not decoded before its mark is committed; the committable offset does not pass it.
    pub fn guarded(&mut self, position: Position, size_bytes: usize) {
        self.progress.delayed(position, size_bytes, None);
        self.reading.hold(position);
    }

    pub(super) fn passed(&mut self, position: Position) {
        self.reading.passed(position, self.outbox.next_sequence());
    }

    /// Whether the next record is to be read alone: nothing new is begun until it was.
    pub fn wants_to_read_alone(&self, settings: &Settings) -> bool {
        self.reading.wants_to_read_alone(self.is_draining(), settings)
    }

    /// Forgets the mark of a step that is over, once the commit is good that takes it off state.
    pub fn forget_cleared_mark(&mut self) {
        self.reading.forget_cleared(&self.outbox);
    }

    /// Goes on reading with care, next to `others`.
    pub fn read_on(&mut self, others: Others, settings: &Settings) -> Option<GuardedRange> {
        let is_draining = self.is_draining();
        self.reading.read_on(others, is_draining, &self.outbox, settings)
    }

    /// The mark that state may hold, if there is one: whether the task reads alone.
    pub fn reading_mark(&self) -> Option<bool> {
        self.reading.open_mark()
    }
}
