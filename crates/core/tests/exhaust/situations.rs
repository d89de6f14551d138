//! Situations that a search must have met, or it proves nothing: counted wherever a step of any path comes into one.

use healthflow_core::fact::{DropCause, Fact};
use healthflow_core::healthflow::Operation;
use healthflow_core::sync::{FailureReason, SyncedOutcome};

use crate::healthflow::Met;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    FoundByLookUp,
    NotFoundByLookUp,
    UpdateSettled,
    ReplayedUnderItsKey,
    KeyReused,
    AlreadyThere,
    SlotTaken,
    RefusedByLease,
    ZombieFenced,
    CommittedAgain,
    Dropped,
    GivenBack,
    Parked,
    CopySkipped,
    Superseded,
    Created,
    Updated,
    Cancelled,
    Unchanged,
    Failed,
    InReview,
    PatientInDoubt,
    LandedLate,
    SlotAwaited,
    Decided,
    DecisionRefused,
}

impl Situation {
    pub const ALL: [Situation; 26] = [
        Situation::FoundByLookUp,
        Situation::NotFoundByLookUp,
        Situation::UpdateSettled,
        Situation::ReplayedUnderItsKey,
        Situation::KeyReused,
        Situation::AlreadyThere,
        Situation::SlotTaken,
        Situation::RefusedByLease,
        Situation::ZombieFenced,
        Situation::CommittedAgain,
        Situation::Dropped,
        Situation::GivenBack,
        Situation::Parked,
        Situation::CopySkipped,
        Situation::Superseded,
        Situation::Created,
        Situation::Updated,
        Situation::Cancelled,
        Situation::Unchanged,
        Situation::Failed,
        Situation::InReview,
        Situation::PatientInDoubt,
        Situation::LandedLate,
        Situation::SlotAwaited,
        Situation::Decided,
        Situation::DecisionRefused,
    ];
}

/// How often each was met.
pub type Count = [u64; Situation::ALL.len()];

pub fn of_fact(fact: &Fact) -> Option<Situation> {
    Some(match fact {
        Fact::DoubtSettled { found: Some(true), .. } => Situation::FoundByLookUp,
        Fact::DoubtSettled { found: Some(false), .. } => Situation::NotFoundByLookUp,
        Fact::DoubtSettled { found: None, .. } => Situation::UpdateSettled,
        Fact::DoubtOpened { operation: Operation::CreatePatient, .. } => Situation::PatientInDoubt,
        Fact::TaskDropped { why: DropCause::CommitLost, .. } => Situation::Dropped,
        Fact::TaskReleased { .. } => Situation::GivenBack,
        Fact::SlotAwaited { .. } => Situation::SlotAwaited,
        Fact::BookingParked { .. } => Situation::Parked,
        Fact::DuplicateSkipped { .. } => Situation::CopySkipped,
        Fact::BookingFailed { reason: FailureReason::DecisionStale, .. } => Situation::DecisionRefused,
        Fact::BookingFailed { .. } => Situation::Failed,
        Fact::DecisionTaken { .. } => Situation::Decided,
        Fact::BookingHeld { .. } => Situation::InReview,
        Fact::TransactionCommitted { aborts: 1.., .. } => Situation::CommittedAgain,
        Fact::BookingSynced { outcome, .. } => match outcome {
            SyncedOutcome::Created => Situation::Created,
            SyncedOutcome::Updated => Situation::Updated,
            SyncedOutcome::Cancelled => Situation::Cancelled,
            SyncedOutcome::Unchanged => Situation::Unchanged,
            SyncedOutcome::Superseded => Situation::Superseded,
        },
        _ => return None,
    })
}

pub fn of_request(met: Met) -> Option<Situation> {
    match met {
        Met::Nothing => None,
        Met::Replayed => Some(Situation::ReplayedUnderItsKey),
        Met::KeyReused => Some(Situation::KeyReused),
        Met::AlreadyThere => Some(Situation::AlreadyThere),
        Met::SlotTaken => Some(Situation::SlotTaken),
    }
}
