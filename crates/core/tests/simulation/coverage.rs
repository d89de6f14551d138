//! What went wrong, each fault counted once, and how often each kind met each phase of a booking: a simulation that
//! never met a pair says nothing about it.

use std::collections::BTreeMap;

use healthflow_core::fact::Fact;
use healthflow_core::healthflow::Operation;

use crate::faults::FaultKind;

/// What a booking, or a worker's bookings, were at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Searching,
    CreatingPatient,
    CreatingAppointment,
    Updating,
    LookingUp,
    Committing,
    InDoubt,
    Parked,
    Idle,
    Any,
}

impl Phase {
    const ALL: [Phase; 10] = [
        Phase::Searching,
        Phase::CreatingPatient,
        Phase::CreatingAppointment,
        Phase::Updating,
        Phase::LookingUp,
        Phase::Committing,
        Phase::InDoubt,
        Phase::Parked,
        Phase::Idle,
        Phase::Any,
    ];

    pub fn of(operation: Operation) -> Phase {
        match operation {
            Operation::SearchPatients | Operation::ReadPatient => Phase::Searching,
            Operation::CreatePatient => Phase::CreatingPatient,
            Operation::FindAppointment | Operation::ReadAppointment => Phase::LookingUp,
            Operation::CreateAppointment => Phase::CreatingAppointment,
            Operation::UpdateAppointment => Phase::Updating,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Coverage {
    faults: BTreeMap<FaultKind, u64>,
    meetings: BTreeMap<(FaultKind, Phase), u64>,
    /// Slots that were awaited, versions that were written first, and slots awaited in vain.
    pub slots: [u64; 3],
    /// How often each verdict was carried out.
    pub verdicts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// A fault strikes: one fault, whomever it meets.
    pub fn strikes(&mut self, kind: FaultKind) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// A fault, counted already, meets something that is in this phase.
    pub fn meets(&mut self, kind: FaultKind, phase: Phase) {
        *self.meetings.entry((kind, phase)).or_default() += 1;
    }

    pub fn add(&mut self, other: &Coverage) {
        self.slots.iter_mut().zip(other.slots).for_each(|(sum, one)| *sum += one);
        for (verdict, count) in &other.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (pair, count) in &other.meetings {
            *self.meetings.entry(*pair).or_default() += count;
        }
    }

    /// What bookings did for each other's slots, and what people decided.
    pub fn notes(&mut self, fact: &Fact) {
        if let Fact::DecisionTaken { verdict, .. } = fact {
            *self.verdicts.entry(verdict.code()).or_default() += 1;
        }
        let index = match fact {
            Fact::SlotAwaited { .. } => 0,
            Fact::WrittenFirst { .. } => 1,
            Fact::SlotAwaitedInVain { .. } => 2,
            _ => return,
        };
        self.slots[index] += 1;
    }

    /// Faults, each counted once.
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Meetings: a fault that meets three phases has three.
    pub fn meetings(&self) -> u64 {
        self.meetings.values().sum()
    }

    /// Every pair that can be met: a call's fault meets the phase that makes the call, a worker's fault meets all.
    fn possible() -> Vec<(FaultKind, Phase)> {
        let calls = [
            Phase::Searching,
            Phase::CreatingPatient,
            Phase::CreatingAppointment,
            Phase::Updating,
            Phase::LookingUp,
        ];
        let writes = [Phase::CreatingPatient, Phase::CreatingAppointment, Phase::Updating];
        let mut pairs: Vec<(FaultKind, Phase)> = Vec::new();
        for kind in FaultKind::CALLS.into_iter().filter(|kind| *kind != FaultKind::StaleReplica) {
            pairs.extend(calls.map(|phase| (kind, phase)));
        }
        pairs.extend(calls.map(|phase| (FaultKind::Outage, phase)));
        pairs.extend(writes.map(|phase| (FaultKind::NapAfterGate, phase)));
        for kind in FaultKind::WORKERS.into_iter().chain([FaultKind::RollingRestart, FaultKind::ClockJump]) {
            pairs.extend(Phase::ALL[..9].iter().map(|phase| (kind, *phase)));
        }
        for kind in FaultKind::COMMITS.into_iter().chain([FaultKind::DiskFull]) {
            pairs.extend(Phase::ALL[..5].iter().map(|phase| (kind, *phase)));
            pairs.extend([(kind, Phase::InDoubt), (kind, Phase::Parked)]);
        }
        pairs.extend(Phase::ALL[..8].iter().map(|phase| (FaultKind::LongQueue, *phase)));
        // A task that is being acquired has no call under way; what it will find is what matters.
        let found = [Phase::Committing, Phase::InDoubt, Phase::Parked, Phase::Idle];
        pairs.extend(found.map(|phase| (FaultKind::AcquireFails, phase)));
        pairs.extend([
            (FaultKind::RejectionStorm, Phase::CreatingPatient),
            (FaultKind::RejectionStorm, Phase::CreatingAppointment),
            (FaultKind::RejectionStorm, Phase::Updating),
            (FaultKind::SearchLag, Phase::Searching),
            (FaultKind::SearchLag, Phase::LookingUp),
            (FaultKind::StaleReplica, Phase::Updating),
            (FaultKind::StaleReplica, Phase::LookingUp),
            (FaultKind::WrongClock, Phase::Idle),
            (FaultKind::WrongClock, Phase::InDoubt),
            (FaultKind::WrongClock, Phase::Parked),
            (FaultKind::Misrouted, Phase::Any),
            (FaultKind::CrashLoop, Phase::CreatingAppointment),
            (FaultKind::Delete, Phase::Any),
            (FaultKind::EditByHand, Phase::Any),
            (FaultKind::ByHand, Phase::Any),
            (FaultKind::Counter, Phase::Any),
            (FaultKind::Redrive, Phase::Any),
            (FaultKind::Decide, Phase::Any),
            (FaultKind::TopicRecreated, Phase::Any),
            (FaultKind::RecordsDeleted, Phase::Any),
            (FaultKind::OffsetsForgotten, Phase::Any),
            (FaultKind::SchemaUnknown, Phase::Any),
        ]);
        pairs
    }

    /// The possible pairs that were never met.
    pub fn never_met(&self) -> Vec<(FaultKind, Phase)> {
        Self::possible().into_iter().filter(|pair| !self.meetings.contains_key(pair)).collect()
    }

    /// The table, one line a fault: how many struck, and how often each phase was met by one.
    pub fn table(&self) -> String {
        let mut text = format!("{:18}{:>20}", "", "Faults");
        for phase in Phase::ALL {
            text.push_str(&format!("{:>20}", format!("{phase:?}")));
        }
        for (kind, count) in &self.faults {
            text.push_str(&format!("\n{:18}{count:>20}", format!("{kind:?}")));
            for phase in Phase::ALL {
                let count = self.meetings.get(&(*kind, phase)).map_or("-".to_owned(), u64::to_string);
                text.push_str(&format!("{count:>20}"));
            }
        }
        text
    }
}
