//! What a fault of a write means for its intent: whether it may be sent again, is over, or is in doubt (rules W3, W4).

use super::open_write::OpenWrite;
use crate::defects::planted;
use crate::healthflow::Fault;
use crate::healthflow::fault::{NotSent, Unknown};
use crate::partition::task::Turn;
use crate::time::Timestamp;

/// What a fault of a write means for its intent.
#[derive(Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// It had no effect, and the same may be sent again; whether that counts as an attempt.
    SendAgain { counts: bool },
    /// It had no effect and never will: the only request under the intent was refused.
    Refused,
    /// It is not known what became of it, or of an earlier request under the same intent.
    InDoubt,
    /// It had no effect, and neither will anything that was sent under the intent before and has not landed yet: the
    /// revision that all of it names has passed.
    Outdated,
    /// It exists already, under this id.
    Exists(String),
}

/// What `fault` means for the intent `open`, whose request has just ended (rules W3, W4).
pub(super) fn apply(
    open: &mut OpenWrite,
    fault: &Fault,
    settles_at: Timestamp,
    turn: &Turn<'_>,
) -> FaultOutcome {
    match fault {
        Fault::NotSent(not_sent) => {
            open.had_no_effect();
            FaultOutcome::SendAgain { counts: *not_sent == NotSent::Connect }
        }
        Fault::Forbidden => {
            open.had_no_effect();
            FaultOutcome::SendAgain { counts: true }
        }
        Fault::Throttled { .. } | Fault::Unauthorised => {
            open.had_no_effect();
            if planted!(turn.settings, ThrottledRepeatClosesDoubt) {
                (open.doubt, open.sends) = (None, 0);
            }
            FaultOutcome::SendAgain { counts: false }
        }
        Fault::AlreadyThere { existing_id: Some(id) } => FaultOutcome::Exists(id.clone()),
        Fault::Refused { .. } | Fault::SlotTaken | Fault::NotFound(_) => {
            let only_request = open.sends == 1 && open.doubt.is_none();
            open.had_no_effect();
            if only_request || planted!(turn.settings, RefusedRepeatClosesDoubt) {
                return FaultOutcome::Refused;
            }
            if let Some(doubt) = &mut open.doubt {
                doubt.repeat_refused = true;
            }
            FaultOutcome::InDoubt
        }
        Fault::Changed => FaultOutcome::Outdated,
        Fault::Unknown(Unknown::Foreign { .. }) if planted!(turn.settings, ForeignRefusalBelieved) => {
            open.had_no_effect();
            FaultOutcome::Refused
        }
        Fault::Unknown(Unknown::Unavailable { .. })
            if planted!(turn.settings, UnavailableTakenForThrottled) =>
        {
            open.had_no_effect();
            FaultOutcome::SendAgain { counts: false }
        }
        Fault::Unknown(_) => {
            open.doubted(turn.now, settles_at);
            FaultOutcome::InDoubt
        }
        Fault::KeyReused | Fault::AlreadyThere { existing_id: None } => {
            open.doubted(turn.now, settles_at);
            if let Some(doubt) = &mut open.doubt {
                doubt.repeat_refused = true;
                doubt.key_refused |= *fault == Fault::KeyReused;
            }
            FaultOutcome::InDoubt
        }
    }
}

/// The fields that a refusal names.
pub fn fields_of(fault: &Fault) -> Vec<String> {
    match fault {
        Fault::Refused { fields, .. } => fields.clone(),
        _ => Vec::new(),
    }
}
