//! Which tasks are ours, and in which stage of their life: being acquired, live, being given back (rules K1, K2, T3).

use std::collections::BTreeSet;

use crate::fact::{DropCause, Fact};
use crate::life::{Incarnation, LaneEnd};
use crate::partition::Task;
use crate::partition::start::{Acquired, Start};
use crate::processor::Processor;
use crate::processor::effect::Effect;
use crate::processor::rules;
use crate::settings::Settings;
use crate::status::{Status, TaskStatus};
use crate::time::Timestamp;

/// A task that the group gave us: on its way to work, or at work.
#[derive(Clone, Debug, Hash)]
pub(super) enum OwnedTask {
    /// Being fenced and restored.
    Acquiring {
        /// The life to be.
        incarnation: Incarnation,
        /// Wanted back before it was live.
        revoked: bool,
        /// Nothing is fenced before this.
        not_before: Timestamp,
    },
    /// Live, or draining.
    Live(Box<Task>),
}

impl OwnedTask {
    fn incarnation(&self) -> Incarnation {
        match self {
            OwnedTask::Acquiring { incarnation, .. } => *incarnation,
            OwnedTask::Live(task) => task.incarnation(),
        }
    }

    /// Whether the group wants it back.
    fn is_given_back(&self) -> bool {
        match self {
            OwnedTask::Acquiring { revoked, .. } => *revoked,
            OwnedTask::Live(task) => task.is_draining(),
        }
    }

    /// Whether an assignment begins another life of it: one that was about to be given back is over (rule K2).
    fn begins_anew(&self, settings: &Settings) -> bool {
        self.is_given_back() && rules::reassignment_begins_anew(settings)
    }

    /// Adds this task to the picture of the worker.
    pub(super) fn tell(&self, partition: i32, status: &mut Status) {
        match self {
            OwnedTask::Acquiring { incarnation, .. } => {
                status.tasks.push(TaskStatus::acquiring(partition, *incarnation));
            }
            OwnedTask::Live(task) => {
                status.tasks.push(task.status());
                task.count_reviews(&mut status.reviews, status.taken_at);
                for since in task.doubts() {
                    status.open_doubts += 1;
                    status.oldest_doubt_since =
                        Some(status.oldest_doubt_since.map_or(since, |oldest| oldest.min(since)));
                }
            }
        }
    }
}

impl Processor {
    /// The group assigned a task to us. If this worker is still about to give that task back, the group has it back already:
    /// that life is over, and nothing that it read counts any more.
    pub(super) fn assigned(&mut self, partition: i32, now: Timestamp) {
        match self.tasks.get(&partition) {
            None => self.acquire(partition, now),
            Some(slot) if slot.begins_anew(&self.shared.settings) => {
                let incarnation = slot.incarnation();
                self.effects.push_back(Effect::Drop { partition, incarnation });
                self.facts.push_back(Fact::TaskDropped { partition, why: DropCause::PartitionLost });
                self.acquire(partition, now);
                self.share_limit(now);
            }
            Some(_) => {}
        }
    }

    fn acquire(&mut self, partition: i32, not_before: Timestamp) {
        let incarnation = self.next_incarnation;
        self.next_incarnation += 1;
        self.tasks
            .insert(partition, OwnedTask::Acquiring { incarnation, revoked: self.stopping, not_before });
        self.effects.push_back(Effect::Acquire { partition, incarnation, not_before });
    }

    pub(super) fn acquired(
        &mut self,
        partition: i32,
        incarnation: Incarnation,
        mut acquired: Acquired,
        now: Timestamp,
    ) {
        match self.tasks.get(&partition) {
            Some(OwnedTask::Acquiring { incarnation: wanted, revoked, .. }) if *wanted == incarnation => {
                if *revoked {
                    self.release(partition);
                    return;
                }
            }
            _ => return,
        }
        let counts = std::mem::take(&mut acquired.state.quotas);
        let Start { next_offsets, guarded, topic_ids, .. } = acquired.start.clone();
        self.effects.push_back(Effect::Fetch { partition, incarnation, next_offsets, guarded, topic_ids });
        let mut turn = self.shared.turn(&mut self.facts, now);
        let task = Task::new(partition, incarnation, acquired, self.began_at, &mut turn);
        self.tasks.insert(partition, OwnedTask::Live(Box::new(task)));
        self.share_limit(now);
        if rules::restores_counts(&self.shared.settings) {
            self.shared.limits.restore(partition, &counts);
        }
    }

    pub(super) fn acquire_failed(&mut self, partition: i32, incarnation: Incarnation, now: Timestamp) {
        match self.tasks.get(&partition) {
            Some(OwnedTask::Acquiring { incarnation: wanted, revoked, .. }) if *wanted == incarnation => {
                if *revoked {
                    self.release(partition);
                } else {
                    self.acquire(partition, now.plus_ms(self.shared.settings.reacquire_pause_ms));
                }
            }
            _ => {}
        }
    }

    pub(super) fn revoked(&mut self, partition: i32, now: Timestamp) {
        match self.tasks.get_mut(&partition) {
            // Nothing is under way yet that somebody would have to wait for.
            Some(OwnedTask::Acquiring { not_before, .. }) if now < *not_before => {
                self.release(partition);
            }
            Some(OwnedTask::Acquiring { revoked, .. }) => *revoked = true,
            Some(OwnedTask::Live(task)) => {
                task.begin_drain(now.plus_ms(self.shared.settings.release_drain_ms));
                self.give_counts_back(partition);
            }
            // Nothing of it is here, but the group waits for an answer.
            None => self.effects.push_back(Effect::Release { partition }),
        }
    }

    pub(super) fn lost(&mut self, partition: i32, now: Timestamp) {
        if let Some(slot) = self.tasks.remove(&partition) {
            let incarnation = slot.incarnation();
            self.effects.push_back(Effect::Drop { partition, incarnation });
            self.facts.push_back(Fact::TaskDropped { partition, why: DropCause::PartitionLost });
            self.share_limit(now);
        }
    }

    /// A commit ended in a way that memory must not survive: the task is acquired again like by any other owner, if it
    /// is still ours two heartbeats later (rule T3).
    pub(super) fn commit_lost(&mut self, partition: i32, incarnation: Incarnation, now: Timestamp) {
        self.start_anew(partition, incarnation, DropCause::CommitLost, now);
    }

    /// A topic of the task cannot be read on: the acquisition of the task decides what to do about that (rule K9).
    pub(super) fn lane_ended(
        &mut self,
        partition: i32,
        incarnation: Incarnation,
        topic: &'static str,
        why: LaneEnd,
        now: Timestamp,
    ) {
        self.start_anew(partition, incarnation, DropCause::LaneEnded { topic, why }, now);
    }

    fn start_anew(&mut self, partition: i32, incarnation: Incarnation, why: DropCause, now: Timestamp) {
        let draining = match self.tasks.get(&partition) {
            Some(OwnedTask::Live(task)) if task.incarnation() == incarnation => task.is_draining(),
            _ => return,
        };
        self.facts.push_back(Fact::TaskDropped { partition, why });
        if draining {
            self.release(partition);
        } else {
            self.effects.push_back(Effect::Drop { partition, incarnation });
            self.acquire(partition, now.plus_ms(self.shared.settings.reacquire_pause_ms));
        }
        self.share_limit(now);
    }

    pub(super) fn stop_requested(&mut self, now: Timestamp) {
        self.stopping = true;
        let partitions: Vec<i32> = self.tasks.keys().copied().collect();
        for partition in partitions {
            self.revoked(partition, now);
        }
    }

    /// Gives every drained task back.
    pub(super) fn release_drained(&mut self, now: Timestamp) {
        let drained: Vec<i32> = self
            .tasks
            .iter()
            .filter_map(|(partition, slot)| match slot {
                OwnedTask::Live(task) if task.is_drained(now) => Some(*partition),
                _ => None,
            })
            .collect();
        for partition in drained {
            self.release(partition);
            self.facts.push_back(Fact::TaskReleased { partition });
            self.share_limit(now);
        }
        if self.stopping && !self.stopped && self.tasks.is_empty() {
            self.stopped = true;
            self.effects.push_back(Effect::Stop);
        }
    }

    fn release(&mut self, partition: i32) {
        self.tasks.remove(&partition);
        self.effects.push_back(Effect::Release { partition });
    }

    fn share_limit(&mut self, now: Timestamp) {
        let is_live = |slot: &OwnedTask| matches!(slot, OwnedTask::Live(_));
        let owned: BTreeSet<i32> =
            self.tasks.iter().filter(|(_, slot)| is_live(slot)).map(|(partition, _)| *partition).collect();
        let all = self.shared.settings.partition_count;
        self.counter.iter_mut().for_each(|counter| counter.set_partitions(owned.len(), now));
        self.account.set_share(owned.len(), all, now);
        self.shared.limits.set_owned(&owned, all, now);
    }
}
