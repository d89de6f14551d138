//! What of a task waits for its result, and what for. It looks at every version in memory and is asked once a second, not at
//! each booking.

use crate::booking::check::is_a_wait;
use crate::booking::{Booking, BookingKey, Source};
use crate::hash::HashSet;
use crate::limits::{Breaker, ByHand};
use crate::partition::job::{Job, JobKey, JobStage, Purpose, Share};
use crate::partition::task::Task;
use crate::partition::turn::Shared;
use crate::retry::WaitReason;
use crate::state::Asks;
use crate::status::{ClassWaits, NextStep, WaitCounts, WaitPlace};
use crate::sync::ReviewReason;
use crate::time::Timestamp;

/// Why a parked version waits whose record does not say it in our words.
const UNNAMED: &str = "other";

impl Task {
    /// Adds every version that this task knows of and that waits for its result.
    pub fn count_waits(&self, counts: &mut WaitCounts, shared: &Shared, now: Timestamp) {
        let in_doubt: HashSet<&BookingKey> = self.intents.bookings_in_doubt().collect();
        for (key, job) in self.jobs.entries() {
            let JobKey::Booking(key) = key else { continue };
            let why = waits_for(key, job, &shared.breaker, &shared.by_hand);
            let settles =
                matches!(&job.stage, JobStage::InFlight(flight) if flight.purpose == Purpose::Settle);
            let place = place_of(WaitPlace::Memory, Some(why), settles || in_doubt.contains(key));
            for (version, in_hand) in &job.versions {
                // A question that is looked at waits for a person all the same.
                if in_hand.position.is_some() || self.held.get(&key.version(*version)).is_none() {
                    counts.add(place, why.code(), live_since(&in_hand.booking, now));
                }
            }
        }
        for waiting in self.waiting_room.iter() {
            let booking = &waiting.entry.booking;
            let why = waiting.reason();
            let place =
                place_of(WaitPlace::Parked, why.map(HeldUpBy::Reason), in_doubt.contains(&booking.key));
            counts.add(place, why.map_or(UNNAMED, WaitReason::code), live_since(booking, now));
        }
        for since in self.progress.delayed_bookings() {
            counts.add(WaitPlace::Memory, NextStep::Schema.code(), since);
        }
        for (held, _) in self.held.iter() {
            let reason = match held.asks {
                Asks::Person { reason, .. } => reason,
                Asks::Review(_) => ReviewReason::BehindReview,
            };
            counts.add(WaitPlace::Review, reason.code(), Some(held.since));
        }
    }

    /// Adds every booking in memory that has no call under way to the counts of its class.
    pub fn count_classes(&self, counts: &mut [ClassWaits; Share::ALL.len()]) {
        let waits = |job: &&Job| !matches!(job.stage, JobStage::InFlight(_));
        for job in self.jobs.iter().filter(waits) {
            let counted = &mut counts[Share::of(job, Purpose::Flow).index()];
            counted.count += 1;
            let read_at = job.versions.values().map(|in_hand| in_hand.taken_up_at).min();
            counted.oldest_at = counted.oldest_at.into_iter().chain(read_at).min();
        }
    }
}

fn place_of(place: WaitPlace, why: Option<HeldUpBy>, is_in_doubt: bool) -> WaitPlace {
    let waits_for_doubt =
        matches!(why, Some(HeldUpBy::Reason(WaitReason::InDoubt | WaitReason::PatientInDoubt)));
    if is_in_doubt || waits_for_doubt { WaitPlace::Doubt } else { place }
}

/// What holds a version: its next step, or what must come before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldUpBy {
    /// It goes on with this as soon as it is its turn.
    Step(NextStep),
    /// It waits for this.
    Reason(WaitReason),
}

impl HeldUpBy {
    /// The stable code, as on the status page and in notices.
    pub const fn code(self) -> &'static str {
        match self {
            HeldUpBy::Step(step) => step.code(),
            HeldUpBy::Reason(reason) => reason.code(),
        }
    }

    /// Whether it is unknown when that ends.
    pub fn ends_unforeseen(self) -> bool {
        match self {
            HeldUpBy::Step(step) => step == NextStep::Outage,
            HeldUpBy::Reason(reason) => reason.ends_unforeseen(),
        }
    }
}

/// What a job waits for.
pub(super) fn waits_for(key: &BookingKey, job: &Job, breaker: &Breaker, by_hand: &ByHand) -> HeldUpBy {
    use HeldUpBy::{Reason, Step};
    match &job.stage {
        JobStage::Arrived if breaker.is_open() => Step(NextStep::Outage),
        JobStage::Arrived if by_hand.stops(&key.practice) => Reason(WaitReason::Paused),
        JobStage::Arrived if by_hand.places(&key.practice).is_some() => Reason(WaitReason::Limited),
        JobStage::Arrived => Step(NextStep::Turn),
        JobStage::AwaitsCommit => Step(NextStep::Commit),
        JobStage::Ready => Step(NextStep::Permit),
        JobStage::InFlight(_) => Step(NextStep::Answer),
        JobStage::AwaitsPatient(_) => Reason(WaitReason::PatientBusy),
        JobStage::AwaitsTime(_) => Reason(job.waits_for.reason()),
    }
}

/// When a live booking was asked for, unless that moment is invalid.
fn live_since(booking: &Booking, now: Timestamp) -> Option<Timestamp> {
    let is_live = booking.source == Source::Live && is_a_wait(now.since_ms(booking.requested_at));
    is_live.then_some(booking.requested_at)
}
