//! How a version of a booking can end, and the stable codes that name why.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::patient::decide::Evidence;

/// How one version of a booking ended, or that a person must decide first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended well: `appointments.synced`.
    Synced(SyncedOutcome),
    /// A person must decide first, who the patient is or which appointment is meant: `appointments.review`.
    Review {
        /// Why.
        reason: Reason,
        /// How the candidates compare.
        evidence: Vec<Evidence>,
    },
    /// It will never succeed: `appointments.failed`.
    Failed {
        /// Why.
        reason: Reason,
        /// Whose fault, roughly: what an operator does with it.
        disposition: Disposition,
        /// One clause for a person: the field and the rule, never a value.
        detail: Arc<str>,
    },
}

/// The good ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncedOutcome {
    /// The appointment was created.
    Created,
    /// The appointment was changed.
    Updated,
    /// The appointment was cancelled, or never had to be created.
    Cancelled,
    /// Nothing had to be changed.
    Unchanged,
    /// A newer version of the booking counts instead.
    Superseded,
}

/// Why a booking failed or waits: stable codes, documented in `docs/reasons.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// The record is not Avro in a schema we can read.
    Undecodable,
    /// The record has no usable identity: no key, no value, or ids that are empty or contradict each other.
    NoIdentity,
    /// The booking cannot be true; the detail names field and rule.
    Impossible,
    /// HealthFlow refuses the content; the detail names the fields.
    Rejected,
    /// Somebody else has the slot.
    SlotTaken,
    /// It was tried for the longest age, in vain.
    AgeExhausted,
    /// It was tried since before the visit began, in vain.
    VisitBegun,
    /// Several patients of HealthFlow, or one that is only similar, could be this person.
    AmbiguousPatient,
    /// DentScheduler sent a HealthFlow id along that differs from the one we know.
    LinkConflict,
    /// The patient id is linked to a chart, and this booking describes somebody else.
    LinkMismatch,
    /// HealthFlow does not know the id that DentScheduler sent along, or refuses it.
    LinkUnknown,
    /// Workers ended again and again while this booking ran alone.
    CrashSuspect,
    /// Deciding about this booking failed in a way that nobody foresaw.
    Defect,
    /// The answer to a create was lost, and what stands in HealthFlow does not tell which appointment is this booking's.
    AmbiguousAppointment,
    /// It waited in the retry topic, and its record there was deleted with the topic or by hand.
    RecordLost,
    /// The record is larger than what can be written again.
    TooLarge,
}

/// What an operator does with a dead letter (header `disposition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Disposition {
    /// The record itself is at fault: put the producer right.
    Poison,
    /// HealthFlow will not have it: put the booking right.
    Rejected,
    /// Time ran out: redrive it once the cause is gone.
    Exhausted,
    /// A person decided so, or deleted what was needed.
    Operator,
}

impl SyncedOutcome {
    /// Every good end.
    pub const ALL: [SyncedOutcome; 5] = [
        SyncedOutcome::Created,
        SyncedOutcome::Updated,
        SyncedOutcome::Cancelled,
        SyncedOutcome::Unchanged,
        SyncedOutcome::Superseded,
    ];

    /// The code in results, and in lower case the metric label.
    pub const fn code(self) -> &'static str {
        match self {
            SyncedOutcome::Created => "CREATED",
            SyncedOutcome::Updated => "UPDATED",
            SyncedOutcome::Cancelled => "CANCELLED",
            SyncedOutcome::Unchanged => "UNCHANGED",
            SyncedOutcome::Superseded => "SUPERSEDED",
        }
    }
}

impl Reason {
    /// Whether the question is about the booking's version alone: nobody else waits for its answer. Each other booking of
    /// the patient is compared for itself.
    pub const fn holds_nobody_else(self) -> bool {
        matches!(self, Reason::LinkMismatch | Reason::LinkUnknown)
    }

    /// Every reason.
    pub const ALL: [Reason; 16] = [
        Reason::Undecodable,
        Reason::NoIdentity,
        Reason::Impossible,
        Reason::Rejected,
        Reason::SlotTaken,
        Reason::AgeExhausted,
        Reason::VisitBegun,
        Reason::AmbiguousPatient,
        Reason::LinkConflict,
        Reason::LinkMismatch,
        Reason::LinkUnknown,
        Reason::CrashSuspect,
        Reason::Defect,
        Reason::AmbiguousAppointment,
        Reason::RecordLost,
        Reason::TooLarge,
    ];

    /// Those that a version is held for: a person must decide.
    pub const HELD: [Reason; 7] = [
        Reason::AmbiguousPatient,
        Reason::LinkConflict,
        Reason::LinkMismatch,
        Reason::LinkUnknown,
        Reason::AmbiguousAppointment,
        Reason::CrashSuspect,
        Reason::Defect,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Reason::Undecodable => "UNDECODABLE",
            Reason::NoIdentity => "NO_IDENTITY",
            Reason::Impossible => "IMPOSSIBLE",
            Reason::Rejected => "REJECTED",
            Reason::SlotTaken => "SLOT_TAKEN",
            Reason::AgeExhausted => "AGE_EXHAUSTED",
            Reason::VisitBegun => "VISIT_BEGUN",
            Reason::AmbiguousPatient => "AMBIGUOUS_PATIENT",
            Reason::LinkConflict => "LINK_CONFLICT",
            Reason::LinkMismatch => "LINK_MISMATCH",
            Reason::LinkUnknown => "LINK_UNKNOWN",
            Reason::CrashSuspect => "CRASH_SUSPECT",
            Reason::Defect => "DEFECT",
            Reason::AmbiguousAppointment => "AMBIGUOUS_APPOINTMENT",
            Reason::RecordLost => "RECORD_LOST",
            Reason::TooLarge => "TOO_LARGE",
        }
    }
}

impl Disposition {
    /// The code in the header `disposition`.
    pub const fn code(self) -> &'static str {
        match self {
            Disposition::Poison => "POISON",
            Disposition::Rejected => "REJECTED",
            Disposition::Exhausted => "EXHAUSTED",
            Disposition::Operator => "OPERATOR",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whoever meets a code finds out what to do. Method: the headings of the page are the codes, each section
    /// says what to do.
    #[test]
    fn every_reason_has_its_section() {
        let page = include_str!("../../docs/reasons.md");
        let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
        let documented: Vec<&str> = sections.iter().filter_map(|section| section.lines().next()).collect();
        assert_eq!(documented, Reason::ALL.map(Reason::code));
        for section in sections {
            assert!(section.contains("**To do:**"), "{section}");
        }
    }

    #[test]
    fn codes_are_what_serde_writes() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
        }
        for outcome in SyncedOutcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.code());
        }
    }
}
