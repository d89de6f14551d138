//! What a fault of a write means for its intent: whether it may be sent again, is over, or is in doubt (rules W3, W4).

use super::open_write::OpenWrite;
use crate::healthflow::Fault;
use crate::healthflow::fault::Unknown;
use crate::partition::rules;
use crate::partition::turn::Turn;
use crate::settings::Settings;
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
        Fault::NotSent(_) => {
            open.had_no_effect();
            FaultOutcome::SendAgain { counts: !fault.spends_no_attempt() }
        }
        Fault::Forbidden => {
            open.had_no_effect();
            FaultOutcome::SendAgain { counts: true }
        }
        Fault::Throttled { .. } | Fault::Unauthorised => {
            throttled(open, turn.settings);
            FaultOutcome::SendAgain { counts: false }
        }
        Fault::AlreadyThere { existing_id: Some(id) } => FaultOutcome::Exists(id.clone()),
        Fault::Refused { .. } | Fault::SlotTaken | Fault::NotFound(_) => {
            let is_final = is_refusal_final(open, turn.settings);
            open.had_no_effect();
            if is_final {
                return FaultOutcome::Refused;
            }
            if let Some(doubt) = &mut open.doubt {
                doubt.repeat_refused = true;
            }
            FaultOutcome::InDoubt
        }
        Fault::Changed => FaultOutcome::Outdated,
        Fault::Unknown(unknown) => not_understood(open, unknown, settles_at, turn),
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

/// HealthFlow did nothing about this request; that does not settle an earlier one that is in doubt (rule W3).
fn throttled(open: &mut OpenWrite, settings: &Settings) {
    open.had_no_effect();
    if !rules::earlier_doubt_stays(settings) {
        (open.doubt, open.sends) = (None, 0);
    }
}

/// Whether a refusal answers for the intent (rule W3).
fn is_refusal_final(open: &OpenWrite, settings: &Settings) -> bool {
    rules::answers_for_intent(open.sends == 1 && open.doubt.is_none(), settings)
}

/// An answer that the contract does not know refuses nothing, and one that is not available may have done it all the same:
/// the write is in doubt (rules W3, W4).
fn not_understood(
    open: &mut OpenWrite,
    unknown: &Unknown,
    settles_at: Timestamp,
    turn: &Turn<'_>,
) -> FaultOutcome {
    match rules::believed_of(unknown, turn.settings) {
        Some(believed) => {
            open.had_no_effect();
            believed
        }
        None => {
            open.doubted(turn.now, settles_at);
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
