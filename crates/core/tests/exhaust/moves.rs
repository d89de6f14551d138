//! Everything that can happen next in a small world. What is prompt comes before any time passes; what is late, paused
//! or not published yet may happen at any time.

use healthflow_core::healthflow::Request;
use healthflow_core::time::{DAY_MS, Timestamp};
use healthflow_core::topics::Lane;

use crate::owner::{CallStage, CommitStage, Owner, Stage};
use crate::scenario::Scenario;
use crate::world::{TRANSACTION_TIMEOUT_MS, World};

/// One thing that happens; `u8`s are an owner and, where there are several, which of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// DentScheduler publishes its next record.
    Publish,
    /// Somebody decides what is asked: one of the decisions that are possible.
    Decide(u8),
    /// Time passes until something is due.
    TimePasses,
    /// The group gives the task to somebody.
    Assign,
    /// The group takes a paused owner for dead.
    SessionOver(u8),
    /// An owner hears that it lost the task.
    HearLoss(u8),
    Fence(u8),
    Restore(u8),
    Fetch(u8, Lane),
    /// A call reaches the socket; what goes out is carried out at once.
    Send(u8, u8),
    Answer(u8, u8),
    /// A transaction ends.
    Commit(u8),
    /// An owner hears how its transaction ended.
    Told(u8),
    Wake(u8),
    /// A late request is carried out.
    Land(u8),
    Resume(u8),
    Fault(Fault, u8, u8),
}

/// What can go wrong, or at least be in the way. Each costs one of the faults that a path may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies, and starts anew.
    Crash,
    /// The process is stopped.
    Pause,
    /// The group gives the task to another owner, and the old one does not know it.
    CutOff,
    /// The task is to be given back.
    Revoke,
    AcquireFails,
    /// A call finds no connection.
    Connect,
    Throttled,
    /// A call is answered 5xx, and is never carried out.
    Vanish,
    /// A call is carried out at once, and its answer is lost.
    LostAnswer,
    /// The connection breaks; the call is carried out at any time until the latest.
    Late,
    /// The same, and the caller waits for an answer as long as it may.
    Hangs,
    /// A replica that lags answers that there is no such appointment.
    StaleReplica,
    /// A call waits for a connection for as long as it may.
    SlowCall,
    /// A transaction never stands, and nobody knows.
    CommitLost,
    /// A transaction stands, and nobody knows.
    CommitGoodUnknown,
    /// A transaction is aborted, and the same batch is committed again.
    CommitAborted,
    CommitSlow,
    /// A person deletes an appointment.
    DeleteAppointment,
    /// A person changes an appointment.
    Edit,
    /// A person deletes a patient with its appointments.
    DeletePatient,
}

impl Move {
    pub fn is_fault(self) -> bool {
        matches!(self, Move::Fault(..))
    }
}

/// The moves of a world, the prompt ones first.
pub struct Moves {
    pub all: Vec<Move>,
    prompt: usize,
    next_at: Option<Timestamp>,
}

impl Moves {
    fn prompt(&mut self, one: Move) {
        self.all.push(one);
        self.prompt += 1;
    }

    /// What comes only a day later, a look at a question or a visit that is near, is no part of a small world: it never ends.
    fn at_latest(&mut self, now: i64, at: Timestamp) {
        if (1..DAY_MS).contains(&(at.0 - now)) {
            self.next_at = Some(self.next_at.map_or(at, |known| known.min(at)));
        }
    }
}

impl World {
    /// What can happen next.
    pub fn moves(&self, scenario: &Scenario) -> Vec<Move> {
        let mut moves = Moves { all: Vec::with_capacity(16), prompt: 0, next_at: None };
        let mut lazy: Vec<Move> = Vec::new();
        if self.assigned.is_none() && self.next_owner().is_some() {
            moves.prompt(Move::Assign);
        }
        for (index, owner) in self.owners.iter().enumerate() {
            self.moves_of(index as u8, owner, scenario, &mut moves, &mut lazy);
        }
        for (index, late) in self.healthflow.late.iter().enumerate() {
            if late.lands_by.0 <= self.now {
                moves.prompt(Move::Land(index as u8));
            } else {
                lazy.push(Move::Land(index as u8));
                moves.at_latest(self.now, late.lands_by);
            }
        }
        if self.kafka.published < scenario.records.len() {
            lazy.push(Move::Publish);
        }
        if scenario.decisions_max > 0 {
            let possible = self.kafka.possible_decisions(scenario.decisions_max).len();
            lazy.extend((0..possible as u8).map(Move::Decide));
        }
        let is_quiet = moves.prompt == 0;
        moves.all.append(&mut lazy);
        if is_quiet && moves.next_at.is_some() {
            moves.all.push(Move::TimePasses);
        }
        if self.faults_left > 0 {
            for fault in scenario.faults {
                self.chances(*fault, &mut moves.all);
            }
        }
        moves.all
    }

    /// When the next thing is due that time must not pass by.
    pub fn next_at(&self, scenario: &Scenario) -> Option<Timestamp> {
        let mut moves = Moves { all: Vec::new(), prompt: 0, next_at: None };
        for (index, owner) in self.owners.iter().enumerate() {
            self.moves_of(index as u8, owner, scenario, &mut moves, &mut Vec::new());
        }
        for late in &self.healthflow.late {
            moves.at_latest(self.now, late.lands_by);
        }
        moves.next_at
    }

    fn moves_of(&self, o: u8, owner: &Owner, scenario: &Scenario, moves: &mut Moves, lazy: &mut Vec<Move>) {
        if owner.is_paused {
            lazy.push(Move::Resume(o));
            if self.assigned == Some(o) && self.owners.len() > 1 {
                lazy.push(Move::SessionOver(o));
            }
            if owner
                .commit
                .as_ref()
                .is_some_and(|commit| matches!(commit.stage, CommitStage::UnderWay { .. }))
            {
                lazy.push(Move::Commit(o));
            }
            self.leases_end(owner, scenario, moves);
            return;
        }
        if owner.loses {
            lazy.push(Move::HearLoss(o));
        }
        match owner.wakeup {
            Some(at) if at.0 <= self.now => moves.prompt(Move::Wake(o)),
            Some(at) => moves.at_latest(self.now, at),
            None => {}
        }
        match owner.stage() {
            // Two heartbeats have passed by then, so it has heard whether the task is still its own (rule T3).
            Some(Stage::Wanted(_)) if owner.loses => {}
            Some(Stage::Wanted(at)) if at.0 <= self.now => moves.prompt(Move::Fence(o)),
            Some(Stage::Wanted(at)) => moves.at_latest(self.now, at),
            Some(Stage::Fenced { .. }) => moves.prompt(Move::Restore(o)),
            Some(Stage::Live { .. }) | None => {}
        }
        for lane in Lane::ALL {
            if owner.position(lane).is_some_and(|position| position < self.kafka.end(lane)) {
                moves.prompt(Move::Fetch(o, lane));
            }
        }
        for (index, call) in owner.calls.iter().enumerate() {
            match &call.stage {
                CallStage::Queued { slow_until: Some(until) } if until.0 > self.now => {
                    lazy.push(Move::Send(o, index as u8));
                    moves.at_latest(self.now, *until);
                }
                CallStage::Queued { .. } => moves.prompt(Move::Send(o, index as u8)),
                CallStage::Sent { not_before, .. } if not_before.0 <= self.now => {
                    moves.prompt(Move::Answer(o, index as u8));
                }
                CallStage::Sent { not_before, .. } => moves.at_latest(self.now, *not_before),
            }
        }
        self.leases_end(owner, scenario, moves);
        let Some(commit) = &owner.commit else { return };
        let ends_at = commit.started_at.plus_ms(TRANSACTION_TIMEOUT_MS);
        match commit.stage {
            CommitStage::UnderWay { is_slow: true, .. } if ends_at.0 > self.now => {
                lazy.push(Move::Commit(o));
                moves.at_latest(self.now, ends_at);
            }
            CommitStage::UnderWay { .. } => moves.prompt(Move::Commit(o)),
            CommitStage::Ended(_) => moves.prompt(Move::Told(o)),
        }
    }

    /// A queued write may see its lease end.
    fn leases_end(&self, owner: &Owner, scenario: &Scenario, moves: &mut Moves) {
        for call in owner.calls.iter().filter(|call| call.is_queued()) {
            if let Some(until) = call.call.lease_until {
                moves.at_latest(self.now, until.plus_ms(-scenario.settings.lease_margin_ms));
            }
        }
    }

    /// Where `fault` can strike now.
    fn chances(&self, fault: Fault, moves: &mut Vec<Move>) {
        if matches!(fault, Fault::DeleteAppointment | Fault::DeletePatient | Fault::Edit) {
            let is_there = if fault == Fault::DeletePatient {
                self.healthflow.charts.iter().any(|chart| !chart.is_gone)
            } else {
                self.healthflow.entries.iter().any(|entry| !entry.is_gone)
            };
            if is_there {
                moves.push(Move::Fault(fault, 0, 0));
            }
            return;
        }
        for (index, owner) in self.owners.iter().enumerate() {
            let o = index as u8;
            let is_owner = self.assigned == Some(o);
            let is_live = matches!(owner.stage(), Some(Stage::Live { .. }));
            let fits = match fault {
                Fault::Crash => owner.has_something(),
                Fault::Pause => owner.has_something() && !owner.is_paused,
                Fault::CutOff => {
                    is_owner && owner.has_something() && !owner.is_paused && self.owners.len() > 1
                }
                Fault::Revoke => is_owner && is_live && !owner.is_paused,
                Fault::AcquireFails => {
                    !owner.is_paused && matches!(owner.stage(), Some(Stage::Fenced { .. }))
                }
                Fault::CommitLost | Fault::CommitGoodUnknown | Fault::CommitAborted | Fault::CommitSlow => {
                    let fresh = CommitStage::UnderWay { is_slow: false, aborts: 0 };
                    !owner.is_paused && owner.commit.as_ref().is_some_and(|commit| commit.stage == fresh)
                }
                _ => {
                    self.chances_of_calls(fault, o, owner, moves);
                    false
                }
            };
            if fits {
                moves.push(Move::Fault(fault, o, 0));
            }
        }
    }

    fn chances_of_calls(&self, fault: Fault, o: u8, owner: &Owner, moves: &mut Vec<Move>) {
        if owner.is_paused {
            return;
        }
        for (index, call) in owner.calls.iter().enumerate().filter(|(_, call)| call.is_queued()) {
            let is_write = call.call.request.operation().is_write();
            let fits = match fault {
                Fault::Connect | Fault::Throttled | Fault::Vanish => true,
                Fault::LostAnswer | Fault::Late | Fault::Hangs => is_write,
                Fault::SlowCall => is_write && !call.is_slow(),
                Fault::StaleReplica => self.is_fresh(&call.call.request),
                _ => false,
            };
            if fits {
                moves.push(Move::Fault(fault, o, index as u8));
            }
        }
    }

    /// Whether a replica that lags may not know yet what `request` is about.
    fn is_fresh(&self, request: &Request) -> bool {
        let Request::UpdateAppointment { id, .. } = request else { return false };
        self.healthflow.entry(id).is_some_and(|entry| entry.visible_at.0 > self.now)
    }
}
