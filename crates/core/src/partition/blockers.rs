//! Three of the reasons why a job may have to wait before it may ask: a review, a doubt, and a creation of somebody who could
//! be the same person. The order of all reasons is in `decide.rs`.

use crate::booking::Booking;
use crate::healthflow::Request;
use crate::partition::intents::Doubt;
use crate::partition::job::Job;
use crate::partition::recent_creations::Obstacle;
use crate::partition::rules;
use crate::partition::subject::Subject;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::patient::Person;
use crate::settings::{GuardMode, Settings};
use crate::state::{BookingState, WriteOperation};
use crate::time::Timestamp;

/// What a doubt allows now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtVerdict {
    /// It can no longer land unseen: settle it.
    Settle,
    /// The same may be sent again at once: a create under the same key, an update of the same revision (rule W5).
    Repeat,
    /// Nothing may be sent before this.
    Wait(Timestamp),
    /// A request under it, or the look-up that settles it, is under way.
    UnderWay,
}

/// Whether an unknown person may be searched for, or created, now (rule W7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Yes.
    Now,
    /// Not before this.
    At(Timestamp),
    /// Once a creation of somebody else in the practice has its outcome.
    AfterCreations,
    /// No: the search is dropped and repeated at this moment, when it shows what we created since.
    SearchAnewAt(Timestamp),
    /// No: what was searched is dropped, and searched again now; `outlived`: because it took too long.
    SearchAnew { outlived: bool },
}

impl View<'_> {
    /// What the doubt about `subject` allows; none if there is no doubt. Nobody whose version is over repeats its write, so
    /// that it becomes quiet.
    pub(super) fn verdict(
        &self,
        subject: &Subject,
        is_over: bool,
        now: Timestamp,
        settings: &Settings,
    ) -> Option<DoubtVerdict> {
        let doubt = self.intents.doubt(subject)?;
        if self.intents.is_in_flight(subject) {
            return Some(DoubtVerdict::UnderWay);
        }
        let is_safe = match subject {
            Subject::Booking(key) => {
                let state = self.ledger.bookings().get_hot(key);
                state.is_some_and(|state| is_write_safe(state, now, settings))
            }
            Subject::Patient(key) => {
                let intent = self.ledger.patients().get_hot(key).and_then(|state| state.intent.as_ref());
                intent.is_some_and(|intent| is_create_safe(intent.since, now, settings))
            }
        };
        Some(verdict(&doubt, is_safe && !is_over, now, settings))
    }

    /// Whether `request` may search for an unknown person, or create one, now. The task creates no person who could be one
    /// that it created a moment ago (rule W7).
    pub(super) fn opening(
        &self,
        booking: &Booking,
        job: &Job,
        request: &Request,
        turn: &Turn<'_>,
    ) -> Opening {
        let (now, settings) = (turn.now, turn.settings);
        let patient = booking.patient_key();
        match request {
            Request::SearchPatients { .. } if job.search.is_none() => {
                let opens_at = self.intents.fenced_at().plus_ms(settings.search_lag_ms);
                if now < opens_at {
                    Opening::At(opens_at)
                } else if rules::waits_for_inherited(self.recent_creations, &patient, settings) {
                    Opening::AfterCreations
                } else {
                    Opening::Now
                }
            }
            Request::CreatePatient { .. }
                if rules::waits_for_inherited(self.recent_creations, &patient, settings) =>
            {
                Opening::AfterCreations
            }
            Request::CreatePatient { .. } if rules::heeds_own_creations(settings) => {
                self.creation_opening(booking, job, turn)
            }
            _ => Opening::Now,
        }
    }

    fn creation_opening(&self, booking: &Booking, job: &Job, turn: &Turn<'_>) -> Opening {
        let (now, settings) = (turn.now, turn.settings);
        let started_at = job.search.as_ref().map_or(now, |search| search.started_at);
        let (patient, person) = (booking.patient_key(), Person::from(&booking.patient));
        match self.recent_creations.obstacle(&patient, &person, started_at, settings.search_lag_ms) {
            Some(Obstacle::Open) => Opening::AfterCreations,
            Some(Obstacle::SearchAgainAt(at)) if at > now => Opening::SearchAnewAt(at),
            Some(Obstacle::SearchAgainAt(_)) => Opening::SearchAnew { outlived: false },
            None if now.since_ms(started_at) > job.search_life_ms() => Opening::SearchAnew { outlived: true },
            None => Opening::Now,
        }
    }
}

/// What a doubt allows, given whether its write may be repeated.
fn verdict(doubt: &Doubt, is_safe: bool, now: Timestamp, settings: &Settings) -> DoubtVerdict {
    if rules::is_quiet(doubt, now, settings) {
        DoubtVerdict::Settle
    } else if is_safe && !doubt.repeat_refused {
        DoubtVerdict::Repeat
    } else {
        DoubtVerdict::Wait(doubt.settles_at)
    }
}

/// Whether the open write of a booking may be repeated.
fn is_write_safe(state: &BookingState, now: Timestamp, settings: &Settings) -> bool {
    state.intent.as_ref().is_some_and(|intent| match intent.operation {
        WriteOperation::Create => is_create_safe(intent.since, now, settings),
        // Of all PUTs that name one revision, one is carried out; then it has passed.
        WriteOperation::Update => {
            let revision = state.placement.as_ref().and_then(|placement| placement.revision.as_ref());
            revision.is_some() && revision == intent.if_match.as_ref()
        }
    })
}

/// Whether a create whose intent was opened at `since` may be repeated: its key must still be remembered when the repeat
/// lands, which may be late. An intent of the future comes from a wrong clock: its age is unknown.
fn is_create_safe(since: Timestamp, now: Timestamp, settings: &Settings) -> bool {
    let is_of_our_time = rules::is_of_our_time(since, now, settings);
    match settings.guard {
        GuardMode::IdempotencyKey => {
            is_of_our_time && now < since.plus_ms(settings.key_retention_ms - settings.settle_ms())
        }
        GuardMode::UniqueReference => true,
        GuardMode::Reference | GuardMode::Search => false,
    }
}
