//! How often each fault met each phase of a booking: a simulation that never met a pair says nothing about it.

use std::collections::BTreeMap;

use healthflow_sync::healthflow::Operation;

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
            Operation::SearchPatients => Phase::Searching,
            Operation::CreatePatient => Phase::CreatingPatient,
            Operation::FindAppointment | Operation::ReadAppointment => Phase::LookingUp,
            Operation::CreateAppointment => Phase::CreatingAppointment,
            Operation::UpdateAppointment => Phase::Updating,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<(FaultKind, Phase), u64>);

impl Coverage {
    pub fn note(&mut self, kind: FaultKind, phase: Phase) {
        *self.0.entry((kind, phase)).or_default() += 1;
    }

    pub fn add(&mut self, other: &Coverage) {
        for (pair, count) in &other.0 {
            *self.0.entry(*pair).or_default() += count;
        }
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
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
        let mut pairs: Vec<(FaultKind, Phase)> = Vec::new();
        for kind in FaultKind::CALLS.into_iter().filter(|kind| *kind != FaultKind::StaleReplica) {
            pairs.extend(calls.map(|phase| (kind, phase)));
        }
        for kind in FaultKind::WORKERS {
            pairs.extend(Phase::ALL[..9].iter().map(|phase| (kind, *phase)));
        }
        for kind in FaultKind::COMMITS {
            pairs.extend(Phase::ALL[..5].iter().map(|phase| (kind, *phase)));
            pairs.extend([(kind, Phase::InDoubt), (kind, Phase::Parked)]);
        }
        for kind in [FaultKind::LongQueue, FaultKind::AcquireFails] {
            pairs.extend(Phase::ALL[..8].iter().map(|phase| (kind, *phase)));
        }
        pairs.push((FaultKind::StaleReplica, Phase::Updating));
        pairs.push((FaultKind::Delete, Phase::Any));
        pairs
    }

    /// The possible pairs that were never met.
    pub fn never_met(&self) -> Vec<(FaultKind, Phase)> {
        Self::possible().into_iter().filter(|pair| !self.0.contains_key(pair)).collect()
    }

    /// The table, one line a fault.
    pub fn table(&self) -> String {
        let mut text = format!("{:18}", "");
        for phase in Phase::ALL {
            text.push_str(&format!("{:>20}", format!("{phase:?}")));
        }
        let mut kinds: Vec<FaultKind> = self.0.keys().map(|(kind, _)| *kind).collect();
        kinds.dedup();
        for kind in kinds {
            text.push_str(&format!("\n{:18}", format!("{kind:?}")));
            for phase in Phase::ALL {
                let count = self.0.get(&(kind, phase)).map_or("-".to_owned(), u64::to_string);
                text.push_str(&format!("{count:>20}"));
            }
        }
        text
    }
}
