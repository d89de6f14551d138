//! Counting long limits in state: what is about to be spent is counted by the next commit, and what will be used up before its
//! window ends is told once.

use crate::booking::Source;
use crate::fact::Fact;
use crate::life::Incarnation;
use crate::limits::QuotaEnd;
use crate::processor::Processor;
use crate::processor::ownership::OwnedTask;
use crate::state::StateRecord;
use crate::time::Timestamp;

impl Processor {
    /// Sees to it that commits come in time that count what is about to be spent, and tells what will be used up.
    pub(super) fn attend_to_quotas(&mut self, now: Timestamp) {
        for partition in self.shared.limits.wanting_commit(now) {
            match self.tasks.get_mut(&partition) {
                Some(OwnedTask::Live(task)) if !task.is_draining() => task.commit_counts(),
                _ => {}
            }
        }
        for (view, is_live) in self.shared.limits.quota_forecast(now) {
            let (source, at) = match is_live {
                true => (Source::Live, view.runs_out_at),
                false => (Source::Backfill, view.backfill_ends_at),
            };
            let runs_out_at = at.unwrap_or(now);
            let (limit, left, window_ends_at) = (view.limit, view.left, view.window_ends_at);
            let end = QuotaEnd { limit, source, left, runs_out_at, window_ends_at };
            self.facts.push_back(Fact::QuotaRunsOut(end));
        }
    }

    /// Puts what a task counts of long limits into its commit that is about to begin.
    pub(super) fn write_counts(&mut self, partition: i32, now: Timestamp) {
        let Some(OwnedTask::Live(task)) = self.tasks.get_mut(&partition) else { return };
        for practice in task.take_uncounted() {
            self.shared.limits.want_count(partition, &practice);
        }
        let counts = self.shared.limits.counts_to_commit(partition, task.is_draining(), now);
        task.write_counts(counts.into_iter().map(|(owner, counts)| StateRecord::Quota(owner, counts)));
    }

    /// A commit of this life of a task is good: what it counted may be spent.
    pub(super) fn counts_are_good(&mut self, partition: i32, incarnation: Incarnation, now: Timestamp) {
        match self.tasks.get(&partition) {
            Some(OwnedTask::Live(task)) if task.incarnation() == incarnation => {
                self.shared.limits.counts_committed(partition, now);
            }
            _ => {}
        }
    }

    /// A task is given back: what it has counted and not spent is left to the next owner.
    pub(super) fn give_counts_back(&mut self, partition: i32) {
        let is_counting = self.shared.limits.counts_long();
        match self.tasks.get_mut(&partition) {
            Some(OwnedTask::Live(task)) if is_counting => task.commit_counts(),
            _ => {}
        }
    }
}
