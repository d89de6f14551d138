//! How a version of a booking can end, and the stable codes of the reasons.

use std::sync::Arc;

use crate::coded::coded;
use crate::patient::decide::Evidence;

/// How one version of a booking ended, or that a person must decide first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended well: `appointments.synced`.
    Synced(SyncedOutcome),
    /// A person must decide first, who the patient is or which appointment is meant: `appointments.review`.
    Review {
        /// Why.
        reason: ReviewReason,
        /// How the candidates compare.
        evidence: Vec<Evidence>,
    },
    /// It will never succeed: `appointments.failed`.
    Failed {
        /// Why.
        reason: FailureReason,
        /// What an operator does with it.
        disposition: Disposition,
        /// One clause for a person: the field and the rule, never a value.
        detail: Arc<str>,
    },
}

coded! {
    /// The good ends.
    pub enum SyncedOutcome {
        /// The appointment was created.
        Created = "CREATED",
        /// The appointment was changed.
        Updated = "UPDATED",
        /// The appointment was cancelled, or never had to be created.
        Cancelled = "CANCELLED",
        /// Nothing had to be changed.
        Unchanged = "UNCHANGED",
        /// A newer version of the booking counts instead.
        Superseded = "SUPERSEDED",
    }
}

coded! {
    /// Why a booking failed: stable codes, documented in `docs/reasons.md`.
    pub enum FailureReason {
        /// The record is not Avro in a schema we can read.
        Undecodable = "UNDECODABLE",
        /// The record has no usable identity: no key, no value, or ids that are empty or contradict each other.
        NoIdentity = "NO_IDENTITY",
        /// The booking is invalid; the detail names field and rule.
        Impossible = "IMPOSSIBLE",
        /// HealthFlow refuses the content; the detail names the fields.
        Rejected = "REJECTED",
        /// Another appointment has the slot.
        SlotTaken = "SLOT_TAKEN",
        /// It was tried in vain until its longest age.
        AgeExhausted = "AGE_EXHAUSTED",
        /// It was tried in vain since before the visit began.
        VisitBegun = "VISIT_BEGUN",
        /// Workers ended again and again while they read this record alone.
        CrashSuspect = "CRASH_SUSPECT",
        /// It waited in the retry topic, and its record there was deleted with the topic or by hand.
        RecordLost = "RECORD_LOST",
        /// The record is too large to be written again.
        TooLarge = "TOO_LARGE",
        /// A person decided in review that it is not to be booked.
        RejectedInReview = "REJECTED_IN_REVIEW",
        /// A decision about a version that nobody holds for a person, and never held as far as is known.
        DecisionUnknown = "DECISION_UNKNOWN",
        /// A decision about a question that is decided already, or has changed since.
        DecisionStale = "DECISION_STALE",
        /// A decision that the reason of the review does not allow, or that contradicts what is known.
        DecisionContradicts = "DECISION_CONTRADICTS",
    }
}

coded! {
    /// Why a booking waits for a person: stable codes, documented in `docs/reasons.md`.
    pub enum ReviewReason {
        /// Several patients in HealthFlow, or one that is only similar, could be this person.
        AmbiguousPatient = "AMBIGUOUS_PATIENT",
        /// DentScheduler sent a HealthFlow id along that differs from the one we know.
        LinkConflict = "LINK_CONFLICT",
        /// The patient id is linked to a chart, and this booking describes somebody else.
        LinkMismatch = "LINK_MISMATCH",
        /// HealthFlow does not know the id that DentScheduler sent along, or refuses it.
        LinkUnknown = "LINK_UNKNOWN",
        /// A person undid the link of this patient to a chart, and nobody has said yet which one is right.
        Unlinked = "UNLINKED",
        /// The answer to a create was lost, and HealthFlow does not show which appointment is this booking's.
        AmbiguousAppointment = "AMBIGUOUS_APPOINTMENT",
        /// Workers ended again and again while this booking ran alone.
        CrashSuspect = "CRASH_SUSPECT",
        /// Deciding about this booking failed in an unforeseen way.
        Defect = "DEFECT",
        /// The review of another booking must be decided first.
        BehindReview = "BEHIND_REVIEW",
    }
}

coded! {
    /// What an operator does with a dead letter (header `disposition`).
    pub enum Disposition {
        /// The record itself is wrong: correct the producer.
        Poison = "POISON",
        /// HealthFlow refuses it: correct the booking.
        Rejected = "REJECTED",
        /// Time ran out: redrive it once the cause is gone.
        Exhausted = "EXHAUSTED",
        /// A person decided so, or deleted what was needed.
        Operator = "OPERATOR",
    }
}

impl FailureReason {
    /// What an operator does with a dead letter of this reason.
    pub const fn disposition(self) -> Disposition {
        match self {
            FailureReason::Undecodable
            | FailureReason::NoIdentity
            | FailureReason::Impossible
            | FailureReason::TooLarge
            | FailureReason::CrashSuspect => Disposition::Poison,
            FailureReason::Rejected | FailureReason::SlotTaken => Disposition::Rejected,
            FailureReason::AgeExhausted | FailureReason::VisitBegun => Disposition::Exhausted,
            FailureReason::RecordLost
            | FailureReason::RejectedInReview
            | FailureReason::DecisionUnknown
            | FailureReason::DecisionStale
            | FailureReason::DecisionContradicts => Disposition::Operator,
        }
    }
}

impl ReviewReason {
    /// Whether the question concerns only this version: no other booking waits for the answer. Each other booking of the
    /// patient is compared for itself.
    pub const fn holds_nobody_else(self) -> bool {
        matches!(self, ReviewReason::LinkMismatch | ReviewReason::LinkUnknown)
    }

    /// Whether HealthFlow may answer the question by itself: a doubt, a suspect, and a patient whose link a person undid are a
    /// person's.
    pub const fn may_answer_itself(self) -> bool {
        match self {
            ReviewReason::AmbiguousPatient
            | ReviewReason::LinkUnknown
            | ReviewReason::LinkConflict
            | ReviewReason::LinkMismatch => true,
            ReviewReason::AmbiguousAppointment
            | ReviewReason::Unlinked
            | ReviewReason::CrashSuspect
            | ReviewReason::Defect
            | ReviewReason::BehindReview => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the page has what to do for each code. Method: the headings of the page are the codes, each section
    /// says what to do.
    #[test]
    fn every_reason_has_its_section() {
        let page = include_str!("../../../../docs/reasons.md");
        let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
        let mut documented: Vec<&str> =
            sections.iter().filter_map(|section| section.lines().next()).collect();
        documented.sort_unstable();
        let failures = FailureReason::ALL.map(FailureReason::code);
        let codes = failures.into_iter().chain(ReviewReason::ALL.map(ReviewReason::code));
        assert_eq!(
            documented,
            codes.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        );
        for section in &sections {
            assert!(section.contains("**To do:**"), "{section}");
        }
        for reason in FailureReason::ALL {
            let of_reason = |section: &&&str| section.lines().next() == Some(reason.code());
            let section = sections.iter().find(of_reason).expect("its section");
            let named = format!("`{}`", reason.disposition().code());
            assert!(section.contains(&named), "{named}: {section}");
        }
    }

    #[test]
    fn codes_are_what_serde_writes() {
        for reason in FailureReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
        }
        for reason in ReviewReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
        }
        for outcome in SyncedOutcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.code());
        }
    }
}
