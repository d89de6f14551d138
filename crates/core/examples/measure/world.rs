//! Two workers around the shipped processor, Kafka as a worker sees it and the simulator's pure HealthFlow, in virtual time. Nothing
//! goes wrong but that workers are killed, one after the other, so that partitions change hands.

mod kafka;

use std::collections::BTreeMap;

use healthflow_core::booking::{Booking, BookingKey, Source};
use healthflow_core::event::Arrival;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::wire::TransportFault;
use healthflow_core::healthflow::{LimitsTold, Request, decode, encode, fault};
use healthflow_core::life::TaskLife;
use healthflow_core::limits::Controls;
use healthflow_core::limits::breaker::BreakerState;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::partition::start::{Acquired, Known, KnownLane, Start};
use healthflow_core::processor::{CommitEnded, Effect, Input, Processor};
use healthflow_core::settings::Settings;
use healthflow_core::state::TopicIds;
use healthflow_core::status::QuotaStatus;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::shell::{Begun, Call, Shell};
use healthflow_simulator::answer::{Ending, Handling, Simulator};

use kafka::{Partition, arrived};

/// Workers.
const WORKERS: usize = 2;
/// The promise, in milliseconds.
pub const CONFIRMED_MS: i64 = 30_000;
/// How long HealthFlow takes, in milliseconds.
pub const CALL_MS: u64 = 50;
/// A worker waits no longer for an answer, in milliseconds: the default of `healthflow.timeout_ms`.
const CALL_LIMIT_MS: i64 = 5_000;
/// How long a commit and an acquisition take, in milliseconds.
const COMMIT_MS: i64 = 15;
const ACQUIRE_MS: i64 = 300;
/// After so long the group gives the partitions of a killed worker to the other one.
const SESSION_MS: i64 = 10_000;
/// After so long a killed worker is there again.
const RESTART_MS: i64 = 60_000;

enum Event {
    Publish(Box<Booking>),
    Turn(usize),
    Learn {
        worker: usize,
        life: u64,
        inputs: Vec<Input>,
    },
    Acquired {
        worker: usize,
        life: u64,
        of: TaskLife,
    },
    Commits {
        worker: usize,
        life: u64,
        of: TaskLife,
        sequence: u64,
        batch: Box<CommitBatch>,
        started_at: i64,
    },
    Kill(usize),
    Assign {
        to: usize,
    },
    Restart(usize),
}

struct Worker {
    processor: Processor,
    shell: Shell<()>,
    life: u64,
    is_up: bool,
    turn_at: Option<i64>,
}

/// One call that went out.
pub struct Sent {
    pub at: i64,
    pub is_history: bool,
}

/// How a booking ended.
pub struct Ended {
    pub source: Source,
    pub asked_at: i64,
    pub at: i64,
    /// How often it was tried, the good one included.
    pub attempts: u32,
    pub is_dead_letter: bool,
}

impl Ended {
    pub fn waited_ms(&self) -> i64 {
        self.at - self.asked_at
    }
}

pub struct World {
    pub now: i64,
    settings: Settings,
    workers: Vec<Worker>,
    partitions: Vec<Partition>,
    pub healthflow: Simulator,
    pub sent: Vec<Sent>,
    /// When each booking without a result was asked for.
    pub asked_for: BTreeMap<BookingKey, (i64, Source)>,
    /// Results of bookings that had theirs.
    pub results_again: usize,
    pub ended: Vec<Ended>,
    pub facts: Vec<(i64, Fact)>,
    events: BTreeMap<(i64, u64), Event>,
    number: u64,
}

impl World {
    pub fn new(settings: Settings, healthflow: Simulator, begin: i64) -> World {
        let worker = || Worker {
            processor: Processor::new(settings.clone(), Controls::default(), Timestamp(begin)),
            shell: Shell::default(),
            life: 0,
            is_up: true,
            turn_at: None,
        };
        let mut world = World {
            now: begin,
            workers: (0..WORKERS).map(|_| worker()).collect(),
            partitions: (0..settings.partition_count).map(|_| Partition::default()).collect(),
            settings,
            healthflow,
            sent: Vec::new(),
            asked_for: BTreeMap::new(),
            results_again: 0,
            ended: Vec::new(),
            facts: Vec::new(),
            events: BTreeMap::new(),
            number: 0,
        };
        (0..WORKERS).for_each(|worker| world.at(begin, Event::Assign { to: worker }));
        world
    }

    fn at(&mut self, at: i64, event: Event) {
        self.number += 1;
        self.events.insert((at.max(self.now), self.number), event);
    }

    pub fn publish(&mut self, booking: Booking) {
        let at = booking.requested_at.0;
        self.asked_for.insert(booking.key.clone(), (at, booking.source));
        self.at(at, Event::Publish(Box::new(booking)));
    }

    pub fn kill(&mut self, worker: usize, at: i64) {
        self.at(at, Event::Kill(worker));
    }

    /// What every worker that is up says of its long limits.
    pub fn quotas(&self) -> Vec<QuotaStatus> {
        let up = self.workers.iter().filter(|worker| worker.is_up);
        up.flat_map(|worker| worker.processor.status(Timestamp(self.now)).quotas).collect()
    }

    /// Whether every worker that is up has its circuit breaker in this state.
    pub fn breakers_are(&self, state: BreakerState) -> bool {
        let up = self.workers.iter().filter(|worker| worker.is_up);
        up.map(|worker| worker.processor.status(Timestamp(self.now)).breaker)
            .all(|breaker| breaker.map_or(BreakerState::Closed, |breaker| breaker.state) == state)
    }

    pub fn live_until(&mut self, end: i64) {
        while let Some(first) = self.events.first_entry().filter(|first| first.key().0 <= end) {
            let ((at, _), event) = first.remove_entry();
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Publish(booking) => {
                let partition = self.partition_of(&booking.key);
                self.append(partition, Lane::Requested, Arrival::Requested((*booking).into()));
            }
            Event::Turn(worker) => self.turn(worker),
            Event::Learn { worker, life, inputs } if self.lives(worker, life) => self.learn(worker, inputs),
            Event::Acquired { worker, life, of } if self.lives(worker, life) => self.acquired(worker, of),
            Event::Commits { worker, life, of, sequence, batch, started_at } if self.lives(worker, life) => {
                self.stands(of.partition, *batch);
                let ended = CommitEnded::Good { started_at: Timestamp(started_at), aborts: 0 };
                let TaskLife { partition, incarnation } = of;
                self.learn(worker, vec![Input::CommitEnded { partition, incarnation, sequence, ended }]);
            }
            Event::Learn { .. } | Event::Acquired { .. } | Event::Commits { .. } => {}
            Event::Kill(worker) => {
                let one = &mut self.workers[worker];
                (one.is_up, one.life, one.turn_at) = (false, one.life + 1, None);
                self.at(self.now + SESSION_MS, Event::Assign { to: 1 - worker });
                self.at(self.now + RESTART_MS, Event::Restart(worker));
            }
            Event::Assign { to } => {
                for partition in 0..self.partitions.len() {
                    let is_free =
                        self.partitions[partition].owner.is_none_or(|owner| !self.workers[owner].is_up);
                    if is_free && (self.home(partition) == to || !self.workers[self.home(partition)].is_up) {
                        self.assign(partition, to);
                    }
                }
            }
            Event::Restart(worker) => {
                let processor =
                    Processor::new(self.settings.clone(), Controls::default(), Timestamp(self.now));
                let life = self.workers[worker].life;
                self.workers[worker] =
                    Worker { processor, shell: Shell::default(), life, is_up: true, turn_at: None };
                for partition in 0..self.partitions.len() {
                    if self.home(partition) == worker {
                        let partition = partition as i32;
                        self.learn(1 - worker, vec![Input::TaskRevoked { partition }]);
                    }
                }
            }
        }
    }

    fn home(&self, partition: usize) -> usize {
        partition % WORKERS
    }

    fn partition_of(&self, key: &BookingKey) -> i32 {
        let sum: usize = key.practice.as_str().bytes().map(usize::from).sum();
        (sum % self.partitions.len()) as i32
    }

    fn assign(&mut self, partition: usize, to: usize) {
        self.partitions[partition].owner = Some(to);
        self.learn(to, vec![Input::TaskAssigned { partition: partition as i32 }]);
    }

    fn lives(&self, worker: usize, life: u64) -> bool {
        self.workers[worker].is_up && self.workers[worker].life == life
    }

    fn learn(&mut self, worker: usize, inputs: Vec<Input>) {
        let now = Timestamp(self.now);
        inputs.into_iter().for_each(|input| self.workers[worker].processor.handle(input, now));
        self.turn_by(worker, self.now);
    }

    fn turn_by(&mut self, worker: usize, at: i64) {
        let one = &mut self.workers[worker];
        if one.turn_at.is_none_or(|planned| at < planned) {
            one.turn_at = Some(at);
            self.at(at, Event::Turn(worker));
        }
    }

    fn turn(&mut self, worker: usize) {
        let one = &mut self.workers[worker];
        if !one.is_up || one.turn_at != Some(self.now) {
            return;
        }
        one.turn_at = None;
        let now = Timestamp(self.now);
        one.processor.decide(now);
        let effects: Vec<Effect> = std::iter::from_fn(|| one.processor.next_effect()).collect();
        self.facts.extend(std::iter::from_fn(|| one.processor.next_fact()).map(|fact| (now.0, fact)));
        let wakeup = one.processor.next_wakeup(now);
        for effect in effects {
            for begun in self.workers[worker].shell.perform(effect) {
                self.begins(worker, begun);
            }
        }
        (0..self.partitions.len()).for_each(|partition| self.fetch(worker, partition as i32));
        if let Some(at) = wakeup {
            self.turn_by(worker, at.0.max(self.now + 1));
        }
    }

    fn begins(&mut self, worker: usize, begun: Begun) {
        let life = self.workers[worker].life;
        match begun {
            Begun::Acquisition { partition, incarnation, not_before } => {
                let of = TaskLife { partition, incarnation };
                self.at(not_before.0.max(self.now) + ACQUIRE_MS, Event::Acquired { worker, life, of });
            }
            Begun::Call(call) => self.call(worker, call),
            Begun::Commit { partition, incarnation, sequence, batch } => {
                let (of, started_at) = (TaskLife { partition, incarnation }, self.now);
                let batch = Box::new(batch);
                let event = Event::Commits { worker, life, of, sequence, batch, started_at };
                self.at(self.now + COMMIT_MS, event);
            }
            Begun::Decoding { partition, incarnation, release } => {
                let task = self.workers[worker].shell.life_mut(partition, incarnation);
                let reader = task.and_then(|task| task.lanes.get_mut(&release.lane));
                let records = reader.map_or_else(Vec::new, |reader| reader.release(&release));
                let inputs = records.into_iter().map(|(offset, arrival)| {
                    arrived(TaskLife { partition, incarnation }, release.lane, offset, arrival)
                });
                self.learn(worker, inputs.collect());
            }
            Begun::GivenBack(partition) => {
                self.partitions[partition as usize].owner = None;
                self.at(self.now + 1, Event::Assign { to: self.home(partition as usize) });
            }
            Begun::Refused(call) => {
                let reply = Err(fault::Fault::NotSent(fault::NotSent::LeaseOver));
                self.learn(worker, vec![Input::Answered { call, reply }]);
            }
            _ => {}
        }
    }

    fn call(&mut self, worker: usize, call: Call) {
        self.sent.push(Sent { at: self.now, is_history: is_history(&call.request) });
        let Handling { reply_at, ending, .. } =
            self.healthflow.handle(&encode(&call.request), Timestamp(self.now));
        let limit = Timestamp(self.now + CALL_LIMIT_MS);
        let received = match ending {
            _ if reply_at > limit => Err(TransportFault::Unknown(fault::Unknown::Timeout)),
            Ending::Reply(reply) => Ok(reply),
            Ending::Dropped => Err(TransportFault::Unknown(fault::Unknown::Reset)),
            Ending::Refused => Err(TransportFault::NotSent(fault::NotSent::Connect)),
        };
        let clock = reply_at.min(limit);
        let told = received.as_ref().ok().and_then(|reply| LimitsTold::by(reply, clock));
        let told = told.map(|told| Input::LimitsTold { call: call.id, told });
        let answered = Input::Answered { call: call.id, reply: decode(&call.request, received, clock) };
        let (life, inputs) = (self.workers[worker].life, told.into_iter().chain([answered]).collect());
        self.at(clock.0, Event::Learn { worker, life, inputs });
    }

    fn acquired(&mut self, worker: usize, of: TaskLife) {
        let TaskLife { partition, incarnation } = of;
        let kafka = &self.partitions[partition as usize];
        let lane = |lane: Lane| KnownLane {
            lane,
            committed: kafka.offsets.get(&lane).copied(),
            low: 0,
            high: kafka.logs.get(&lane).map_or(0, |log| log.len() as i64),
        };
        let lanes = Lane::ALL.map(lane).into();
        let known = Known { partition, topic_ids: TopicIds::default(), lanes, begins_at_end: false };
        let state = kafka.state.clone();
        let start = Start::decide(&known, &state).expect("nothing was lost");
        let (fenced_at, restored_at) = (Timestamp(self.now), Timestamp(self.now));
        let restored_records = state.len() as u64;
        let acquired = Box::new(Acquired { fenced_at, start, state, restored_records, restored_at });
        self.learn(worker, vec![Input::TaskAcquired { partition, incarnation, acquired }]);
    }
}

/// History is of practices of its own.
fn is_history(request: &Request) -> bool {
    let practice = match request {
        Request::SearchPatients { practice, .. }
        | Request::FindAppointment { practice, .. }
        | Request::ReadPatient { practice, .. } => practice,
        Request::CreatePatient { content, .. } => &content.practice,
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            &content.practice
        }
        Request::ReadAppointment { .. } => return false,
    };
    practice.as_str().starts_with("old")
}
