//! The group coordinator: who owns which partition, who is asked to give one back, and who is taken for dead.

use std::collections::BTreeMap;

use healthflow_core::processor::Input;

use crate::plan::SESSION_MS;
use crate::worker::Running;
use crate::world::{Event, World};

/// A revocation that is not answered for so long ends with the member's exclusion.
const REBALANCE_TIMEOUT_MS: i64 = 60_000;
/// How soon a group may take a partition for given back that is not.
const ANSWERED_WITHIN_MS: i64 = 2_000;

#[derive(Debug)]
pub struct Group {
    pub owner: Vec<Option<usize>>,
    revoking: Vec<Option<u64>>,
    /// Members and the life of the process that joined.
    members: BTreeMap<usize, u64>,
    /// Whom a partition goes to next, whatever the balance says: an operator's or the broker's whim.
    pub whim: BTreeMap<usize, usize>,
    revocations: u64,
}

#[derive(Debug)]
pub enum GroupEvent {
    Rebalance,
    /// Nothing was heard of the worker since this life or pause of it.
    SessionExpired {
        worker: usize,
        life: u64,
        pauses: u64,
    },
    RevokeTimeout {
        partition: usize,
        revocation: u64,
    },
    /// The group has its answer from somewhere else than the worker, which still drains, or acquires.
    AnsweredOtherwise {
        partition: usize,
        revocation: u64,
    },
    Join {
        worker: usize,
        life: u64,
    },
}

impl Group {
    pub fn new(partitions: i32) -> Self {
        Group {
            owner: vec![None; partitions as usize],
            revoking: vec![None; partitions as usize],
            members: BTreeMap::new(),
            whim: BTreeMap::new(),
            revocations: 0,
        }
    }

    /// Who should own what: everybody keeps what he has up to his share.
    fn targets(&self) -> Vec<Option<usize>> {
        let mut load: BTreeMap<usize, usize> = self.members.keys().map(|worker| (*worker, 0)).collect();
        if load.is_empty() {
            return vec![None; self.owner.len()];
        }
        let share = self.owner.len().div_ceil(load.len());
        let mut targets = vec![None; self.owner.len()];
        for (partition, target) in targets.iter_mut().enumerate() {
            let keeps = self.whim.get(&partition).copied().or(self.owner[partition]);
            if let Some(count) = keeps.and_then(|worker| load.get_mut(&worker))
                && *count < share
            {
                *count += 1;
                *target = keeps;
            }
        }
        for target in targets.iter_mut().filter(|target| target.is_none()) {
            if let Some((worker, count)) = load.iter_mut().min_by_key(|(_, count)| **count) {
                *count += 1;
                *target = Some(*worker);
            }
        }
        targets
    }
}

impl World {
    pub fn group_event(&mut self, event: GroupEvent) {
        match event {
            GroupEvent::Rebalance => self.rebalance(),
            GroupEvent::SessionExpired { worker, life, pauses } => {
                let one = &self.workers[worker];
                if one.life == life && one.pauses == pauses && one.running != Running::Up {
                    self.story.tell(self.now, || format!("the group takes w{worker} for dead"));
                    self.exclude(worker);
                }
            }
            GroupEvent::RevokeTimeout { partition, revocation } => {
                if self.group.revoking[partition] == Some(revocation) {
                    if let Some(worker) = self.group.owner[partition] {
                        self.tell_worker(worker, Input::TaskLost { partition: partition as i32 });
                    }
                    self.group.owner[partition] = None;
                    self.group.revoking[partition] = None;
                    self.rebalance_soon();
                }
            }
            GroupEvent::AnsweredOtherwise { partition, revocation } => {
                if self.group.revoking[partition] == Some(revocation) {
                    self.story.tell(self.now, || format!("the group takes p{partition} for given back"));
                    self.judges.rate_limit.shared_twice_until(self.now + REBALANCE_TIMEOUT_MS);
                    self.judges.limits.shared_twice(self.now, self.now + REBALANCE_TIMEOUT_MS);
                    self.group.revoking[partition] = None;
                    let owner = self.group.owner[partition].take();
                    match owner.filter(|_| self.random.chance(0.5)) {
                        Some(worker) => {
                            self.group.whim.remove(&partition);
                            self.group.owner[partition] = Some(worker);
                            self.tell_worker(worker, Input::TaskAssigned { partition: partition as i32 });
                        }
                        None => self.rebalance_soon(),
                    }
                }
            }
            GroupEvent::Join { worker, life } => {
                let one = &self.workers[worker];
                if one.life == life && one.running != Running::Down && !one.stopping {
                    self.join(worker);
                }
            }
        }
    }

    fn rebalance_soon(&mut self) {
        let ms = self.random.between(50, 1_500);
        self.after(ms, Event::Group(GroupEvent::Rebalance));
    }

    fn rebalance(&mut self) {
        let targets = self.group.targets();
        for (partition, target) in targets.into_iter().enumerate() {
            let Some(target) = target else { continue };
            match self.group.owner[partition] {
                None => {
                    self.group.owner[partition] = Some(target);
                    self.story.tell(self.now, || format!("the group gives p{partition} to w{target}"));
                    self.tell_worker(target, Input::TaskAssigned { partition: partition as i32 });
                }
                Some(owner) if owner != target && self.group.revoking[partition].is_none() => {
                    self.group.revocations += 1;
                    let revocation = self.group.revocations;
                    self.group.revoking[partition] = Some(revocation);
                    self.story.tell(self.now, || format!("the group wants p{partition} back from w{owner}"));
                    self.tell_worker(owner, Input::TaskRevoked { partition: partition as i32 });
                    let timeout = GroupEvent::RevokeTimeout { partition, revocation };
                    self.after(REBALANCE_TIMEOUT_MS, Event::Group(timeout));
                    if self.strikes(self.plan.faults.acquire) {
                        let ms = self.random.between(0, ANSWERED_WITHIN_MS);
                        let answered = GroupEvent::AnsweredOtherwise { partition, revocation };
                        self.after(ms, Event::Group(answered));
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// The group's messages reach a worker in order, at its next poll.
    fn tell_worker(&mut self, worker: usize, input: Input) {
        let ms = self.random.between(0, 500);
        let at = self.workers[worker].hears_group_at.max(self.now + ms);
        self.workers[worker].hears_group_at = at;
        self.worker_learns(worker, at - self.now, input);
    }

    fn exclude(&mut self, worker: usize) {
        self.group.members.remove(&worker);
        for partition in 0..self.group.owner.len() {
            if self.group.owner[partition] == Some(worker) {
                self.group.owner[partition] = None;
                self.group.revoking[partition] = None;
            }
        }
        self.rebalance_soon();
    }

    /// A process joins; under the name of one that was not missed yet it gets back what that one had.
    pub fn join(&mut self, worker: usize) {
        let life = self.workers[worker].life;
        let before = self.group.members.insert(worker, life);
        for partition in 0..self.group.owner.len() {
            if self.group.owner[partition] != Some(worker) || before == Some(life) {
                continue;
            }
            if self.group.revoking[partition].take().is_some() {
                self.group.owner[partition] = None;
            } else {
                self.tell_worker(worker, Input::TaskAssigned { partition: partition as i32 });
            }
        }
        self.rebalance_soon();
    }

    /// A process that stops cleanly gets no more partitions.
    pub fn leave(&mut self, worker: usize) {
        self.group.members.remove(&worker);
        self.rebalance_soon();
    }

    pub fn released(&mut self, worker: usize, partition: i32) {
        let partition = partition as usize;
        self.story.tell(self.now, || format!("w{worker} gives p{partition} back"));
        let is_wanted = self.group.revoking[partition].is_some() || self.workers[worker].stopping;
        if self.group.owner[partition] == Some(worker) && is_wanted {
            self.group.owner[partition] = None;
            self.group.revoking[partition] = None;
        }
        self.rebalance_soon();
    }

    /// Starts to count the session time of a worker that has fallen silent.
    pub fn falls_silent(&mut self, worker: usize) {
        let one = &self.workers[worker];
        let expired = GroupEvent::SessionExpired { worker, life: one.life, pauses: one.pauses };
        self.after(SESSION_MS, Event::Group(expired));
    }

    /// The group takes a worker for dead that is well: it hears so later, and goes on working and sending until then.
    pub fn cut_off(&mut self, worker: usize) {
        if !self.group.members.contains_key(&worker) {
            return;
        }
        self.exclude(worker);
        self.hears_of_its_exclusion(worker, 25_000);
    }

    /// A worker wakes that the group may have taken for dead: it learns so at one of its next heartbeats.
    pub fn wakes(&mut self, worker: usize) {
        if self.group.members.contains_key(&worker) || self.workers[worker].stopping {
            self.lose_strangers(worker);
            return;
        }
        self.hears_of_its_exclusion(worker, 3_000);
    }

    fn hears_of_its_exclusion(&mut self, worker: usize, within_ms: i64) {
        let ms = self.random.between(0, within_ms);
        self.judges.rate_limit.shared_twice_until(self.now + ms);
        self.judges.limits.shared_twice(self.now, self.now + ms);
        let at = self.workers[worker].hears_group_at.max(self.now + ms);
        self.workers[worker].hears_group_at = at;
        let owned: Vec<i32> = (0..self.plan.partitions).collect();
        for partition in owned {
            self.worker_learns(worker, at - self.now, Input::TaskLost { partition });
        }
        let life = self.workers[worker].life;
        self.after_at(at + 10, Event::Group(GroupEvent::Join { worker, life }));
    }

    /// A stopping worker was excluded while it slept: what it still holds is somebody else's.
    fn lose_strangers(&mut self, worker: usize) {
        if self.group.members.contains_key(&worker) {
            return;
        }
        for partition in 0..self.plan.partitions {
            if self.group.owner[partition as usize] != Some(worker) {
                self.tell_worker(worker, Input::TaskLost { partition });
            }
        }
    }
}
