//! What goes wrong, by name, and when.

use healthflow_core::event::Decision;
use healthflow_core::healthflow::{AppointmentId, Operation};
use healthflow_core::life::CallId;
use healthflow_core::processor::Input;

use crate::coverage::Phase;
use crate::plan::{BEGIN_MS, Killer};
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
    /// 503, mostly with `Retry-After`.
    UnavailableBefore,
    /// The same once HealthFlow has carried it out.
    UnavailableAfter,
    ResetBefore,
    ResetAfter,
    Unreadable,
    /// Something between answers in words of its own; HealthFlow never hears of the request.
    ProxyBefore,
    /// The same once HealthFlow has carried it out.
    ProxyAfter,
    /// HealthFlow forbids it, in its own words.
    Forbidden,
    TimeoutBefore,
    TimeoutAfter,
    LateLanding,
    LongQueue,
    /// The process sleeps between its last look at the lease and the socket, for less than the margin.
    NapAfterGate,
    /// Nobody at HealthFlow answers for a while, or nobody a certain kind of read.
    Outage,
    /// HealthFlow refuses what it would accept otherwise, for a while.
    RejectionStorm,
    /// A search does not show yet what stands.
    SearchLag,
    StaleReplica,
    CommitAborts,
    CommitSlow,
    CommitLost,
    CommitGoodUnknown,
    /// A commit is good, but its connection broke, and a second copy of its EndTxn is still on its way.
    EndTxnTwice,
    /// The broker takes nothing for a while.
    DiskFull,
    AcquireFails,
    Kill,
    Pause,
    Stop,
    Migrate,
    /// The group does not hear of a worker that is well, and that hears of it late.
    CutFromGroup,
    /// Every worker is stopped and started again, one after the other.
    RollingRestart,
    /// The wall clock of a worker's machine is set: whoever runs there does not see it, whoever starts there does.
    ClockJump,
    /// A machine crashes and comes back with a clock that is days off.
    WrongClock,
    /// A booking kills the worker that touches it.
    CrashLoop,
    /// A record is published to another partition than its own.
    Misrouted,
    Delete,
    EditByHand,
    /// An operator pauses or limits, or takes it back.
    ByHand,
    /// Something happens to the counter that workers share.
    Counter,
    /// An operator redrives a dead letter, also one that is answered for, or twice.
    Redrive,
    /// People decide about a review: rightly or wrongly, at once or late, twice or about one that is no more.
    Decide,
    /// A topic is deleted and recreated under its name.
    TopicRecreated,
    /// Records of a topic are deleted, be they read or not.
    RecordsDeleted,
    /// The group forgets its offsets.
    OffsetsForgotten,
    /// A record waits for a schema that the registry does not know yet.
    SchemaUnknown,
}

impl FaultKind {
    pub const CALLS: [FaultKind; 17] = [
        FaultKind::Connect,
        FaultKind::Throttled,
        FaultKind::Unauthorised,
        FaultKind::ErrorBefore,
        FaultKind::ErrorAfter,
        FaultKind::UnavailableBefore,
        FaultKind::UnavailableAfter,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::Unreadable,
        FaultKind::ProxyBefore,
        FaultKind::ProxyAfter,
        FaultKind::Forbidden,
        FaultKind::TimeoutBefore,
        FaultKind::TimeoutAfter,
        FaultKind::LateLanding,
        FaultKind::StaleReplica,
    ];
    pub const COMMITS: [FaultKind; 5] = [
        FaultKind::CommitAborts,
        FaultKind::CommitSlow,
        FaultKind::CommitLost,
        FaultKind::CommitGoodUnknown,
        FaultKind::EndTxnTwice,
    ];
    pub const WORKERS: [FaultKind; 5] =
        [FaultKind::Kill, FaultKind::Pause, FaultKind::Stop, FaultKind::Migrate, FaultKind::CutFromGroup];
}

#[derive(Debug)]
pub enum FaultEvent {
    Worker,
    Deletion,
    /// Somebody changes this appointment, or anything.
    Edit(Option<AppointmentId>),
    Redrive,
    Operate,
    Counter,
    Decide,
    /// Somebody writes a decision.
    Decided(usize, Box<Decision>),
    Topic,
    Outage,
    BrokenRelease,
    DiskFull,
    ClockJump,
    WrongClock,
    ClockMended(usize),
    /// A rolling restart comes to this worker.
    Roll(usize),
    Restart(usize),
    /// A worker goes on, if that was its last pause.
    Resume(usize, u64),
    AllWell,
}

impl World {
    /// Whether a fault of this probability strikes now: never once everything is well.
    pub fn strikes(&mut self, probability: f64) -> bool {
        self.now < self.plan.faults_until && self.random.chance(probability)
    }

    pub fn plan_faults(&mut self) {
        let every = self.plan.faults.clone();
        self.plan_every(every.worker_every_ms, || FaultEvent::Worker);
        self.plan_every(every.roll_every_ms, || FaultEvent::Roll(0));
        self.plan_every(every.clock_every_ms, || FaultEvent::ClockJump);
        self.plan_every(every.wrong_clock_every_ms, || FaultEvent::WrongClock);
        self.plan_every(every.disk_every_ms, || FaultEvent::DiskFull);
        self.plan_every(every.deletion_every_ms, || FaultEvent::Deletion);
        self.plan_every(every.edit_every_ms, || FaultEvent::Edit(None));
        self.plan_every(every.redrive_every_ms, || FaultEvent::Redrive);
        self.plan_every(crate::operators::every_ms(&self.plan), || FaultEvent::Operate);
        self.plan_every(crate::counter::every_ms(&self.plan), || FaultEvent::Counter);
        self.plan_every(every.decide_every_ms, || FaultEvent::Decide);
        self.plan_every(every.topic_every_ms, || FaultEvent::Topic);
        self.plan_every(every.outage_every_ms, || FaultEvent::Outage);
        self.plan_every(every.storm_every_ms, || FaultEvent::BrokenRelease);
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
            FaultEvent::Deletion => self.somebody_deletes(),
            FaultEvent::Edit(id) => self.somebody_edits(id.as_ref()),
            FaultEvent::Redrive => self.somebody_redrives(),
            FaultEvent::Operate => self.somebody_operates(),
            FaultEvent::Counter => self.something_befalls_the_counter(),
            FaultEvent::Decide => self.somebody_decides(),
            FaultEvent::Decided(partition, decision) => self.is_decided(partition, *decision),
            FaultEvent::Topic => self.somebody_breaks_a_topic(),
            FaultEvent::BrokenRelease => self.somebody_breaks_a_release(),
            FaultEvent::Outage => {
                let ms = self.random.between(1_000, 30_000);
                self.coverage.strikes(FaultKind::Outage);
                self.healthflow.outage_until = (self.now + ms).min(self.plan.faults_until);
                // Now and then only the look-up, or only the search.
                let reads = [Operation::FindAppointment, Operation::SearchPatients];
                let down = self.random.chance(0.4).then(|| *self.random.pick(&reads));
                self.healthflow.outage_of = down;
                self.story.tell(self.now, || format!("outage of {down:?} for {ms} ms"));
            }
            FaultEvent::DiskFull => self.the_disk_fills(),
            FaultEvent::ClockJump => self.set_a_clock(),
            FaultEvent::WrongClock => self.boots_with_a_wrong_clock(),
            FaultEvent::ClockMended(worker) => self.clock_is_mended(worker),
            FaultEvent::Roll(worker) => self.roll(worker),
            FaultEvent::Restart(worker) => self.restart(worker),
            FaultEvent::Resume(worker, pauses) => {
                if self.workers[worker].pauses == pauses {
                    self.resume(worker);
                }
            }
            FaultEvent::AllWell => {
                self.story.tell(self.now, || "from here on all is well".to_owned());
                self.operators_leave();
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
        self.strike(worker, kind);
        self.story.tell(self.now, || format!("{kind:?} w{worker}"));
        match kind {
            FaultKind::Kill => self.is_killed(worker, 25_000),
            FaultKind::Pause => {
                let one = &mut self.workers[worker];
                one.running = Running::Paused;
                one.pauses += 1;
                let pauses = one.pauses;
                self.falls_silent(worker);
                let ms = self.random.between(200, self.plan.faults.pause_max_ms);
                self.after(ms, Event::Fault(FaultEvent::Resume(worker, pauses)));
            }
            FaultKind::CutFromGroup => self.cut_off(worker),
            _ => self.stop(worker),
        }
    }

    pub fn is_killed(&mut self, worker: usize, restarts_within_ms: i64) {
        self.falls_silent(worker);
        self.workers[worker].running = Running::Down;
        let ms = self.random.between(200, restarts_within_ms);
        self.after(ms, Event::Fault(FaultEvent::Restart(worker)));
    }

    /// Whether this call is one that a worker dies of.
    pub fn kills(&self, worker: usize, call: CallId, when: Killer) -> bool {
        self.plan.killer == Some(when) && self.workers[worker].deadly.contains(&call)
    }

    /// The worker dies of a booking, and its supervisor starts it again.
    pub fn dies(&mut self, worker: usize) {
        self.strike(worker, FaultKind::CrashLoop);
        self.story.tell(self.now, || format!("w{worker} dies of what it read"));
        self.is_killed(worker, 5_000);
    }

    fn stop(&mut self, worker: usize) {
        if !self.workers[worker].stopping {
            self.workers[worker].stopping = true;
            self.leave(worker);
            self.worker_learns(worker, 0, Input::StopRequested);
        }
    }

    /// Stops one worker after the other; each starts again by itself.
    fn roll(&mut self, worker: usize) {
        if worker == 0 {
            self.coverage.strikes(FaultKind::RollingRestart);
        }
        if self.workers[worker].running == Running::Up {
            self.meet(worker, FaultKind::RollingRestart);
            self.story.tell(self.now, || format!("the rolling restart comes to w{worker}"));
            self.stop(worker);
        }
        if worker + 1 < self.workers.len() {
            let ms = self.random.between(2_000, 12_000);
            self.after(ms, Event::Fault(FaultEvent::Roll(worker + 1)));
        }
    }

    /// Somebody sets the wall clock of a machine, by up to minutes.
    fn set_a_clock(&mut self) {
        let worker = self.random.below(self.workers.len());
        let most_ms = self.plan.skew_max_ms;
        let skew_ms = self.random.between(-most_ms, most_ms);
        self.strike(worker, FaultKind::ClockJump);
        self.workers[worker].machine_skew_ms = skew_ms;
        self.story.tell(self.now, || format!("the clock of w{worker}'s machine is set to {skew_ms} ms"));
    }

    /// A partition moves between two workers that are well.
    fn migrate(&mut self) {
        let partition = self.random.below(self.partitions.len());
        let to = self.random.below(self.workers.len());
        if let Some(owner) = self.group.owner[partition] {
            self.strike(owner, FaultKind::Migrate);
        }
        self.group.whim.insert(partition, to);
        self.after(0, Event::Group(crate::group::GroupEvent::Rebalance));
    }

    fn restart(&mut self, worker: usize) {
        if self.workers[worker].running != Running::Down || self.refuses_its_clock(worker) {
            return;
        }
        let settings = self.plan.told_settings();
        self.workers[worker].start(&settings, &self.operators.controls, self.now);
        self.story.tell(self.now, || format!("w{worker} starts"));
        self.join(worker);
    }

    fn resume(&mut self, worker: usize) {
        let one = &mut self.workers[worker];
        if one.running != Running::Paused {
            return;
        }
        self.operators.slept_until = self.now;
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

    /// A fault strikes a whole worker.
    pub fn strike(&mut self, worker: usize, kind: FaultKind) {
        self.coverage.strikes(kind);
        self.meet(worker, kind);
    }

    /// A fault that is counted already meets a worker, with every phase its bookings are in.
    pub fn meet(&mut self, worker: usize, kind: FaultKind) {
        for phase in self.phases(worker) {
            self.coverage.meets(kind, phase);
        }
    }

    /// A fault strikes one call.
    pub fn strike_call(&mut self, operation: Operation, kind: FaultKind) {
        self.coverage.strikes(kind);
        self.coverage.meets(kind, Phase::of(operation));
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
