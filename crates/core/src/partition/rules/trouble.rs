//! The rules about what goes wrong, each behind a name: what a fault means for an intent, storms of refusals, pauses, and what is
//! reported of all that.

use crate::booking::PracticeId;
use crate::defects::planted;
use crate::healthflow::fault::Unknown;
use crate::partition::intents::FaultOutcome;
use crate::partition::job::{Job, JobKey, JobStage};
use crate::partition::turn::Turn;
use crate::settings::Settings;

/// A repeat that HealthFlow did nothing about does not settle what an earlier request did (rule W3).
pub(in crate::partition) fn earlier_doubt_stays(settings: &Settings) -> bool {
    !planted!(settings, ThrottledRepeatClosesDoubt)
}

/// A refusal answers for the intent only if its request was the only one under it (rule W3).
pub(in crate::partition) fn answers_for_intent(is_only_request: bool, settings: &Settings) -> bool {
    is_only_request || planted!(settings, RefusedRepeatClosesDoubt)
}

/// What an answer that the contract does not know is believed to mean: nothing. It refuses nothing, and one that is not available
/// may have done it all the same (rules W3, W4).
pub(in crate::partition) fn believed_of(unknown: &Unknown, settings: &Settings) -> Option<FaultOutcome> {
    match unknown {
        Unknown::Foreign { .. } if planted!(settings, ForeignRefusalBelieved) => Some(FaultOutcome::Refused),
        Unknown::Unavailable { .. } if planted!(settings, UnavailableTakenForThrottled) => {
            Some(FaultOutcome::SendAgain { counts: false })
        }
        _ => None,
    }
}

/// What a storm refuses is not final.
pub(in crate::partition) fn storm_defers_refusals(settings: &Settings) -> bool {
    !planted!(settings, StormRefusalsFinal)
}

/// What a storm refuses is not tried, but by a few.
pub(in crate::partition) fn storm_puts_aside(settings: &Settings) -> bool {
    !planted!(settings, StormTriesAll)
}

/// A storm of one practice puts aside what that practice asks, and nothing else.
pub(in crate::partition) fn practice_in_storm<'a>(key: &'a JobKey, turn: &'a Turn<'_>) -> &'a PracticeId {
    let any = || turn.storms.views().find_map(|view| view.of.practice.as_ref());
    let other = if planted!(turn.settings, StormOfOneHoldsAll) { any() } else { None };
    other.unwrap_or(key.practice())
}

/// A version that is tried again because it kept its lane from moving has failed as often as before.
pub(in crate::partition) fn attempts_of_reparked(attempts: u32, settings: &Settings) -> u32 {
    if planted!(settings, ReparkingForgetsAttempts) { 0 } else { attempts }
}

/// A version whose delay was reported is known to have had its notice.
pub(in crate::partition) fn knows_notices(settings: &Settings) -> bool {
    !planted!(settings, DelayToldAgain)
}

/// A new owner knows that an outage was reported.
pub(in crate::partition) fn knows_outages(settings: &Settings) -> bool {
    !planted!(settings, OutageForgotten)
}

/// Time in which an operator has paused a practice counts for no deadline.
pub(in crate::partition) fn pauses_stop_deadlines(settings: &Settings) -> bool {
    !planted!(settings, PauseCountsForDeadlines)
}

/// A job of a practice that is paused asks nothing, not even if it was about to.
pub(in crate::partition) fn stops(job: &Job, settings: &Settings) -> bool {
    job.stage != JobStage::Ready || !planted!(settings, PauseLetsReadyGo)
}

/// A limited practice sends no more than its permits allow.
pub(in crate::partition) fn has_permit(key: &JobKey, turn: &Turn<'_>) -> bool {
    !turn.by_hand.has_no_permit(key.practice(), turn.now) || planted!(turn.settings, PracticeLimitIgnored)
}

/// A pause is no attempt.
pub(in crate::partition) fn count_pause(job: &mut Job, settings: &Settings) {
    if planted!(settings, PauseSpendsAttempts) {
        job.versions.values_mut().for_each(|in_hand| in_hand.schedule.attempts += 1);
    }
}
