//! One worker process around the shipped processor: an inbox, the tasks it reads, and the turns it takes.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkers::by_hand::ObeysOperators;
use crate::checkers::outages::Reported;
use crate::checkers::shared_counter::Alone;
use crate::checkers::storms;
use healthflow_core::booking::VersionKey;
use healthflow_core::event::Arrival;
use healthflow_core::healthflow::Operation;
use healthflow_core::life::{CallId, Incarnation};
use healthflow_core::limits::Controls;
use healthflow_core::partition::read_guard::GuardedRange;
use healthflow_core::processor::{Input, Processor};
use healthflow_core::settings::Settings;
use healthflow_core::state::TaskState;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::shell::{Call, Shell, Task};

/// Whether the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    Down,
    Up,
    /// SIGSTOP: it notices nothing and does nothing, and does not know it.
    Paused,
}

/// Something a worker does or learns at its time; while it is paused it waits, and dies with its life.
#[derive(Debug)]
pub enum Deed {
    Turn,
    Learn(Input),
    /// The call has passed every queue and is about to be written to the socket.
    Socket(Outbound),
    Fetch {
        partition: i32,
        incarnation: Incarnation,
        lane: Lane,
    },
    /// Records that were held are decoded, or dead-lettered undecoded.
    Decode {
        partition: i32,
        incarnation: Incarnation,
        release: GuardedRange,
    },
    /// Held versions are read.
    ReadContents {
        partition: i32,
        incarnation: Incarnation,
        of: Vec<VersionKey>,
    },
    /// The schema is known that records waited for.
    SchemaKnown {
        partition: i32,
        incarnation: Incarnation,
        lane: Lane,
        waiting: Vec<(i64, Arrival)>,
    },
    /// `init_transactions` is called ...
    InitCalled {
        partition: i32,
        incarnation: Incarnation,
    },
    /// ... returned ...
    InitReturned {
        partition: i32,
        incarnation: Incarnation,
        epoch: u64,
    },
    /// ... and the committed offsets are read, then the state.
    OffsetsRead {
        partition: i32,
        incarnation: Incarnation,
        fenced_at: i64,
    },
    StateRead {
        partition: i32,
        incarnation: Incarnation,
        acquired: Box<Reading>,
    },
    /// A transaction's requests go out.
    CommitSent(Box<crate::commits::Landing>),
}

/// What an acquisition has read so far.
#[derive(Debug)]
pub struct Reading {
    pub fenced_at: i64,
    pub offsets: Vec<(Lane, Option<i64>)>,
    /// The state as it was before the fence: only where that defect is planted.
    pub stale_state: Option<TaskState>,
}

/// A call on its way to the socket.
#[derive(Debug)]
pub struct Outbound {
    pub call: Call,
    /// When the processor let it go.
    pub begun_at: i64,
    /// The epoch of the producer that the task had when the lease was looked at last.
    pub epoch: u64,
}

/// What the process knows of the producer of one task.
#[derive(Debug, Default)]
pub struct Producer {
    pub epoch: u64,
    /// The lanes of the task of which a fetch is under way.
    pub fetching: BTreeSet<Lane>,
    /// The state as it was before the fence: only where that defect is planted.
    pub early_state: Option<Box<TaskState>>,
}

pub struct Worker {
    pub number: usize,
    /// Counts process starts: what belongs to an earlier one is void.
    pub life: u64,
    pub running: Running,
    pub processor: Processor,
    pub inbox: Vec<Input>,
    pub turn_at: Option<i64>,
    pub stalled: Vec<Deed>,
    pub shell: Shell<Producer>,
    /// Calls between dispatch and answer, for the table of phases.
    pub calls: BTreeMap<CallId, Operation>,
    /// Calls that this process dies of.
    pub deadly: BTreeSet<CallId>,
    pub commits: usize,
    /// How far the process's clock is off: what the machine's was at its start, for a lease must not jump.
    pub skew_ms: i64,
    /// How far the machine's wall clock is off now.
    pub machine_skew_ms: i64,
    /// The group's messages arrive in order.
    pub hears_group_at: i64,
    /// So does what operators set.
    pub hears_operators_at: i64,
    pub obeys: ObeysOperators,
    pub stopping: bool,
    pub pauses: u64,
    /// Lanes that were paused when their task ended, as the Kafka client remembers them.
    pub left_paused: BTreeSet<(i32, Lane)>,
    /// What it has reported of its circuit breaker.
    pub breaker: Reported,
    /// What it has reported of storms of refusals.
    pub storms: storms::Reported,
    /// What it has let go without the shared counter.
    pub alone: Alone,
}

impl Worker {
    pub fn new(number: usize, settings: &Settings, controls: &Controls, skew_ms: i64, now: i64) -> Self {
        Worker {
            number,
            life: 0,
            running: Running::Down,
            processor: Processor::new(settings.clone(), controls.clone(), Timestamp(now)),
            inbox: Vec::new(),
            turn_at: None,
            stalled: Vec::new(),
            shell: Shell::default(),
            calls: BTreeMap::new(),
            deadly: BTreeSet::new(),
            commits: 0,
            skew_ms,
            machine_skew_ms: skew_ms,
            hears_group_at: 0,
            hears_operators_at: 0,
            obeys: ObeysOperators::new(controls.clone()),
            stopping: false,
            pauses: 0,
            left_paused: BTreeSet::new(),
            breaker: Reported::default(),
            storms: storms::Reported::default(),
            alone: Alone::default(),
        }
    }

    /// A fresh process: nothing of the old one's memory is left, and the wall clock is looked at anew.
    pub fn start(&mut self, settings: &Settings, controls: &Controls, now: i64) {
        let skew_ms = self.machine_skew_ms;
        let fresh = Worker::new(self.number, settings, controls, skew_ms, now + skew_ms);
        let life = self.life + 1;
        let pauses = self.pauses;
        *self = fresh;
        self.life = life;
        self.pauses = pauses;
        self.running = Running::Up;
    }

    /// Its own clock.
    pub fn clock(&self, now: i64) -> Timestamp {
        Timestamp(now + self.skew_ms)
    }

    /// The task, if this life of it is still there.
    pub fn task(&mut self, partition: i32, incarnation: Incarnation) -> Option<&mut Task<Producer>> {
        self.shell.life_mut(partition, incarnation)
    }
}
