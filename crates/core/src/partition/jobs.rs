//! The jobs of a task: which are at hand, in which queue each waits, when each is due without an event, and who
//! has which patient. A job is looked at by one caller at a time, which takes it out and puts it back. Without one place
//! for all of this a job could be in no queue at all, and its booking would wait for ever.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use crate::booking::{PatientKey, PracticeId};
use crate::hash::HashMap;
use crate::limits::fair_queue::{CALL, FairQueue};
use crate::partition::job::{Job, JobKey, JobStage, Purpose, Share, Shares};
use crate::time::Timestamp;
use crate::unordered::hash_entries;

mod lateness;

use lateness::Lateness;

/// The jobs of a task, and who of them waits for what.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    /// Each job at hand. The one that is just looked at is taken out.
    at_hand: HashMap<JobKey, Job>,
    /// Who waits for a place of its share, or is to look again, fair between practices. It may hold a key whose job has
    /// ended.
    arrivals: [FairQueue<JobKey>; Share::ALL.len()],
    /// Who may be sent, by share, fair between practices. It may hold a key whose job has moved on.
    ready: [FairQueue<JobKey>; Share::ALL.len()],
    /// Places of the ready queue taken, by share.
    places: Shares,
    /// How many are about to ask, by practice: of each that has some.
    about_to_ask: HashMap<PracticeId, usize>,
    /// Who would ask and may not, for the practice is paused or limited by hand, in the order in which they came. It may hold
    /// a key whose job has ended.
    held: BTreeMap<PracticeId, VecDeque<JobKey>>,
    /// Who has a patient.
    patients_busy: HashMap<PatientKey, JobKey>,
    /// Who waits for a patient that somebody else has, in the order in which they came.
    patients_awaited: HashMap<PatientKey, VecDeque<JobKey>>,
    /// Who is or will be late.
    lateness: Lateness,
    /// When which job is due; a doubt has an entry whether or not there is a job for it.
    timers: BTreeSet<(Timestamp, JobKey)>,
}

impl Jobs {
    /// The job of `key`, if it is at hand.
    pub fn get(&self, key: &JobKey) -> Option<&Job> {
        self.at_hand.get(key)
    }

    /// Whether the job of `key` is at hand.
    pub fn is_at_hand(&self, key: &JobKey) -> bool {
        self.at_hand.contains_key(key)
    }

    /// Every job at hand.
    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.at_hand.values()
    }

    /// The same, each with its key.
    pub fn entries(&self) -> impl Iterator<Item = (&JobKey, &Job)> {
        self.at_hand.iter()
    }

    /// How many are at hand.
    pub fn len(&self) -> usize {
        self.at_hand.len()
    }

    /// The job of `key`; a new one if there is none.
    pub fn open(&mut self, key: &JobKey) -> &mut Job {
        self.at_hand.entry(key.clone()).or_default()
    }

    /// Takes a job out, to look at it.
    pub fn take(&mut self, key: &JobKey) -> Option<Job> {
        self.at_hand.remove(key)
    }

    /// Puts a job back that was looked at and goes on.
    pub fn put_back(&mut self, key: &JobKey, job: Job) {
        self.at_hand.insert(key.clone(), job);
    }

    /// Sets the stage of a job that is taken out and counts the places taken. A job that awaits a commit also waits for it in
    /// the outbox.
    pub fn set_stage(&mut self, key: &JobKey, job: &mut Job, stage: JobStage, now: Timestamp) {
        let share = job.share.index();
        self.places[share] -= usize::from(job.stage.takes_place());
        self.places[share] += usize::from(stage.takes_place());
        if job.stage.is_about_to_ask() != stage.is_about_to_ask() {
            self.count_about_to_ask(key.practice(), stage.is_about_to_ask());
        }
        match &stage {
            // What was begun is finished first, so that the first to come is the first to end.
            JobStage::Ready if job.asked_version.is_some() => self.ready[share].push_first(key.clone()),
            JobStage::Ready => self.ready[share].push(key.practice(), 0, key.clone()),
            JobStage::AwaitsTime(at) => self.wake_at(*at, key.clone()),
            JobStage::AwaitsCommit
            | JobStage::Arrived
            | JobStage::InFlight(_)
            | JobStage::AwaitsPatient(_) => {}
        }
        job.waiting_since = match stage {
            JobStage::AwaitsPatient(_) | JobStage::AwaitsTime(_) => job.waiting_since.or(Some(now)),
            _ => None,
        };
        job.stage = stage;
    }

    /// Places of the ready queue that are taken, by share.
    pub fn places(&self) -> Shares {
        self.places
    }

    /// How many of a practice are about to ask.
    pub fn about_to_ask(&self, practice: &PracticeId) -> usize {
        self.about_to_ask.get(practice).copied().unwrap_or(0)
    }

    fn count_about_to_ask(&mut self, practice: &PracticeId, is_one_more: bool) {
        if is_one_more {
            *self.about_to_ask.entry(practice.clone()).or_default() += 1;
        } else if let Some(count) = self.about_to_ask.get_mut(practice) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.about_to_ask.remove(practice);
            }
        }
    }

    /// This job would ask and may not, for its practice is held by hand.
    pub fn hold(&mut self, key: &JobKey) {
        let held = self.held.entry(key.practice().clone()).or_default();
        if !held.contains(key) {
            held.push_back(key.clone());
        }
    }

    /// Whether anybody is held by hand.
    pub fn holds_anybody(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whose practices are held by hand and have jobs here.
    pub fn held_practices(&self) -> impl Iterator<Item = &PracticeId> {
        self.held.keys()
    }

    /// Takes out up to so many of a practice that are held, who came first.
    pub fn take_held(&mut self, practice: &PracticeId, most: usize) -> Vec<JobKey> {
        let Some(held) = self.held.get_mut(practice) else { return Vec::new() };
        let taken = held.drain(..most.min(held.len())).collect();
        if held.is_empty() {
            self.held.remove(practice);
        }
        taken
    }

    /// Calls under way.
    pub fn calls_in_flight(&self) -> usize {
        self.iter().filter(|job| matches!(job.stage, JobStage::InFlight(_))).count()
    }

    /// A job is to be looked at as soon as there is a place, behind those that wait for one already.
    pub fn look_again(&mut self, key: JobKey) {
        let job = self.get(&key);
        let share = job.map_or(Share::Again, |job| Share::of(job, Purpose::Flow));
        // Of what comes back the nearest visit goes first, and before all whoever has asked already or settles a doubt, for others
        // wait for them.
        let not_begun = job.filter(|job| job.asked_version.is_none());
        let rank = match share {
            Share::First | Share::History => 0,
            Share::Soon | Share::Again => {
                not_begun.and_then(Job::newest).map_or(i64::MIN, |newest| newest.booking.visit.start.0)
            }
        };
        self.arrivals[share.index()].push(key.practice(), rank, key.clone());
    }

    /// The same for several.
    pub fn look_again_all(&mut self, keys: impl IntoIterator<Item = JobKey>) {
        keys.into_iter().for_each(|key| self.look_again(key));
    }

    /// The same, before those that wait for a place already.
    pub fn look_again_first(&mut self, key: JobKey) {
        let share = self.share_of(&key);
        self.arrivals[share.index()].push_first(key);
    }

    /// Which share a job that has just come back or woken belongs to.
    fn share_of(&self, key: &JobKey) -> Share {
        self.get(key).map_or(Share::Again, |job| Share::of(job, Purpose::Flow))
    }

    /// Whether somebody of this share waits for a place.
    pub fn has_arrivals(&self, share: Share) -> bool {
        !self.arrivals[share.index()].is_empty()
    }

    /// Takes the next of this share out of the queue that waits for a place; `cost` is what its practice pays for a job. Whoever
    /// has come into another share since goes to the queue of that one.
    pub fn next_arrival(&mut self, share: Share, cost: impl Fn(&JobKey, &Job) -> u32) -> Option<JobKey> {
        loop {
            let Jobs { at_hand, arrivals, .. } = self;
            let key =
                arrivals[share.index()].pop(|key| at_hand.get(key).map_or(CALL, |job| cost(key, job)))?;
            if self.share_of(&key) == share {
                return Some(key);
            }
            if self.is_at_hand(&key) {
                self.look_again(key);
            }
        }
    }

    /// Takes the first out of the queues that wait for a place whom `allows` allows.
    pub fn take_arrival(&mut self, allows: impl Fn(&JobKey) -> bool) -> Option<JobKey> {
        self.arrivals.iter_mut().find_map(|queue| queue.take(&allows))
    }

    /// Whether somebody of this share may be sent.
    pub fn has_ready(&self, share: Share) -> bool {
        !self.ready[share.index()].is_empty()
    }

    /// Takes the next of this share out that may be sent and that `allows` allows, with its job.
    pub fn take_ready(&mut self, share: Share, allows: impl Fn(&JobKey) -> bool) -> Option<(JobKey, Job)> {
        while let Some(key) = self.ready[share.index()].pop_where(&allows) {
            if self.get(&key).is_some_and(|job| job.stage == JobStage::Ready)
                && let Some(job) = self.take(&key)
            {
                return Some((key, job));
            }
        }
        None
    }

    /// Puts back who could not be sent just now: it stays the next one of this share.
    pub fn put_back_ready(&mut self, share: Share, key: &JobKey, job: Job) {
        self.ready[share.index()].push_first(key.clone());
        self.put_back(key, job);
    }

    /// Takes everybody out who may be sent and is meant, in order; a job that is still `Ready` is at hand.
    pub fn drain_ready(&mut self, is_meant: impl Fn(&JobKey) -> bool) -> Vec<JobKey> {
        let mut drained = Vec::new();
        for ready in &mut self.ready {
            let (meant, others): (Vec<_>, Vec<_>) = ready.drain().into_iter().partition(&is_meant);
            others.into_iter().rev().for_each(|key| ready.push_first(key));
            drained.extend(meant);
        }
        drained
    }

    /// Puts a job of another practice than this first, if one is ready.
    pub fn puts_another_first(&mut self, practice: &PracticeId) -> bool {
        let mut is_there = false;
        for ready in &mut self.ready {
            if let Some(key) = ready.take(|key| key.practice() != practice) {
                ready.push_first(key);
                is_there = true;
            }
        }
        is_there
    }

    /// This job will be looked at at `at`, at the latest.
    pub fn wake_at(&mut self, at: Timestamp, key: JobKey) {
        self.timers.insert((at, key));
    }

    /// When somebody must be looked at next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes out who must be looked at by `now`.
    pub fn take_due(&mut self, now: Timestamp) -> Option<JobKey> {
        let (at, _) = self.timers.first()?;
        if *at > now {
            return None;
        }
        self.timers.pop_first().map(|(_, key)| key)
    }

    /// Takes a patient for the job of `key`; false while another one has it.
    pub fn lock_patient(&mut self, patient: &PatientKey, key: &JobKey) -> bool {
        if self.patients_busy.contains_key(patient) {
            return false;
        }
        self.patients_busy.insert(patient.clone(), key.clone());
        true
    }

    /// The job of `key` waits until a patient is free.
    pub fn await_patient(&mut self, patient: PatientKey, key: &JobKey) {
        let awaited = self.patients_awaited.entry(patient).or_default();
        if !awaited.contains(key) {
            awaited.push_back(key.clone());
        }
    }

    /// Whether somebody has a patient.
    pub fn is_patient_busy(&self, patient: &PatientKey) -> bool {
        self.patients_busy.contains_key(patient)
    }

    /// Who has a patient.
    pub fn holder_of(&self, patient: &PatientKey) -> Option<&JobKey> {
        self.patients_busy.get(patient)
    }

    /// Frees a patient: of the jobs that wait for it one of the first share is looked at again, which has waited longest. Else a fresh
    /// booking would stand behind all that an outage left of its patient. It goes before its practice's other jobs, not before other
    /// practices': in a burst there is always such a job.
    pub fn unlock_patient(&mut self, patient: &PatientKey) {
        self.patients_busy.remove(patient);
        let Some(mut awaited) = self.patients_awaited.remove(patient) else { return };
        let awaits_it = |job: &Job| matches!(&job.stage, JobStage::AwaitsPatient(of) if of == patient);
        awaited.retain(|key| self.get(key).is_some_and(awaits_it));
        let next = (0..awaited.len()).min_by_key(|index| self.share_of(&awaited[*index]).index());
        if let Some(next) = next.and_then(|index| awaited.remove(index)) {
            let share = self.share_of(&next);
            self.arrivals[share.index()].push(next.practice(), i64::MIN, next.clone());
        }
        if !awaited.is_empty() {
            self.patients_awaited.insert(patient.clone(), awaited);
        }
    }

    /// Something was learnt about a patient: the job that has it is looked at again, at once. What it found by searching
    /// counts no more if it `was_too_early`.
    pub fn wake_holder(&mut self, patient: &PatientKey, was_too_early: bool) {
        let Some(holder) = self.patients_busy.get(patient).cloned() else { return };
        if was_too_early {
            self.at_hand.get_mut(&holder).into_iter().for_each(Job::forget_search);
        }
        self.look_again_first(holder);
    }
}

impl Hash for Jobs {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Jobs { at_hand, arrivals, ready, places, patients_busy, patients_awaited, timers, .. } = self;
        // How many are about to ask follows from the jobs.
        (arrivals, ready, places, &self.held, &self.lateness, timers).hash(hasher);
        hash_entries(at_hand, hasher);
        hash_entries(patients_busy, hasher);
        hash_entries(patients_awaited, hasher);
    }
}

#[cfg(test)]
mod tests;
