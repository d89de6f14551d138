//! What of a task waits for its result, and what for. It looks at every version in memory and is asked once a second, not at
//! each booking.

use crate::booking::check::is_a_wait;
use crate::booking::{Booking, BookingKey, Source};
use crate::hash::HashSet;
use crate::limits::{Breaker, ByHand};
use crate::partition::job::{Job, JobKey, JobStage, Purpose};
use crate::partition::task::Task;
use crate::partition::turn::Shared;
use crate::retry::WaitReason;
use crate::state::Asks;
use crate::status::{NextStep, WaitCounts, WaitPlace};
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
            let place = place_of(WaitPlace::Memory, why, settles || in_doubt.contains(key));
            for (version, in_hand) in &job.versions {
                // A question that is looked at waits for a person all the same.
                if in_hand.position.is_some() || self.held.get(key, *version).is_none() {
                    counts.add(place, why, live_since(&in_hand.booking, now));
                }
            }
        }
        for waiting in self.waiting_room.iter() {
            let booking = &waiting.entry.booking;
            let why = WaitReason::of(&waiting.entry.schedule.last_error).map_or(UNNAMED, WaitReason::code);
            let place = place_of(WaitPlace::Parked, why, in_doubt.contains(&booking.key));
            counts.add(place, why, live_since(booking, now));
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
}

fn place_of(place: WaitPlace, why: &str, is_in_doubt: bool) -> WaitPlace {
    let waits_for_doubt =
        [WaitReason::InDoubt, WaitReason::PatientInDoubt].map(WaitReason::code).contains(&why);
    if is_in_doubt || waits_for_doubt { WaitPlace::Doubt } else { place }
}

/// What a job waits for.
pub(super) fn waits_for(key: &BookingKey, job: &Job, breaker: &Breaker, by_hand: &ByHand) -> &'static str {
    match &job.stage {
        JobStage::Arrived if breaker.is_open() => NextStep::Outage.code(),
        JobStage::Arrived if by_hand.stops(&key.practice) => WaitReason::Paused.code(),
        JobStage::Arrived if by_hand.places(&key.practice).is_some() => WaitReason::Limited.code(),
        JobStage::Arrived => NextStep::Turn.code(),
        JobStage::AwaitsCommit => NextStep::Commit.code(),
        JobStage::Ready => NextStep::Permit.code(),
        JobStage::InFlight(_) => NextStep::Answer.code(),
        JobStage::AwaitsPatient(_) => WaitReason::PatientBusy.code(),
        JobStage::AwaitsTime(_) => job.waits_for.code(),
    }
}

/// When a live booking was asked for, unless that moment is invalid.
fn live_since(booking: &Booking, now: Timestamp) -> Option<Timestamp> {
    let is_live = booking.source == Source::Live && is_a_wait(now.since_ms(booking.requested_at));
    is_live.then_some(booking.requested_at)
}
