//! What time does to a question that waits for a person (rule K4): now and then the worker looks whether HealthFlow has become
//! unambiguous meanwhile, and once it reports that the visit draws near. Without it a chart that was merged the same evening
//! would hold its patient until somebody happens to look.

use crate::booking::{BookingKey, Version, VersionKey};
use crate::event::Schedule;
use crate::fact::Fact;
use crate::partition::held_versions::Due;
use crate::partition::job::{InHand, Job};
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::state::{Asks, Held, Hold};
use crate::status::{OpenReviews, ReviewAge};
use crate::sync::ReviewReason;
use crate::time::Timestamp;

impl Task {
    /// Does what is due about the questions that wait.
    pub(super) fn attend_to_reviews(&mut self, turn: &mut Turn<'_>) {
        while let Some((due, of)) = self.held.take_due(turn.now, turn.settings.review_look_again_ms) {
            match due {
                Due::Urgent => {
                    turn.facts.push_back(Fact::ReviewUrgent { key: of.booking, version: of.version });
                }
                Due::Look => self.look_at_review(&of, turn),
            }
        }
    }

    /// Takes a question in hand as if it had just come, behind everything else. It stays a question, which may be decided
    /// meanwhile, until the answer is known.
    pub(super) fn look_at_review(&mut self, of: &VersionKey, turn: &mut Turn<'_>) {
        let VersionKey { booking: key, version } = of;
        let Some(held) = self.held.get(of).filter(|_| self.is_question(key, *version)) else {
            return;
        };
        let Some(booking) = held.content.clone() else { return self.held.want_for_look(of) };
        // Not tried for the first time: what is fresh goes first.
        let schedule =
            Schedule { attempts: held.attempts.max(1), not_before: turn.now, ..Schedule::default() };
        let in_hand = InHand::from_review(booking, schedule, held.order, turn.now);
        turn.facts.push_back(Fact::ReviewLookedAt { key: key.clone(), version: *version });
        self.take_in_hand(in_hand, turn);
    }

    /// Adds what waits for people to `counted`.
    pub fn count_reviews(&self, counted: &mut Vec<OpenReviews>, now: Timestamp) {
        for (held, is_urgent) in self.held.iter() {
            let reason = match held.asks {
                Asks::Person { reason, .. } => reason,
                Asks::Review(_) => ReviewReason::BehindReview,
            };
            let age = ReviewAge::of(now.since_ms(held.since));
            let found = counted.iter().position(|of| (of.reason, of.age) == (reason, age));
            let index = found.unwrap_or_else(|| {
                counted.push(OpenReviews { reason, age, count: 0, urgent: 0 });
                counted.len() - 1
            });
            counted[index].count += 1;
            counted[index].urgent += usize::from(is_urgent);
        }
    }

    /// Whether a person is asked about this version.
    pub(super) fn is_question(&self, key: &BookingKey, version: Version) -> bool {
        let state = self.ledger.bookings().get_hot(key);
        state.is_some_and(|state| state.hold(version) == Some(Hold::Question))
    }

    /// Whether the question is asked already, as it is now: then a look at HealthFlow has brought nothing new.
    pub(super) fn is_asked_already(&self, key: &BookingKey, version: Version, asks: &Asks) -> bool {
        let is_same = |held: &Held| held.asks == *asks;
        self.is_question(key, version) && self.held.get(&key.version(version)).is_some_and(is_same)
    }

    /// The answer is known without a person: the version at work goes on, and state records that in the commit that carries the
    /// answer.
    pub(super) fn end_question(&mut self, key: &BookingKey, job: &Job, turn: &mut Turn<'_>) {
        let Some(version) = job.at_work().map(|at_work| at_work.booking.version) else { return };
        if !self.is_question(key, version) {
            return;
        }
        self.held.take(&key.version(version));
        self.note_hold(key, version, Hold::Released);
        self.outbox.tell(Fact::BookingReleased { key: key.clone(), version });
        self.note_slots(key, Some(job), turn);
    }
}
