//! Which outage was reported and has not ended, and what is reported next, so that its begin and its end are reported once each. The
//! notices are written in `outages.rs`.

use crate::limits::breaker::BreakerState;
use crate::limits::{Breaker, BreakerCause};
use crate::partition::rules;
use crate::settings::Settings;
use crate::state::OpenOutage;
use crate::time::Timestamp;

/// What this task has reported of outages.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct OutageNotices {
    /// The outage that was reported and has not ended, and since when this owner knows of it.
    open: Option<(OpenOutage, Timestamp)>,
    /// What is reported next.
    change: Option<Change>,
    /// When it is looked at again.
    look_at: Option<Timestamp>,
    /// Whether the next commit must carry what is open now.
    is_news: bool,
}

/// What a notice reports of an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// That it began.
    Began,
    /// That it has ended.
    Ended,
}

#[derive(Clone, Debug, Hash)]
enum Change {
    Began { since: Timestamp, cause: BreakerCause },
    Ended,
}

impl OutageNotices {
    /// Of a task that was just acquired, whose last owner had reported `open`.
    pub fn new(open: Option<OpenOutage>, now: Timestamp, settings: &Settings) -> Self {
        let open = open.filter(|_| rules::knows_outages(settings)).map(|open| (open, now));
        OutageNotices { open, ..OutageNotices::default() }
    }

    /// Whether a notice is due.
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

    /// The outage that was reported and has not ended.
    pub fn open(&self) -> Option<OpenOutage> {
        self.open.as_ref().map(|(open, _)| open.clone())
    }

    /// Whether there may be something to tell.
    pub fn may_change(&self, breaker: &Breaker) -> bool {
        breaker.is_open() || self.open.is_some() || self.change.is_some()
    }

    /// Looks whether there is something to tell; `is_idle` if nothing of the task waits.
    pub fn look(&mut self, breaker: &Breaker, is_idle: bool, settings: &Settings, now: Timestamp) {
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

    /// Takes what the task of `partition` reports next: the outage, and whether it begins or has ended.
    pub fn take_change(&mut self, partition: i32, now: Timestamp) -> Option<(OpenOutage, Phase)> {
        let (outage, phase) = match self.change.take()? {
            Change::Began { since, cause } => {
                // Not by when it began: a worker may tell of it once more that has the task back from one that told its end.
                let id = format!("{partition}-{}", now.0).into();
                (OpenOutage { id, began_at: since, cause: cause.code().into() }, Phase::Began)
            }
            Change::Ended => (self.open.take()?.0, Phase::Ended),
        };
        self.open = (phase == Phase::Began).then(|| (outage.clone(), now));
        self.is_news = true;
        Some((outage, phase))
    }
}
