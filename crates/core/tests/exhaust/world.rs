//! A small world as one value: clone it, let something happen, and compare it with what was seen. Its parts are shared
//! between the worlds that have them in common.

use std::hash::Hasher;

use healthflow_core::healthflow::fault::{Missing, NotSent, Unknown};
use healthflow_core::healthflow::{Fault as CallFault, Reply};
use healthflow_core::partition::start::{Acquired, Start};
use healthflow_core::processor::{Effect, Input};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

use crate::bookings::BEGIN_MS;
use crate::hasher::{Part, RelativeHasher};
use crate::healthflow::{HealthFlow, Late};
use crate::judge;
use crate::kafka::Kafka;
use crate::moves::{Fault, Move};
use crate::owner::{CallStage, CommitStage, Owner, Stage, told};
use crate::scenario::Scenario;
use crate::situations::{self, Situation};

/// A transaction that is open for longer is aborted by the broker.
pub const TRANSACTION_TIMEOUT_MS: i64 = 1_500;

/// The longest that a call waits for a connection: longer than a lease and a quiet time together.
const QUEUE_MAX_MS: i64 = 3_000;

/// The only partition.
pub const PARTITION: i32 = 0;

#[derive(Clone)]
pub struct World {
    pub now: i64,
    pub kafka: Part<Kafka>,
    pub healthflow: Part<HealthFlow>,
    pub owners: Vec<Part<Owner>>,
    /// Whom the group gave the task.
    pub assigned: Option<u8>,
    last_owner: u8,
    pub faults_left: u8,
}

/// What one step brought.
#[derive(Default)]
pub struct Log {
    /// Lines of the story, where somebody wants to read it.
    pub story: Option<Vec<String>>,
    pub met: situations::Count,
    /// The first promise that was broken.
    pub broken: Option<String>,
}

impl Log {
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(line());
        }
    }

    pub fn meet(&mut self, situation: Situation) {
        self.met[situation as usize] += 1;
    }

    pub fn judge(&mut self, broken: Option<String>) {
        if self.broken.is_none() {
            self.broken = broken;
        }
    }
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        let mut healthflow = HealthFlow::default();
        healthflow.charts.extend(scenario.charts());
        World {
            now: BEGIN_MS,
            kafka: Part::new(Kafka { state: scenario.committed(), ..Kafka::default() }),
            healthflow: Part::new(healthflow),
            owners: (0..scenario.owners)
                .map(|_| Part::new(Owner::new(&scenario.settings, BEGIN_MS)))
                .collect(),
            assigned: None,
            last_owner: scenario.owners as u8 - 1,
            faults_left: scenario.faults_max,
        }
    }

    /// One number for everything that decides what can happen from here on.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = RelativeHasher::new(self.now);
        hasher.write_u64(self.kafka.fingerprint(self.now));
        hasher.write_u64(self.healthflow.fingerprint(self.now));
        for owner in &self.owners {
            hasher.write_u64(owner.fingerprint(self.now));
        }
        hasher.write_u8(self.assigned.map_or(u8::MAX, |owner| owner));
        hasher.write_u8(self.last_owner);
        hasher.write_u8(self.faults_left);
        hasher.finish()
    }

    pub fn is_done(&self, scenario: &Scenario) -> bool {
        judge::is_done(&self.kafka, &self.healthflow, &scenario.records, scenario.decisions_max > 0)
    }

    /// The next owner in turn that runs.
    pub fn next_owner(&self) -> Option<u8> {
        let count = self.owners.len() as u8;
        (1..=count).map(|step| (self.last_owner + step) % count).find(|o| !self.owners[*o as usize].is_paused)
    }

    /// Lets `one` happen.
    pub fn apply(&mut self, one: Move, scenario: &Scenario, log: &mut Log) {
        log.tell(|| format!("+{} ms {one:?}", self.now - BEGIN_MS));
        match one {
            Move::Publish => self.kafka.change().published += 1,
            Move::Decide(index) => {
                let decision =
                    self.kafka.possible_decisions(scenario.decisions_max).swap_remove(index as usize);
                log.tell(|| format!("    {:?} about {}", decision.verdict, decision.key));
                self.kafka.change().decisions.push(decision);
            }
            Move::TimePasses => {
                if let Some(at) = self.next_at(scenario) {
                    self.now = at.0;
                }
            }
            Move::Assign => self.assign(log),
            Move::SessionOver(o) => self.take_away(o),
            Move::HearLoss(o) => self.hear_loss(o, log),
            Move::Fence(o) => {
                let epoch = self.kafka.change().fence(self.now);
                let fenced = Stage::Fenced { at: Timestamp(self.now), epoch };
                self.owners[o as usize].change().comes_to(fenced);
            }
            Move::Restore(o) => self.restore(o, log),
            Move::Fetch(o, lane) => self.fetch(o, lane, scenario, log),
            Move::Send(o, index) => self.send(o, index, None, scenario, log),
            Move::Answer(o, index) => self.answer(o, index, log),
            Move::Commit(o) => self.commit(o, None, scenario, log),
            Move::Told(o) => self.tell_commit(o, log),
            Move::Wake(o) => self.turn(o, Input::TimePassed, log),
            Move::Land(index) => self.land(index, scenario, log),
            Move::Resume(o) => self.owners[o as usize].change().is_paused = false,
            Move::Fault(fault, o, index) => {
                self.faults_left -= 1;
                self.strike(fault, o, index, scenario, log);
            }
        }
        log.judge(judge::existing(&self.healthflow));
        log.judge(judge::right_chart(&self.healthflow, &scenario.records));
        if log.broken.is_none() && self.is_done(scenario) {
            log.judge(judge::slots(&self.kafka, scenario.is_legal));
            log.judge(judge::newest_wins(&self.kafka, &self.healthflow, &scenario.records));
        }
    }

    fn strike(&mut self, fault: Fault, o: u8, index: u8, scenario: &Scenario, log: &mut Log) {
        match fault {
            Fault::Crash => {
                self.owners[o as usize] = Part::new(Owner::new(&scenario.settings, self.now));
                self.give_back(o);
            }
            Fault::Pause => self.owners[o as usize].change().is_paused = true,
            Fault::CutOff => self.take_away(o),
            Fault::Revoke => self.turn(o, Input::TaskRevoked { partition: PARTITION }, log),
            Fault::AcquireFails => {
                let incarnation = self.owners[o as usize].incarnation().unwrap_or(0);
                self.turn(o, Input::AcquireFailed { partition: PARTITION, incarnation }, log);
            }
            Fault::SlowCall => {
                let slow_until = Timestamp(self.now + QUEUE_MAX_MS);
                self.owners[o as usize].change().calls[index as usize].stage =
                    CallStage::Queued { slow_until: Some(slow_until) };
            }
            Fault::CommitLost | Fault::CommitGoodUnknown => self.commit(o, Some(fault), scenario, log),
            Fault::CommitAborted | Fault::CommitSlow => {
                let aborts = u32::from(fault == Fault::CommitAborted);
                if let Some(commit) = &mut self.owners[o as usize].change().commit {
                    commit.stage = CommitStage::UnderWay { is_slow: true, aborts };
                }
            }
            Fault::DeleteAppointment => {
                let healthflow = self.healthflow.change();
                healthflow.somebody_intervened = true;
                if let Some(entry) = healthflow.entries.iter_mut().find(|entry| !entry.is_gone) {
                    entry.is_gone = true;
                }
            }
            Fault::Edit => self.healthflow.change().edit(),
            Fault::DeletePatient => {
                let healthflow = self.healthflow.change();
                healthflow.somebody_intervened = true;
                if let Some(chart) = healthflow.charts.iter_mut().find(|chart| !chart.is_gone) {
                    chart.is_gone = true;
                }
            }
            _ => self.send(o, index, Some(fault), scenario, log),
        }
    }

    fn assign(&mut self, log: &mut Log) {
        let Some(o) = self.next_owner() else { return };
        if self.owners[o as usize].loses {
            self.hear_loss(o, log);
        }
        self.assigned = Some(o);
        self.last_owner = o;
        self.turn(o, Input::TaskAssigned { partition: PARTITION }, log);
    }

    fn take_away(&mut self, o: u8) {
        self.give_back(o);
        self.owners[o as usize].change().loses = true;
    }

    fn give_back(&mut self, o: u8) {
        self.assigned.take_if(|assigned| *assigned == o);
    }

    fn hear_loss(&mut self, o: u8, log: &mut Log) {
        self.owners[o as usize].change().loses = false;
        self.turn(o, Input::TaskLost { partition: PARTITION }, log);
    }

    /// A turn of the worker: takes one thing in, decides, and starts what is to be done.
    pub fn turn(&mut self, o: u8, input: Input, log: &mut Log) {
        let now = Timestamp(self.now);
        let owner = self.owners[o as usize].change();
        owner.processor.handle(input, now);
        owner.processor.decide(now);
        let effects: Vec<Effect> = std::iter::from_fn(|| owner.processor.next_effect()).collect();
        while let Some(fact) = owner.processor.next_fact() {
            if let Some(situation) = situations::of_fact(&fact) {
                log.meet(situation);
            }
            log.tell(|| format!("    {fact:?}"));
        }
        let mut is_given_back = false;
        for effect in effects {
            is_given_back |= owner.perform(effect, self.now);
        }
        owner.wakeup = owner.processor.next_wakeup(now).map(|at| at.max(now.plus_ms(1)));
        if is_given_back {
            self.give_back(o);
        }
    }

    fn restore(&mut self, o: u8, log: &mut Log) {
        let now = Timestamp(self.now);
        let kafka = &self.kafka;
        let next_offsets = Lane::ALL.map(|lane| lane.at(kafka.committed(lane))).to_vec();
        let state = kafka.state.clone();
        let owner = self.owners[o as usize].change();
        let Some(Stage::Fenced { at, epoch }) = owner.stage() else { return };
        let Some(incarnation) = owner.comes_to(Stage::Live { epoch }) else { return };
        let start = Start { next_offsets, ..Start::default() };
        let acquired =
            Box::new(Acquired { fenced_at: at, start, restored_records: 0, state, restored_at: now });
        self.turn(o, Input::TaskAcquired { partition: PARTITION, incarnation, acquired }, log);
    }

    fn fetch(&mut self, o: u8, lane: Lane, scenario: &Scenario, log: &mut Log) {
        let owner = self.owners[o as usize].change();
        let Some(incarnation) = owner.incarnation() else { return };
        let task = owner.shell.life_mut(PARTITION, incarnation);
        let Some(reader) = task.and_then(|task| task.lanes.get_mut(&lane)) else { return };
        let offset = reader.position;
        let taken = reader.takes(offset, &self.kafka.record(lane, offset, &scenario.records));
        let arrival = taken.expect("a small world holds no record back");
        let partition = PARTITION;
        self.turn(o, Input::Arrived { partition, incarnation, lane, offset, size_bytes: 100, arrival }, log);
    }

    /// A call reaches the socket: the lease is asked last (rule W2), then `fault` decides what becomes of it.
    fn send(&mut self, o: u8, index: u8, fault: Option<Fault>, scenario: &Scenario, log: &mut Log) {
        let now = Timestamp(self.now);
        let owner = &self.owners[o as usize];
        let call = owner.calls[index as usize].call.clone();
        let margin_ms = scenario.settings.lease_margin_ms;
        let may_call = owner.shell.may_call(PARTITION, call.incarnation);
        let epoch = owner.epoch(call.incarnation).filter(|_| may_call);
        let leased = call.is_leased(now, margin_ms);
        let mut not_before = now;
        log.tell(|| format!("    owner {o} sends {}", told(&call.request)));
        let unknown = |why| Err(CallFault::Unknown(why));
        let reply: Reply = match fault {
            _ if epoch.is_none() || !leased => {
                if call.request.operation().is_write() {
                    log.meet(Situation::RefusedByLease);
                }
                log.tell(|| "    but its lease is over".to_owned());
                Err(CallFault::NotSent(NotSent::LeaseOver))
            }
            Some(Fault::Connect) => Err(CallFault::NotSent(NotSent::Connect)),
            Some(Fault::Throttled) => Err(CallFault::Throttled { retry_after_ms: None }),
            Some(Fault::StaleReplica) => Err(CallFault::NotFound(Missing::Appointment)),
            Some(Fault::Vanish) => {
                self.judge_send(&call.request, epoch, scenario, log);
                unknown(Unknown::ServerError)
            }
            Some(Fault::Late | Fault::Hangs) => {
                self.judge_send(&call.request, epoch, scenario, log);
                let settings = &scenario.settings;
                if fault == Some(Fault::Hangs) {
                    not_before = now.plus_ms(settings.request_life_ms);
                }
                let lands_by = now.plus_ms(settings.request_life_ms + settings.late_landing_ms);
                self.healthflow.change().late.push(Late { request: call.request.clone(), lands_by });
                unknown(if fault == Some(Fault::Hangs) { Unknown::Timeout } else { Unknown::Reset })
            }
            _ => {
                self.judge_send(&call.request, epoch, scenario, log);
                let reply = self.carry_out(&call.request, scenario, log);
                if fault == Some(Fault::LostAnswer) { unknown(Unknown::Reset) } else { reply }
            }
        };
        let calls = &mut self.owners[o as usize].change().calls;
        calls[index as usize].stage = CallStage::Sent { reply, not_before };
    }
}
