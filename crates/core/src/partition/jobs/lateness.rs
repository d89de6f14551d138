//! Who is late, or will be, and when that is looked at: each job when it is overdue, and one of a practice for which nothing goes on
//! once something does. Looked at every second instead, the backlog of an outage would keep a core busy.

use std::collections::{BTreeMap, BTreeSet};

use crate::booking::PracticeId;
use crate::partition::job::JobKey;
use crate::partition::jobs::Jobs;
use crate::time::Timestamp;

/// Late jobs, and those to be. Each set may hold a key whose job has moved on.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Lateness {
    /// When a booking that came in is overdue. Most have ended by then.
    overdue: BTreeSet<(Timestamp, JobKey)>,
    /// Who is overdue and to be moved aside, since when.
    late: BTreeSet<(Timestamp, JobKey)>,
    /// Who was overdue while nothing went on for the practice.
    stopped: BTreeMap<PracticeId, BTreeSet<JobKey>>,
}

impl Jobs {
    /// This booking will be overdue at `at`.
    pub fn note_overdue(&mut self, at: Timestamp, key: JobKey) {
        self.lateness.overdue.insert((at, key));
    }

    /// This booking is overdue, and is looked at once something goes on for its practice.
    pub fn note_stopped(&mut self, key: JobKey) {
        self.lateness.stopped.entry(key.practice().clone()).or_default().insert(key);
    }

    /// Whether anybody was overdue while nothing went on for the practice.
    pub fn has_stopped(&self) -> bool {
        !self.lateness.stopped.is_empty()
    }

    /// Something may go on again: whoever was overdue meanwhile is looked at, but for those of practices for which nothing does.
    pub fn go_on(&mut self, now: Timestamp, is_stopped: impl Fn(&PracticeId) -> bool) {
        let Lateness { overdue, stopped, .. } = &mut self.lateness;
        stopped.retain(|practice, keys| {
            let stays = is_stopped(practice);
            if !stays {
                overdue.extend(std::mem::take(keys).into_iter().map(|key| (now, key)));
            }
            stays
        });
    }

    /// Takes out who is overdue by `now`.
    pub fn take_overdue(&mut self, now: Timestamp) -> Option<JobKey> {
        let (at, _) = self.lateness.overdue.first()?;
        if *at > now {
            return None;
        }
        self.lateness.overdue.pop_first().map(|(_, key)| key)
    }

    /// This booking is overdue since `since`: it goes behind those that are not, and is to be moved aside.
    pub fn is_late(&mut self, since: Timestamp, key: &JobKey) {
        let versions = self.at_hand.get_mut(key).map(|job| &mut job.versions);
        if let Some(mut newest) = versions.and_then(BTreeMap::last_entry) {
            newest.get_mut().is_late = true;
            self.lateness.late.insert((since, key.clone()));
        }
    }

    /// Takes out who is to be moved aside next.
    pub fn take_late(&mut self) -> Option<JobKey> {
        self.lateness.late.pop_first().map(|(_, key)| key)
    }

    /// When somebody is overdue next. Nobody can be while nobody is at hand.
    pub fn next_overdue(&self) -> Option<Timestamp> {
        self.lateness.overdue.first().filter(|_| !self.at_hand.is_empty()).map(|(at, _)| *at)
    }

    /// Since when somebody is to be moved aside.
    pub fn next_late(&self) -> Option<Timestamp> {
        self.lateness.late.first().map(|(since, _)| *since)
    }
}
