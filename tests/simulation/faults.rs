//! What goes wrong, by name, and when.

use healthflow_sync::healthflow::Operation;
use healthflow_sync::processor::{GuardMode, Input};

use crate::coverage::Phase;
use crate::plan::BEGIN_MS;
use crate::worker::{Deed, Running};
use crate::world::{Event, World};

/// Everything that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    Connect,
    Throttled,
    Unauthorised,
    ErrorBefore,
    ErrorAfter,
    ResetBefore,
    ResetAfter,
    Unreadable,
    TimeoutBefore,
    TimeoutAfter,
    LateLanding,
    LongQueue,
    CommitAborts,
    CommitSlow,
    CommitLost,
    CommitGoodUnknown,
    AcquireFails,
    StaleReplica,
    Kill,
    Pause,
    Stop,
    Migrate,
    /// The group does not hear of a worker that is well, and that hears of it late.
    CutFromGroup,
    Delete,
}

impl FaultKind {
    pub const CALLS: [FaultKind; 12] = [
        FaultKind::Connect,
        FaultKind::Throttled,
        FaultKind::Unauthorised,
        FaultKind::ErrorBefore,
        FaultKind::ErrorAfter,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::Unreadable,
        FaultKind::TimeoutBefore,
        FaultKind::TimeoutAfter,
        FaultKind::LateLanding,
        FaultKind::StaleReplica,
    ];
    pub const COMMITS: [FaultKind; 4] =
        [FaultKind::CommitAborts, FaultKind::CommitSlow, FaultKind::CommitLost, FaultKind::CommitGoodUnknown];
    pub const WORKERS: [FaultKind; 5] =
        [FaultKind::Kill, FaultKind::Pause, FaultKind::Stop, FaultKind::Migrate, FaultKind::CutFromGroup];
}

#[derive(Debug)]
pub enum FaultEvent {
    Worker,
    Deletion,
    Outage,
    Restart(usize),
    Resume { worker: usize, pauses: u64 },
    AllWell,
}

impl World {
    /// Whether a fault of this probability strikes now: never once everything is well.
    pub fn strikes(&mut self, probability: f64) -> bool {
        self.now < self.plan.faults_until && self.random.chance(probability)
    }

    pub fn plan_faults(&mut self) {
        self.plan_every(self.plan.faults.worker_every_ms, || FaultEvent::Worker);
        self.plan_every(self.plan.faults.deletion_every_ms, || FaultEvent::Deletion);
        self.plan_every(self.plan.faults.outage_every_ms, || FaultEvent::Outage);
        self.after_at(self.plan.faults_until, Event::Fault(FaultEvent::AllWell));
    }

    fn plan_every(&mut self, every_ms: i64, event: impl Fn() -> FaultEvent) {
        let mut at = BEGIN_MS;
        if every_ms == 0 {
            return;
        }
        loop {
            at += self.random.between(1, 2 * every_ms);
            if at >= self.plan.faults_until {
                return;
            }
            self.after_at(at, Event::Fault(event()));
        }
    }

    pub fn fault_event(&mut self, event: FaultEvent) {
        match event {
            FaultEvent::Worker => self.strike_worker(),
            FaultEvent::Deletion => {
                // A unique reference is free again once its record is deleted: a create that was repeated and then
                // lands late makes a second one. Nothing protects against that; README and guarantees say so.
                let settings = &self.plan.settings;
                let is_freed = settings.guard == GuardMode::UniqueReference;
                let before = if is_freed { self.now - settings.settle_ms() } else { self.now };
                if let Some(id) = self.healthflow.delete_one(before, self.now, &mut self.random) {
                    self.coverage.note(FaultKind::Delete, Phase::Any);
                    self.story.tell(self.now, || format!("somebody deletes {id}"));
                }
            }
            FaultEvent::Outage => {
                let ms = self.random.between(1_000, 30_000);
                self.healthflow.outage_until = (self.now + ms).min(self.plan.faults_until);
                self.story.tell(self.now, || format!("outage for {ms} ms"));
            }
            FaultEvent::Restart(worker) => self.restart(worker),
            FaultEvent::Resume { worker, pauses } => {
                if self.workers[worker].pauses == pauses {
                    self.resume(worker);
                }
            }
            FaultEvent::AllWell => {
                self.story.tell(self.now, || "from here on all is well".to_owned());
                for worker in 0..self.workers.len() {
                    self.resume(worker);
                }
            }
        }
    }

    fn strike_worker(&mut self) {
        let worker = self.random.below(self.workers.len());
        let kind = *self.random.pick(&self.plan.faults.workers);
        if kind == FaultKind::Migrate {
            self.migrate();
            return;
        }
        if self.workers[worker].running != Running::Up {
            return;
        }
        self.meet(worker, kind);
        self.story.tell(self.now, || format!("{kind:?} w{worker}"));
        match kind {
            FaultKind::Kill => {
                self.falls_silent(worker);
                self.workers[worker].running = Running::Down;
                let ms = self.random.between(200, 25_000);
                self.after(ms, Event::Fault(FaultEvent::Restart(worker)));
            }
            FaultKind::Pause => {
                let one = &mut self.workers[worker];
                one.running = Running::Paused;
                one.pauses += 1;
                let pauses = one.pauses;
                self.falls_silent(worker);
                let ms = self.random.between(200, self.plan.faults.pause_max_ms);
                self.after(ms, Event::Fault(FaultEvent::Resume { worker, pauses }));
            }
            FaultKind::CutFromGroup => self.cut_off(worker),
            _ => {
                if !self.workers[worker].stopping {
                    self.workers[worker].stopping = true;
                    self.leave(worker);
                    self.worker_learns(worker, 0, Input::StopRequested);
                }
            }
        }
    }

    /// A partition moves between two workers that are well.
    fn migrate(&mut self) {
        let partition = self.random.below(self.partitions.len());
        let to = self.random.below(self.workers.len());
        if let Some(owner) = self.group.owner[partition] {
            self.meet(owner, FaultKind::Migrate);
        }
        self.group.whim.insert(partition, to);
        self.after(0, Event::Group(crate::group::GroupEvent::Rebalance));
    }

    fn restart(&mut self, worker: usize) {
        if self.workers[worker].running != Running::Down {
            return;
        }
        let settings = self.plan.told_settings();
        self.workers[worker].start(&settings, self.now);
        self.story.tell(self.now, || format!("w{worker} starts"));
        self.join(worker);
    }

    fn resume(&mut self, worker: usize) {
        let one = &mut self.workers[worker];
        if one.running != Running::Paused {
            return;
        }
        one.running = Running::Up;
        one.pauses += 1;
        one.turn_at = None;
        let life = one.life;
        let stalled = std::mem::take(&mut one.stalled);
        self.story.tell(self.now, || format!("w{worker} wakes"));
        for deed in stalled {
            if !matches!(deed, Deed::Turn) {
                // At once: what was due at this very moment must not overtake what it has missed.
                self.for_worker(worker, life, deed);
            }
        }
        self.wakes(worker);
        self.turn_by(worker, self.now + 1);
    }

    /// Notes a fault that strikes a whole worker, with every phase its bookings are in.
    pub fn meet(&mut self, worker: usize, kind: FaultKind) {
        for phase in self.phases(worker) {
            self.coverage.note(kind, phase);
        }
    }

    pub fn meet_call(&mut self, operation: Operation, kind: FaultKind) {
        self.coverage.note(kind, Phase::of(operation));
    }

    fn phases(&self, worker: usize) -> Vec<Phase> {
        let one = &self.workers[worker];
        let mut phases: Vec<Phase> = one.calls.values().map(|operation| Phase::of(*operation)).collect();
        if one.commits > 0 {
            phases.push(Phase::Committing);
        }
        let status = one.processor.status(one.clock(self.now));
        if status.open_doubts > 0 {
            phases.push(Phase::InDoubt);
        }
        if status.tasks.iter().any(|task| task.waiting_room > 0) {
            phases.push(Phase::Parked);
        }
        if phases.is_empty() {
            phases.push(Phase::Idle);
        }
        phases.sort_unstable();
        phases.dedup();
        phases
    }
}
