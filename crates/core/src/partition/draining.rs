//! Giving a task back (rule K2): nothing new is sent, calls under way may finish, and their results are committed. If a task
//! were given back earlier, the next owner would fence its last commit.

use crate::partition::task::Task;
use crate::time::Timestamp;

impl Task {
    /// The partition is wanted back: nothing new is sent, calls in flight may finish until `until` (rule K2).
    pub fn begin_drain(&mut self, until: Timestamp) {
        if !self.drain.begin(until) {
            return;
        }
        self.reading.tell();
        for subject in self.intents.all_unsent() {
            self.close(&subject);
        }
    }

    /// Whether everything of a draining task is answered, or its time is up, and committed.
    pub fn is_drained(&self, now: Timestamp) -> bool {
        let Some(until) = self.drain.until() else { return false };
        let answered = self.calls_in_flight() == 0 || now >= until;
        answered && !self.outbox.is_committing() && !self.wants_commit()
    }
}
