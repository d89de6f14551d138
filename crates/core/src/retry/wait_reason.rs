//! Why a version waits: `last_error` of its retry record. The codes are stable and documented, so that a reader of the topic
//! or of a dead letter's detail can look up what a booking waited for. Those of faults are also the `class` of a call in
//! metrics and logs.

use std::fmt;

use crate::coded::coded;
use crate::healthflow::Fault;
use crate::healthflow::fault::{NotSent, Unknown};
use crate::limits::BreakerCause;

coded! {
    /// Why a version waits: stable codes, documented in `docs/waits.md`.
    pub enum WaitReason {
        /// A write of the booking is in doubt (rule W4).
        InDoubt = "in_doubt",
        /// The creation of its patient is in doubt (rule W4).
        PatientInDoubt = "patient_in_doubt",
        /// A patient who could be the same person is being created, or was a moment ago (rule W7).
        RecentCreations = "newcomers",
        /// Another booking of the patient is in work.
        PatientBusy = "patient_busy",
        /// Another booking that may have ended workers runs alone (rule K6).
        CrashSuspect = "crash_suspect",
        /// It waited so long for its first try that fresh bookings go before it.
        Overdue = "overdue",
        /// Another booking is about to free the slot (rule K11).
        AwaitsSlot = "awaits_slot",
        /// An operator paused its practice.
        Paused = "paused",
        /// An operator limited its practice, which has more to send than it may.
        Limited = "limited",
        /// HealthFlow refuses nearly everything of this kind.
        RejectionStorm = "REJECTION_STORM",
        /// All reads of this kind fail; one job asks for all.
        ReadsFail = "reads_fail",
        /// A limit of HealthFlow has nothing left for it.
        Limit = "limit",
        /// HealthFlow showed an older revision than one it had shown before.
        StaleRead = "stale_read",
        /// HealthFlow does not know an appointment, which cannot be believed yet.
        AppointmentNotFound = "appointment_not_found",
        /// HealthFlow does not know a patient, which cannot be believed yet.
        PatientNotFound = "patient_not_found",
        /// What is done about it was decided again and again without an end: a fault of ours.
        Undecided = "undecided",
        /// There was no connection.
        Connect = "connect",
        /// The lease ended before the request went out (rule W2).
        LeaseOver = "lease_over",
        /// No answer came in time.
        Timeout = "timeout",
        /// The connection broke before the answer came.
        Reset = "reset",
        /// HealthFlow answered 5xx.
        ServerError = "server_error",
        /// HealthFlow answered 503 with `Retry-After`.
        Unavailable = "unavailable",
        /// The answer could not be read.
        Unreadable = "unreadable",
        /// A proxy between us and HealthFlow answered.
        Foreign = "foreign",
        /// HealthFlow answered 429.
        Throttled = "throttled",
        /// HealthFlow refused the token.
        Unauthorised = "unauthorised",
        /// HealthFlow answered 403.
        Forbidden = "forbidden",
        /// HealthFlow refused the content.
        Refused = "refused",
        /// HealthFlow does not know what was asked for.
        NotFound = "not_found",
        /// HealthFlow has it already.
        AlreadyThere = "already_there",
        /// The slot is taken.
        SlotTaken = "slot_taken",
        /// The idempotency key was used for something else.
        KeyReused = "key_reused",
        /// The revision is not the current one any more.
        Changed = "changed",
    }
}

impl WaitReason {
    /// The reason that has this code; none if no reason has.
    pub fn of(code: &str) -> Option<WaitReason> {
        WaitReason::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Whether HealthFlow did not answer, as far as one can tell: no connection, no answer, 5xx, or nothing that it says.
    pub const fn is_no_answer(self) -> bool {
        self.no_answer().is_some()
    }

    /// The same as what it is to the breaker; none if HealthFlow answered.
    pub const fn no_answer(self) -> Option<BreakerCause> {
        match self {
            WaitReason::Connect => Some(BreakerCause::Connect),
            WaitReason::Timeout => Some(BreakerCause::Timeout),
            WaitReason::Reset => Some(BreakerCause::Reset),
            WaitReason::ServerError => Some(BreakerCause::ServerError),
            WaitReason::Unavailable => Some(BreakerCause::Unavailable),
            WaitReason::Unreadable => Some(BreakerCause::Unreadable),
            WaitReason::Foreign => Some(BreakerCause::Foreign),
            _ => None,
        }
    }

    /// Whether it waits for what an operator set by hand.
    pub fn is_stopped_by_hand(self) -> bool {
        matches!(self, WaitReason::Paused | WaitReason::Limited)
    }

    /// Whether it waits for the end of a storm of refusals.
    pub fn is_storm(self) -> bool {
        self == WaitReason::RejectionStorm
    }

    /// Whether HealthFlow asked to wait.
    pub fn is_asked_to_wait(self) -> bool {
        matches!(self, WaitReason::Throttled | WaitReason::Unavailable)
    }

    /// Whether it is unknown when the wait ends: it is up to an operator or to HealthFlow.
    pub fn ends_unforeseen(self) -> bool {
        self.is_stopped_by_hand() || matches!(self, WaitReason::Limit | WaitReason::RejectionStorm)
    }
}

impl From<&Fault> for WaitReason {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::NotSent(NotSent::Connect) => WaitReason::Connect,
            Fault::NotSent(NotSent::LeaseOver) => WaitReason::LeaseOver,
            Fault::Unknown(Unknown::Timeout) => WaitReason::Timeout,
            Fault::Unknown(Unknown::Reset) => WaitReason::Reset,
            Fault::Unknown(Unknown::ServerError) => WaitReason::ServerError,
            Fault::Unknown(Unknown::Unavailable { .. }) => WaitReason::Unavailable,
            Fault::Unknown(Unknown::Unreadable) => WaitReason::Unreadable,
            Fault::Unknown(Unknown::Foreign { .. }) => WaitReason::Foreign,
            Fault::Throttled { .. } => WaitReason::Throttled,
            Fault::Unauthorised => WaitReason::Unauthorised,
            Fault::Forbidden => WaitReason::Forbidden,
            Fault::Refused { .. } => WaitReason::Refused,
            Fault::NotFound(_) => WaitReason::NotFound,
            Fault::AlreadyThere { .. } => WaitReason::AlreadyThere,
            Fault::SlotTaken => WaitReason::SlotTaken,
            Fault::KeyReused => WaitReason::KeyReused,
            Fault::Changed => WaitReason::Changed,
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the page explains each code. Method: it has a section for each, in the same order, which says
    /// how the wait ends.
    #[test]
    fn every_wait_has_its_section() {
        let page = include_str!("../../../../docs/waits.md");
        let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
        let documented: Vec<&str> = sections.iter().filter_map(|section| section.lines().next()).collect();
        assert_eq!(documented, WaitReason::ALL.map(WaitReason::code));
        for section in sections {
            assert!(section.contains("**It ends**"), "{section}");
        }
    }

    #[test]
    fn a_fault_has_one_name_in_metrics_and_in_retry_records() {
        let faults = [
            (Fault::NotSent(NotSent::Connect), "connect"),
            (Fault::NotSent(NotSent::LeaseOver), "lease_over"),
            (Fault::Unknown(Unknown::Timeout), "timeout"),
            (Fault::Unknown(Unknown::Unreadable), "unreadable"),
            (Fault::Throttled { retry_after_ms: None }, "throttled"),
            (Fault::Forbidden, "forbidden"),
            (Fault::SlotTaken, "slot_taken"),
            (Fault::KeyReused, "key_reused"),
            (Fault::Changed, "changed"),
        ];
        for (fault, code) in faults {
            assert_eq!(WaitReason::from(&fault).code(), code);
        }
    }

    #[test]
    fn a_fault_that_opens_the_breaker_is_a_cause_of_its_name() {
        let causes = WaitReason::ALL.into_iter().filter_map(|reason| Some((reason, reason.no_answer()?)));
        let causes: Vec<BreakerCause> = causes
            .inspect(|(reason, cause)| assert_eq!(reason.code(), cause.code()))
            .map(|(_, cause)| cause)
            .collect();
        let all = BreakerCause::ALL.into_iter().filter(|cause| *cause != BreakerCause::Slow);
        assert_eq!(causes, all.collect::<Vec<_>>());
    }
}
