//! Telling that HealthFlow has not worked for a while, and that it works again (`OUTAGE_BEGAN` and `OUTAGE_ENDED` in
//! `appointments.notices`), once each, whoever owns the task by then. A new owner knows from state that an outage was told of; it
//! tells its end when it has seen for itself that HealthFlow works.

use std::collections::BTreeMap;

use crate::booking::PracticeId;
use crate::defects::planted;
use crate::event::notice::{About, Outage, WaitingPractices};
use crate::limits::breaker::BreakerState;
use crate::limits::{Breaker, Outlook};
use crate::partition::task::{Task, Turn};
use crate::settings::Settings;
use crate::state::OpenOutage;
use crate::time::Timestamp;

/// So many practices are named in one notice.
const NAMED_MAX: usize = 50;

/// What this task has told of outages.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct OutageNotices {
    /// The outage that was told of and has not ended, and since when this owner knows of it.
    open: Option<(OpenOutage, Timestamp)>,
    /// What is to be told.
    change: Option<Change>,
    /// When it is looked at again.
    look_at: Option<Timestamp>,
    /// Whether the next commit must carry what is open now.
    is_news: bool,
}

#[derive(Clone, Debug, Hash)]
enum Change {
    Began { since: Timestamp, cause: &'static str },
    Ended,
}

impl OutageNotices {
    /// Of a task that was just acquired, whose last owner had told of `open`.
    pub fn new(open: Option<OpenOutage>, now: Timestamp, settings: &Settings) -> Self {
        let open = open.filter(|_| !planted!(settings, OutageForgotten)).map(|open| (open, now));
        OutageNotices { open, ..OutageNotices::default() }
    }

    /// Whether something is to be told.
    pub fn have_changed(&self) -> bool {
        self.change.is_some()
    }

    /// When it is looked at again without an event.
    pub fn next_look(&self) -> Option<Timestamp> {
        self.look_at
    }

    /// What the next commit must carry, if it must: what is open now.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// The outage that was told of and has not ended.
    pub fn open(&self) -> Option<OpenOutage> {
        self.open.as_ref().map(|(open, _)| open.clone())
    }

    /// Looks whether there is something to tell; `is_idle` if nothing of the task waits.
    fn look(&mut self, breaker: &Breaker, is_idle: bool, settings: &Settings, now: Timestamp) {
        (self.change, self.look_at) = (None, None);
        let after_ms = settings.breaker.notice_after_ms;
        let at = match &self.open {
            None if after_ms > 0 => {
                let view = breaker.view(now).filter(|view| view.state == BreakerState::Open);
                let Some(view) = view else { return };
                let at = view.since.plus_ms(after_ms);
                if at <= now {
                    self.change = Some(Change::Began { since: view.since, cause: view.cause });
                }
                at
            }
            None => return,
            Some(_) if breaker.is_open() => return,
            Some((_, since)) if breaker.has_worked_since(*since) => {
                self.change = Some(Change::Ended);
                return;
            }
            // Where nobody waits, nobody asks. A new owner whose calls fail notices that in the meantime.
            Some((_, since)) if is_idle => {
                let at = since.plus_ms(after_ms);
                if at <= now {
                    self.change = Some(Change::Ended);
                }
                at
            }
            Some(_) => return,
        };
        self.look_at = Some(at).filter(|at| *at > now);
    }
}

impl Task {
    /// Looks whether an outage is to be told of, or its end.
    pub(super) fn look_at_outage(&mut self, turn: &Turn<'_>) {
        if !turn.breaker.is_open() && self.outages.open.is_none() && self.outages.change.is_none() {
            return;
        }
        let is_idle = self.jobs.len() == 0 && self.waiting_room.is_empty();
        self.outages.look(turn.breaker, is_idle, turn.settings, turn.now);
    }

    /// Puts what is to be told of an outage into the batch that is about to begin.
    pub(super) fn tell_outage(&mut self, outlook: &Outlook, turn: &Turn<'_>) {
        let Some(change) = self.outages.change.take() else { return };
        let (outage, is_begin) = match change {
            Change::Began { since, cause } => {
                // Not by when it began: a worker may tell of it once more that has the task back from one that told its end.
                let id = format!("{}-{}", self.partition, turn.now.0).into();
                (OpenOutage { id, began_at: since, cause: cause.into() }, true)
            }
            Change::Ended => match self.outages.open.take() {
                Some((open, _)) => (open, false),
                None => return,
            },
        };
        self.outages.open = is_begin.then(|| (outage.clone(), turn.now));
        self.outages.is_news = true;
        let (waiting, catch_up_ms) = (self.practices_waiting(), outlook.catch_up_ms());
        let outage = Outage { partition: self.partition, outage, waiting, catch_up_ms };
        let about = if is_begin { About::OutageBegan(outage) } else { About::OutageEnded(outage) };
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
