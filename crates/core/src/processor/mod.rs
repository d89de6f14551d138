//! All of it together: [`Input`] in, [`Effect`] and [`Fact`] out. One processor is one worker's whole mind; it does no
//! I/O and reads no clock, so that a test can live its life in virtual time. This file routes; the nouns decide.
//!
//! A turn: [`Processor::handle`] for everything that happened, then [`Processor::decide`] once, then every
//! [`Processor::next_effect`] is started and every [`Processor::next_fact`] reported; then sleep until an input or
//! [`Processor::next_wakeup`].

pub mod effect;
pub mod account_signal;
mod by_hand;
mod in_a_row;
pub mod limits_told;
pub mod input;
pub mod state_hash;
pub mod ownership;
pub mod pace;
pub mod perform;
mod permits;
mod quotas;
mod rejection_storm;
mod room;
mod rules;
mod shared_counter;
pub mod schedule;
pub mod stall;
pub mod unread;
mod telling;

use std::collections::{BTreeMap, VecDeque};

use crate::fact::Fact;
use crate::hash::HashMap;
use crate::healthflow::Operation;
use crate::life::{CallId, Incarnation};
use crate::limits::{Account, Concurrency, Controls, SharedCounter};
use crate::partition::job::{JobKey, Share};
use crate::partition::{Shared, Task, Turn};
use crate::processor::in_a_row::InARow;
use crate::processor::ownership::OwnedTask;
use crate::settings::Settings;
use crate::status::{ClassWaits, ControlStatus, Status, WaitCounts, Waits};
use crate::time::Timestamp;

use pace::{CommitBudget, Pace};

pub use effect::Effect;
pub use input::{CommitEnded, Inbox, Input};

/// The mind of one worker.
#[derive(Clone, Debug)]
pub struct Processor {
    shared: Shared,
    /// When this process began: what distinguishes it from the others in state.
    began_at: Timestamp,
    tasks: BTreeMap<i32, OwnedTask>,
    calls: HashMap<CallId, Call>,
    account: Account,
    /// The counter that all workers share; none where each has the part of its partitions.
    counter: Option<SharedCounter>,
    budget: CommitBudget,
    pace: Pace,
    concurrency: Concurrency,
    /// Whose turn the next call is.
    in_a_row: InARow,
    /// Whether the breaker has just opened, so that whoever is about to ask is held back.
    stands_down: bool,
    effects: VecDeque<Effect>,
    facts: VecDeque<Fact>,
    next_call: u64,
    next_incarnation: Incarnation,
    next_turn_of: i32,
    stopping: bool,
    stopped: bool,
}

/// A call under way.
#[derive(Clone, Debug, Hash)]
struct Call {
    partition: i32,
    incarnation: Incarnation,
    job: JobKey,
    operation: Operation,
    sent_at: Timestamp,
    /// How often HealthFlow had asked everybody to wait when it went out.
    sent_after: u32,
    /// From which share it was sent.
    share: Share,
}

impl Processor {
    /// A worker that owns nothing yet, and obeys what operators had set by hand when it began.
    pub fn new(settings: Settings, controls: Controls, now: Timestamp) -> Self {
        let obeys = rules::obeys_from_the_start(&settings);
        let mut processor = Processor::idle(settings, now);
        if obeys {
            processor.controls_read(controls, now);
        }
        processor
    }

    fn idle(settings: Settings, now: Timestamp) -> Self {
        let account = Account::new(settings.requests_per_second, settings.pause_max_ms, now);
        let budget = CommitBudget::new(settings.transactions_per_second_max, now);
        let pace = Pace::new(settings.commit_interval_ms);
        let concurrency = Concurrency::new(settings.max_in_flight, settings.in_flight_slow_ratio, now);
        let mut shared = Shared::new(settings);
        let counter = shared.new_counter(now);
        Processor {
            shared,
            counter,
            began_at: now,
            tasks: BTreeMap::new(),
            calls: HashMap::default(),
            account,
            budget,
            pace,
            concurrency,
            in_a_row: InARow::default(),
            stands_down: false,
            effects: VecDeque::new(),
            facts: VecDeque::new(),
            next_call: 1,
            next_incarnation: 1,
            next_turn_of: 0,
            stopping: false,
            stopped: false,
        }
    }

    /// Takes in one thing that happened.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::TaskAssigned { partition } => self.assigned(partition, now),
            Input::TaskAcquired { partition, incarnation, acquired } => {
                self.acquired(partition, incarnation, *acquired, now);
            }
            Input::AcquireFailed { partition, incarnation } => {
                self.acquire_failed(partition, incarnation, now);
            }
            Input::TaskRevoked { partition } => self.revoked(partition, now),
            Input::TaskLost { partition } => self.lost(partition, now),
            Input::Delayed { partition, incarnation, lane, offset, size_bytes, written_at } => {
                self.with_task(partition, incarnation, now, |task, _| {
                    task.delayed(lane.at(offset), size_bytes, written_at);
                });
            }
            Input::ContentsRead { partition, incarnation, found } => {
                self.with_task(partition, incarnation, now, |task, turn| task.contents_read(found, turn));
            }
            Input::Guarded { partition, incarnation, lane, offset, size_bytes } => {
                self.with_task(partition, incarnation, now, |task, _| {
                    task.guarded(lane.at(offset), size_bytes)
                });
            }
            Input::Arrived { partition, incarnation, lane, offset, size_bytes, arrival } => {
                self.with_task(partition, incarnation, now, |task, turn| {
                    task.arrived(lane.at(offset), size_bytes, arrival, turn);
                });
            }
            Input::PermitsAnswered { number, answer } => self.permits_answered(number, answer, now),
            Input::LimitsTold { call, told } => self.limits_told(call, &told, now),
            Input::Answered { call, reply } => self.answered(call, reply, now),
            Input::CommitEnded { partition, incarnation, sequence, ended } => match ended {
                CommitEnded::Good { started_at, aborts } => {
                    self.counts_are_good(partition, incarnation, now);
                    let mut waited_ms = None;
                    self.with_task(partition, incarnation, now, |task, turn| {
                        waited_ms = task.longest_wait_for_commit_ms(now);
                        task.commit_is_good(sequence, started_at, aborts, turn);
                    });
                    waited_ms.into_iter().for_each(|waited_ms| self.pace.committed(waited_ms));
                }
                CommitEnded::TaskLost => self.commit_lost(partition, incarnation, now),
            },
            Input::LaneEnded { partition, incarnation, topic, why } => {
                self.lane_ended(partition, incarnation, topic, why, now);
            }
            Input::ControlsRead { controls } => self.controls_read(controls, now),
            Input::StopRequested => self.stop_requested(now),
            Input::TimePassed => {}
        }
    }

    /// The status of the worker. What only the world knows (the group, the ends of the topics) is left for the worker to fill
    /// in.
    pub fn status(&self, now: Timestamp) -> Status {
        let mut status = Status {
            taken_at: now,
            stopping: self.stopping,
            in_flight: self.calls.len(),
            in_flight_limit: self.in_flight_max(now),
            paused_until: self.account.paused_until(now),
            calls_per_second: self.calls_per_second(now),
            counter: self.counter_status(),
            breaker: self.shared.breaker.view(now).map(Into::into),
            rejection_storms: self.shared.storms.views().map(Into::into).collect(),
            quotas: self.shared.limits.quota_views(now).into_iter().map(Into::into).collect(),
            controls: self.shared.by_hand.controls().in_force().map(ControlStatus::from).collect(),
            ..Status::default()
        };
        for (partition, slot) in &self.tasks {
            slot.tell(*partition, &mut status);
        }
        status
    }

    /// What waits for its result in memory or in review, by what holds it. It looks at every version in memory, so once a
    /// second is often enough.
    pub fn waits(&self, now: Timestamp) -> Vec<Waits> {
        let mut counts = WaitCounts::new(now);
        for slot in self.tasks.values() {
            if let OwnedTask::Live(task) = slot {
                task.count_waits(&mut counts, &self.shared, now);
            }
        }
        counts.into_waits()
    }

    /// What of that is in memory, by class, in the order in which they are served. It looks at every booking in memory too.
    pub fn class_waits(&self) -> Vec<ClassWaits> {
        let mut counts =
            Share::ALL.map(|share| ClassWaits { class: share.code().into(), count: 0, oldest_at: None });
        for slot in self.tasks.values() {
            if let OwnedTask::Live(task) = slot {
                task.count_classes(&mut counts);
            }
        }
        counts.into()
    }

    fn calls_per_second(&self, now: Timestamp) -> f64 {
        let is_stopped = self.shared.breaker.is_open() || self.shared.by_hand.stops_all();
        let is_paused = self.account.paused_until(now).is_some();
        if is_stopped || is_paused { 0.0 } else { self.account.rate() }
    }

    /// The next thing to do.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next fact to report.
    pub fn next_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    fn with_task(
        &mut self,
        partition: i32,
        incarnation: Incarnation,
        now: Timestamp,
        then: impl FnOnce(&mut Task, &mut Turn<'_>),
    ) {
        if let Some(OwnedTask::Live(task)) = self.tasks.get_mut(&partition)
            && task.incarnation() == incarnation
        {
            let mut turn = self.shared.turn(&mut self.facts, now);
            then(task, &mut turn);
        }
    }
}
