//! Reports that HealthFlow has not worked for a while, and that it works again (`OUTAGE_BEGAN` and `OUTAGE_ENDED` in
//! `appointments.notices`), once each, whichever worker owns the task by then. A new owner knows from state that the begin was
//! reported; it reports the end when it has seen for itself that HealthFlow works.

use std::collections::BTreeMap;

use crate::booking::PracticeId;
use crate::event::notice::{About, Outage, WaitingPractices};
use crate::limits::Outlook;
use crate::partition::outage_notices::Phase;
use crate::partition::task::Task;
use crate::partition::turn::Turn;

/// So many practices are named in one notice.
const NAMED_MAX: usize = 50;

impl Task {
    /// Looks whether an outage is to be reported, or its end.
    pub(super) fn look_at_outage(&mut self, turn: &Turn<'_>) {
        if !self.outages.may_change(turn.breaker) {
            return;
        }
        let is_idle = self.jobs.len() == 0 && self.waiting_room.is_empty();
        self.outages.look(turn.breaker, is_idle, turn.settings, turn.now);
    }

    /// Puts what is to be reported of an outage into the batch that is about to begin.
    pub(super) fn tell_outage(&mut self, outlook: &Outlook, turn: &Turn<'_>) {
        let Some((outage, phase)) = self.outages.take_change(self.partition, turn.now) else { return };
        let (waiting, catch_up_ms) = (self.practices_waiting(), outlook.catch_up_ms());
        let outage = Outage { partition: self.partition, outage, waiting, catch_up_ms };
        let about = match phase {
            Phase::Began => About::OutageBegan(outage),
            Phase::Ended => About::OutageEnded(outage),
        };
        self.tell(about, turn.now);
    }

    /// Whose bookings wait, as far as they were read.
    fn practices_waiting(&self) -> WaitingPractices {
        let mut by_practice: BTreeMap<&PracticeId, usize> = BTreeMap::new();
        let at_hand = self.jobs.entries().filter(|(_, job)| !job.versions.is_empty());
        let waiting = self.waiting_room.iter().map(|waiting| &waiting.entry.booking.key.practice);
        for practice in at_hand.map(|(key, _)| key.practice()).chain(waiting) {
            *by_practice.entry(practice).or_default() += 1;
        }
        let (practices, bookings) = (by_practice.len(), by_practice.values().sum());
        let mut most_first: Vec<(&PracticeId, usize)> = by_practice.into_iter().collect();
        // By name where they are equal: the sort is stable.
        most_first.sort_by_key(|(_, bookings)| std::cmp::Reverse(*bookings));
        let named = most_first.into_iter().take(NAMED_MAX).map(|(practice, _)| practice.clone()).collect();
        WaitingPractices { named, practices, bookings }
    }
}
