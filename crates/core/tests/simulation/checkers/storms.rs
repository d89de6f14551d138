//! A broken release costs no more dead letters than it takes to notice it: once a worker has reported a storm, what HealthFlow refuses
//! because of it waits, one booking is tried now and then, and a storm of one practice holds nobody else.

use std::collections::{BTreeMap, BTreeSet};

use healthflow_core::booking::PracticeId;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::Operation;
use healthflow_core::limits::RejectionStormLimits;
use healthflow_core::limits::rejection_storm::{StormChange, StormOf};
use healthflow_core::retry::WaitReason;

/// By which field the broken release refuses each write, and no other one does.
pub const RULES: [(Operation, &str); 3] = [
    (Operation::CreatePatient, "given_name"),
    (Operation::CreateAppointment, "procedure_codes"),
    (Operation::UpdateAppointment, "operatory_id"),
];

/// What a process has reported of storms.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    last: BTreeSet<StormOf>,
    /// What it believes by now.
    believed: BTreeSet<StormOf>,
    /// Dead letters because of the release that is broken, since it is.
    letters: BTreeMap<(PracticeId, Operation), usize>,
    /// When it last sent what a storm of all practices is about.
    tried_at: BTreeMap<Operation, i64>,
    has_outage: bool,
}

impl Reported {
    /// Another release is broken; this process has not noticed yet.
    pub fn another_begins(&mut self) {
        self.letters.clear();
    }

    /// Takes in what a process reports at this moment of its clock, in order; what it breaks.
    pub fn broken(&mut self, facts: &[Fact], limits: &RejectionStormLimits, now: i64) -> Vec<String> {
        let mut broken = Vec::new();
        for fact in facts {
            match fact {
                Fact::BreakerOpened { .. } => self.has_outage = true,
                Fact::BreakerClosed { .. } => self.has_outage = false,
                Fact::StormChanged(change) => self.changes(change, now),
                Fact::CallSent { operation } => broken.extend(self.sends(*operation, limits, now)),
                Fact::BookingParked { key, version, last_error, .. }
                    if **last_error == *WaitReason::RejectionStorm.code() =>
                {
                    let is_theirs = |of: &StormOf| of.practice.as_ref().is_none_or(|of| *of == key.practice);
                    if !self.last.iter().any(is_theirs) {
                        broken.push(format!("{key} v{version} is put aside without a storm of its practice"));
                    }
                }
                Fact::BookingFailed { key: Some(key), detail, .. } => {
                    broken.extend(self.fails(&key.practice, detail, limits));
                }
                _ => {}
            }
        }
        broken
    }

    fn changes(&mut self, change: &StormChange, now: i64) {
        match change {
            StormChange::Began { of, .. } => {
                self.believed.remove(of);
                self.last.insert(of.clone());
                if of.practice.is_none() {
                    self.tried_at.insert(of.operation, now);
                }
            }
            StormChange::Over { of, is_accepted, .. } => {
                self.last.remove(of);
                if of.practice.is_none() {
                    self.tried_at.remove(&of.operation);
                }
                if !is_accepted {
                    self.believed.insert(of.clone());
                }
            }
        }
    }

    /// One booking at a time is tried in a storm of all practices.
    fn sends(&mut self, operation: Operation, limits: &RejectionStormLimits, now: i64) -> Option<String> {
        let before = std::mem::replace(self.tried_at.get_mut(&operation)?, now);
        // A probe is sent in any weather.
        let is_early = now - before < limits.trial_ms && !self.has_outage;
        is_early.then(|| format!("{operation:?} goes out {} ms after another one in a storm", now - before))
    }

    fn fails(
        &mut self,
        practice: &PracticeId,
        detail: &str,
        limits: &RejectionStormLimits,
    ) -> Option<String> {
        let (operation, _) =
            RULES.into_iter().find(|(_, field)| detail.contains(&format!("{field}: unknown")))?;
        let is_it =
            |of: &StormOf| of.operation == operation && of.practice.as_ref().is_none_or(|of| of == practice);
        if limits.calls_min == 0 || self.believed.iter().any(is_it) {
            return None;
        }
        let letters = self.letters.entry((practice.clone(), operation)).or_default();
        *letters += 1;
        // Answers of before the release was broken may come between those of after.
        (*letters > 2 * limits.calls_min)
            .then(|| format!("{letters} bookings of {practice} are given up for a broken release"))
    }
}
