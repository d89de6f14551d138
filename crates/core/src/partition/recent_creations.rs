//! The people we created a moment ago (rule W7). HealthFlow's search does not show them yet, so they count as search
//! results; without that, two bookings of one new person create it twice, without any fault.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use crate::booking::{PatientKey, PracticeId};
use crate::hash::{HashMap, HashSet};
use crate::partition::job::JobKey;
use crate::patient::decide::is_similar;
use crate::patient::{HealthFlowPatientId, Person};
use crate::time::Timestamp;
use crate::unordered::hash_entries;

/// How often the task looks for creations that it may forget, in milliseconds.
const PRUNE_INTERVAL_MS: i64 = 1_000;

/// Creations of one task: under way, in doubt, or answered a moment ago.
#[derive(Clone, Debug, Default)]
pub struct RecentCreations {
    by_practice: HashMap<PracticeId, Vec<RecentCreation>>,
    inherited: HashMap<PracticeId, HashSet<PatientKey>>,
    pruned_at: Timestamp,
    /// The jobs that wait for the outcome of a creation in a practice.
    awaited_by: BTreeMap<PracticeId, BTreeSet<JobKey>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RecentCreation {
    patient: PatientKey,
    person: Person,
    id: Option<HealthFlowPatientId>,
    answered_at: Option<Timestamp>,
}

/// What keeps the task from creating a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A creation whose outcome is open; wait for it.
    Open,
    /// One that was answered; search again from this moment on.
    SearchAgainAt(Timestamp),
}

impl Hash for RecentCreations {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let RecentCreations { by_practice, inherited, pruned_at, awaited_by } = self;
        hash_entries(by_practice, hasher);
        let inherited: BTreeSet<&PatientKey> = inherited.values().flatten().collect();
        (inherited, pruned_at, awaited_by).hash(hasher);
    }
}

impl RecentCreations {
    /// The task found an open creation at its acquisition. The person is unknown, for state keeps only a digest.
    pub fn inherit(&mut self, patient: PatientKey) {
        self.inherited.entry(patient.practice.clone()).or_default().insert(patient);
    }

    /// Whether a creation of another patient in the practice of `patient` was inherited and is still in doubt.
    pub fn waits_for_inherited(&self, patient: &PatientKey) -> bool {
        self.inherited
            .get(&patient.practice)
            .is_some_and(|open| open.len() > usize::from(open.contains(patient)))
    }

    /// The job of `key` waits for the outcome of a creation in `practice`.
    pub fn await_outcome(&mut self, practice: &PracticeId, key: &JobKey) {
        self.awaited_by.entry(practice.clone()).or_default().insert(key.clone());
    }

    /// The creation of `patient` is decided: it may be sent as soon as its intent is committed. Returns the jobs to look at
    /// again, as the following do.
    #[must_use]
    pub fn begin(&mut self, patient: &PatientKey, person: Person) -> BTreeSet<JobKey> {
        let creations = self.by_practice.entry(patient.practice.clone()).or_default();
        let begun = RecentCreation { patient: patient.clone(), person, id: None, answered_at: None };
        if creations.contains(&begun) {
            return BTreeSet::new();
        }
        let known = creations.len();
        // Ids are reused: whoever was created under this one before is somebody else, and no search may show them yet either.
        let is_somebody_else =
            |creation: &RecentCreation| creation.id.is_some() && creation.person != begun.person;
        creations.retain(|creation| creation.patient != *patient || is_somebody_else(creation));
        let is_replaced = creations.len() < known;
        creations.push(begun);
        // One more obstacle frees no job.
        if is_replaced { self.woken(patient) } else { BTreeSet::new() }
    }

    /// The creation was answered, or a look-up found it: the patient exists, but searches may not show it yet.
    #[must_use]
    pub fn answered(
        &mut self,
        patient: &PatientKey,
        id: &HealthFlowPatientId,
        now: Timestamp,
    ) -> BTreeSet<JobKey> {
        self.forget_inherited(patient);
        if let Some(creation) = self.find(patient) {
            creation.id = Some(id.clone());
            creation.answered_at = Some(now);
        }
        self.woken(patient)
    }

    /// It is not known whether the creation happened. If it did, every search that begins after `now` shows it.
    #[must_use]
    pub fn unverified(&mut self, patient: &PatientKey, now: Timestamp, lag_ms: i64) -> BTreeSet<JobKey> {
        self.forget_inherited(patient);
        if let Some(creation) = self.find(patient) {
            creation.answered_at = Some(now.plus_ms(-lag_ms));
        }
        self.woken(patient)
    }

    /// The creation never happened.
    #[must_use]
    pub fn never_happened(&mut self, patient: &PatientKey) -> BTreeSet<JobKey> {
        self.forget_inherited(patient);
        if let Some(creations) = self.by_practice.get_mut(&patient.practice) {
            creations.retain(|creation| creation.patient != *patient || creation.id.is_some());
        }
        self.woken(patient)
    }

    fn woken(&mut self, patient: &PatientKey) -> BTreeSet<JobKey> {
        self.awaited_by.remove(&patient.practice).unwrap_or_default()
    }

    /// Which creation of our own keeps the task from creating `person` after a search begun at `search_started_at`.
    pub fn obstacle(
        &self,
        patient: &PatientKey,
        person: &Person,
        search_started_at: Timestamp,
        lag_ms: i64,
    ) -> Option<Obstacle> {
        let creations = self.by_practice.get(&patient.practice)?;
        let mut worst = None;
        for creation in creations.iter().filter(|creation| creation.patient != *patient) {
            let visible_at = creation.answered_at.map(|at| at.plus_ms(lag_ms));
            if visible_at.is_some_and(|at| at < search_started_at) || !is_similar(person, &creation.person) {
                continue;
            }
            match visible_at {
                None => return Some(Obstacle::Open),
                Some(at) => {
                    let at = at.plus_ms(1);
                    worst = Some(match worst {
                        Some(Obstacle::SearchAgainAt(other)) if other > at => Obstacle::SearchAgainAt(other),
                        _ => Obstacle::SearchAgainAt(at),
                    });
                }
            }
        }
        worst
    }

    /// Forgets every creation that all searches under way can see: the oldest one began at `oldest_search`. So the memory holds
    /// no more creations than happened since then.
    pub fn prune(&mut self, now: Timestamp, lag_ms: i64, oldest_search: impl FnOnce() -> Option<Timestamp>) {
        if now.since_ms(self.pruned_at) < PRUNE_INTERVAL_MS {
            return;
        }
        self.pruned_at = now;
        let seen_by_all = oldest_search().map_or(now, |started_at| started_at.min(now));
        for creations in self.by_practice.values_mut() {
            creations
                .retain(|creation| creation.answered_at.is_none_or(|at| at.plus_ms(lag_ms) >= seen_by_all));
        }
        self.by_practice.retain(|_, creations| !creations.is_empty());
    }

    /// The creation of `patient` that was begun last.
    fn find(&mut self, patient: &PatientKey) -> Option<&mut RecentCreation> {
        let creations = self.by_practice.get_mut(&patient.practice)?;
        creations.iter_mut().rev().find(|creation| creation.patient == *patient)
    }

    fn forget_inherited(&mut self, patient: &PatientKey) {
        if let Some(open) = self.inherited.get_mut(&patient.practice) {
            open.remove(patient);
            if open.is_empty() {
                self.inherited.remove(&patient.practice);
            }
        }
    }
}

#[cfg(test)]
mod tests;
