//! The world: one clock, everything that is under way ordered by its time, and which worker learns what. The files
//! beside this one say what each event does.

use std::collections::{BTreeMap, BTreeSet};

use healthflow_core::booking::{BookingKey, VersionKey};
use healthflow_core::event::{Arrival, Misrouted};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::Request;
use healthflow_core::life::TaskLife;
use healthflow_core::limits::Controls;
use healthflow_core::processor::{Effect, Input};

use crate::checkers::Judges;
use crate::commits::Landing;
use crate::counter::SharedCounter;
use crate::coverage::{Coverage, Phase};
use crate::faults::FaultKind;
use crate::group::Group;
use crate::healthflow::{Carried, HealthFlow};
use crate::kafka::Partition;
use crate::lives::{self, Lives};
use crate::operators::Operators;
use crate::plan::{BEGIN_MS, Killer, Plan};
use crate::storms::Refuses;
use crate::story::Story;
use crate::worker::{Deed, Outbound, Running, Worker};
use healthflow_proof::random::Random;

/// More events than any life needs: somebody runs in circles.
const EVENTS_MAX: u64 = 3_000_000;

/// Something under way.
#[derive(Debug)]
pub enum Event {
    Publish(usize),
    ForWorker {
        worker: usize,
        life: u64,
        deed: Box<Deed>,
    },
    /// The process was asleep between its last look at the lease and the socket.
    Sends {
        worker: usize,
        life: u64,
        outbound: Box<Outbound>,
    },
    CallArrives(Box<Carried>),
    FenceLands {
        worker: usize,
        life: u64,
        partition: i32,
        incarnation: u64,
    },
    CommitLands(Box<Landing>),
    /// A copy of an EndTxn comes late, from a connection that broke.
    EndTxnCopy {
        partition: i32,
        epoch: u64,
    },
    CounterAsked(Box<crate::counter::Asked>),
    Group(crate::group::GroupEvent),
    Fault(crate::faults::FaultEvent),
    /// Looks whether everything is done.
    Look,
}

pub struct World {
    pub plan: Plan,
    pub lives: Lives,
    pub now: i64,
    pub random: Random,
    pub partitions: Vec<Partition>,
    pub group: Group,
    pub workers: Vec<Worker>,
    pub healthflow: HealthFlow,
    pub operators: Operators,
    pub counter: SharedCounter,
    /// Until then the broker takes nothing.
    pub disk_full_until: i64,
    pub refuses: Refuses,
    /// The newest write of each booking: only where that defect is planted.
    pub last_writes: BTreeMap<BookingKey, Request>,
    pub published: usize,
    /// When each version was first published.
    pub published_at: BTreeMap<VersionKey, i64>,
    /// Versions whose record was deleted from `requested`, be it published again or not.
    pub gone: BTreeSet<VersionKey>,
    pub judges: Judges,
    pub coverage: Coverage,
    pub story: Story,
    pub violations: Vec<String>,
    pub quiet_after_ms: Option<i64>,
    events: BTreeMap<(i64, u64), Event>,
    next_event: u64,
}

impl World {
    pub fn new(plan: Plan, recording: bool) -> Self {
        let lives = lives::draw(&plan);
        let mut random = Random::new(plan.seed.wrapping_mul(31) + 17);
        let workers = (0..plan.workers)
            .map(|number| {
                let skew_ms = random.between(-plan.skew_max_ms, plan.skew_max_ms);
                Worker::new(number, &plan.told_settings(), &Controls::default(), skew_ms, BEGIN_MS)
            })
            .collect();
        let mut world = World {
            now: BEGIN_MS,
            partitions: (0..plan.partitions).map(|_| Partition::default()).collect(),
            group: Group::new(plan.partitions),
            workers,
            healthflow: HealthFlow::new(&plan, &lives),
            operators: Operators::default(),
            counter: SharedCounter::default(),
            disk_full_until: 0,
            last_writes: BTreeMap::new(),
            published: 0,
            published_at: BTreeMap::new(),
            gone: BTreeSet::new(),
            judges: Judges::of(&plan),
            coverage: Coverage::default(),
            story: Story::new(recording),
            violations: Vec::new(),
            refuses: Refuses::default(),
            quiet_after_ms: None,
            events: BTreeMap::new(),
            next_event: 0,
            random,
            lives,
            plan,
        };
        for index in 0..world.lives.records.len() {
            world.after_at(world.lives.records[index].at, Event::Publish(index));
        }
        for worker in 0..world.workers.len() {
            let at = BEGIN_MS + world.random.between(0, 5_000);
            world.after_at(at, Event::Fault(crate::faults::FaultEvent::Restart(worker)));
        }
        world.plan_faults();
        world.after_at(world.plan.faults_until, Event::Look);
        world
    }

    /// Lives until everything is done, or a promise is broken.
    pub fn live(&mut self) {
        while self.violations.is_empty() && self.quiet_after_ms.is_none() {
            let Some(((at, _), event)) = self.events.pop_first() else {
                self.violations.push("the world stands still".to_owned());
                return;
            };
            if self.next_event > EVENTS_MAX {
                self.violations.push("somebody runs in circles".to_owned());
                return;
            }
            self.now = at;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Publish(index) => self.publish(index),
            Event::ForWorker { worker, life, deed } => self.for_worker(worker, life, *deed),
            Event::Sends { worker, life, outbound } => {
                if self.workers[worker].life == life && self.workers[worker].running != Running::Down {
                    self.sends(worker, *outbound);
                }
            }
            Event::CallArrives(arrival) => self.call_arrives(*arrival),
            Event::FenceLands { worker, life, partition, incarnation } => {
                self.fence_lands((worker, life), TaskLife { partition, incarnation });
            }
            Event::CommitLands(landing) => self.commit_lands(*landing),
            Event::EndTxnCopy { partition, epoch } => self.copy_lands(partition, epoch),
            Event::CounterAsked(asked) => self.counter_answers(*asked),
            Event::Group(event) => self.group_event(event),
            Event::Fault(event) => self.fault_event(event),
            Event::Look => self.look(),
        }
    }

    pub fn after(&mut self, ms: i64, event: Event) {
        self.after_at(self.now + ms, event);
    }

    pub fn after_at(&mut self, at: i64, event: Event) {
        let number = self.next_event;
        self.next_event += 1;
        self.events.insert((at.max(self.now), number), event);
    }

    /// The worker does this `ms` from now, if it still lives then.
    pub fn worker_does(&mut self, worker: usize, ms: i64, deed: Deed) {
        let life = self.workers[worker].life;
        self.after(ms, Event::ForWorker { worker, life, deed: Box::new(deed) });
    }

    pub fn worker_learns(&mut self, worker: usize, ms: i64, input: Input) {
        self.worker_does(worker, ms, Deed::Learn(input));
    }

    pub fn for_worker(&mut self, worker: usize, life: u64, deed: Deed) {
        let one = &mut self.workers[worker];
        if one.life != life || one.running == Running::Down {
            return;
        }
        if one.running == Running::Paused {
            one.stalled.push(deed);
            return;
        }
        if let Deed::Learn(Input::Answered { call, .. }) = deed
            && self.kills(worker, call, Killer::AtAnswer)
        {
            self.dies(worker);
            return;
        }
        let one = &mut self.workers[worker];
        match deed {
            Deed::Turn => self.turn(worker),
            Deed::Learn(input) => {
                if let Input::Answered { call, .. } = &input {
                    one.calls.remove(call);
                }
                one.inbox.push(input);
                let wait_ms = self.random.between(0, 2);
                self.turn_by(worker, self.now + wait_ms);
            }
            Deed::Socket(outbound) => self.socket(worker, outbound),
            Deed::Fetch { partition, incarnation, lane } => self.fetch(worker, partition, incarnation, lane),
            Deed::Decode { partition, incarnation, release } => {
                self.decode(worker, TaskLife { partition, incarnation }, release);
            }
            Deed::ReadContents { partition, incarnation, of } => {
                self.read_contents(worker, TaskLife { partition, incarnation }, &of);
            }
            Deed::SchemaKnown { partition, incarnation, lane, waiting } => {
                if one.task(partition, incarnation).is_some() {
                    self.decoded(worker, TaskLife { partition, incarnation }, lane, waiting);
                }
            }
            Deed::InitCalled { partition, incarnation } => self.init_called(worker, partition, incarnation),
            Deed::InitReturned { partition, incarnation, epoch } => {
                self.init_returned(worker, TaskLife { partition, incarnation }, epoch);
            }
            Deed::OffsetsRead { partition, incarnation, fenced_at } => {
                self.offsets_read(worker, TaskLife { partition, incarnation }, fenced_at);
            }
            Deed::StateRead { partition, incarnation, acquired } => {
                self.state_read(worker, TaskLife { partition, incarnation }, &acquired);
            }
            Deed::CommitSent(landing) => self.commit_lands(*landing),
        }
    }

    /// Makes sure that the worker takes a turn at `at` or before.
    pub fn turn_by(&mut self, worker: usize, at: i64) {
        let one = &mut self.workers[worker];
        let at = at.max(self.now);
        if one.turn_at.is_none_or(|planned| at < planned) {
            one.turn_at = Some(at);
            let life = one.life;
            self.after_at(at, Event::ForWorker { worker, life, deed: Box::new(Deed::Turn) });
        }
    }

    fn turn(&mut self, worker: usize) {
        let one = &mut self.workers[worker];
        if one.turn_at != Some(self.now) {
            return;
        }
        one.turn_at = None;
        let clock = one.clock(self.now);
        for input in std::mem::take(&mut one.inbox) {
            if let Input::ControlsRead { controls } = &input {
                one.obeys.reads(controls);
            }
            one.processor.handle(input, clock);
        }
        one.processor.decide(clock);
        let effects: Vec<Effect> = std::iter::from_fn(|| one.processor.next_effect()).collect();
        let facts: Vec<Fact> = std::iter::from_fn(|| one.processor.next_fact()).collect();
        for fact in &facts {
            self.coverage.notes(fact);
            self.story.tell(self.now, || format!("w{worker} {fact:?}"));
        }
        let skew_ms = one.skew_ms;
        let wakeup = one.processor.next_wakeup(clock);
        self.judge_facts(worker, &facts);
        for effect in effects {
            self.perform(worker, effect);
        }
        if let Some(at) = wakeup {
            self.turn_by(worker, (at.0.saturating_sub(skew_ms)).max(self.now + 1));
        }
    }

    fn publish(&mut self, index: usize) {
        if self.now < self.disk_full_until {
            let ms = self.disk_full_until - self.now + self.random.between(0, 1_000);
            self.after(ms, Event::Publish(index));
            return;
        }
        self.published += 1;
        let record = self.lives.records[index].clone();
        if let Arrival::Requested(booking) = &record.arrival {
            self.published_at.entry(booking.version_key()).or_insert(self.now);
        }
        let (to, arrival) = match record.strays_to {
            Some(to) => (to, strayed(index, record.partition)),
            None => (record.partition, record.arrival.clone()),
        };
        if record.strays_to.is_some() {
            self.coverage.strikes(FaultKind::Misrouted);
            self.coverage.meets(FaultKind::Misrouted, Phase::Any);
        }
        let offset = self.partitions[to as usize].requested.append(arrival, &mut self.random);
        self.story.tell(self.now, || format!("published p{to}@{offset} {}", name(&record.arrival)));
        self.wake_readers(to);
    }

    /// The record itself, wherever it lies.
    pub fn real(&self, record: &Misrouted) -> Arrival {
        let index = <[u8; 8]>::try_from(&record.value[..]).map_or(0, usize::from_le_bytes);
        self.lives.records[index].arrival.clone()
    }

    /// A record that lay in another partition is sent on to its own.
    pub fn comes_home(&mut self, record: &Misrouted) {
        let arrival = self.real(record);
        self.partitions[record.home as usize].requested.append(arrival, &mut self.random);
        self.wake_readers(record.home);
    }

    pub fn violate(&mut self, promise: &str, what: String) {
        self.story.tell(self.now, || format!("BROKEN {promise}: {what}"));
        self.violations.push(format!("{promise}: {what}"));
    }
}

/// A record as whoever reads the wrong partition sees it; its bytes are its number.
fn strayed(index: usize, home: i32) -> Arrival {
    Arrival::Misrouted(Box::new(Misrouted {
        home,
        key: index.to_le_bytes().to_vec(),
        value: index.to_le_bytes().to_vec(),
    }))
}

fn name(arrival: &Arrival) -> String {
    match arrival {
        Arrival::Requested(booking) => {
            let (patient, visit) = (&booking.patient, &booking.visit);
            let minute = (visit.start.0 - BEGIN_MS) / 60_000;
            format!(
                "{} v{} {:?} {} {minute}+{} patient {} {:?}",
                booking.key,
                booking.version,
                booking.status,
                visit.provider_id,
                visit.duration_minutes,
                patient.id,
                patient.healthflow_patient_id
            )
        }
        Arrival::Retry(entry) => format!("{} v{} back", entry.booking.key, entry.booking.version),
        Arrival::Decided(decision) => format!("decision {} about {}", decision.id, decision.key),
        Arrival::Misrouted(record) => format!("a record of p{}", record.home),
        Arrival::Unusable(unusable) => match &unusable.identity {
            Some(identity) => format!("{} v{} impossible", identity.key, identity.version),
            None => "nonsense".to_owned(),
        },
    }
}
