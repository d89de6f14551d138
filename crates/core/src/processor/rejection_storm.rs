//! Storms of refusals, as they reach the work: one booking a minute is tried, and who waits comes back once a storm is over.

use crate::fact::Fact;
use crate::healthflow::Reply;
use crate::limits::rejection_storm::{CallEnded, StormChange};
use crate::processor::ownership::OwnedTask;
use crate::processor::{Call, Processor};
use crate::time::Timestamp;

impl Processor {
    /// What follows from a reply about whether HealthFlow refuses nearly everything.
    pub(super) fn judge_refusal(&mut self, call: &Call, reply: &Reply, now: Timestamp) {
        let was_in_storm = match self.tasks.get(&call.partition) {
            Some(OwnedTask::Live(task)) => task.was_in_storm(&call.job),
            _ => false,
        };
        let (practice, operation, sent_at) = (call.job.practice(), call.operation, call.sent_at);
        let ended = CallEnded { practice, operation, sent_at, was_in_storm, reply };
        let changes = self.shared.storms.ended(ended, now);
        self.storms_changed(changes, now);
    }

    /// Tries one booking in every storm whose time for that has come, and ends those that lasted too long.
    pub(super) fn weather_storms(&mut self, now: Timestamp) {
        let changes = self.shared.storms.believe(now);
        self.storms_changed(changes, now);
        for of in self.shared.storms.take_due(now) {
            let turn = self.shared.turn(&mut self.facts, now);
            let mut live = self.tasks.values_mut().filter_map(|slot| match slot {
                OwnedTask::Live(task) => Some(task),
                _ => None,
            });
            live.any(|task| task.try_in_storm(&of, &turn));
        }
    }

    fn storms_changed(&mut self, changes: Vec<StormChange>, now: Timestamp) {
        for change in changes {
            let is_over = matches!(change, StormChange::Over { .. });
            self.facts.push_back(Fact::StormChanged(change));
            if !is_over {
                continue;
            }
            for slot in self.tasks.values_mut() {
                let OwnedTask::Live(task) = slot else { continue };
                task.take_back_stormed(&self.shared.turn(&mut self.facts, now));
            }
        }
    }
}
