//! Why and how what a fact reports happened.

use crate::coded::coded;
use crate::life::LaneEnd;

coded! {
    /// How a link changed; the code is the metric label.
    pub enum LinkChange {
        /// The patient came with another name and the same birthday: the link has learnt the name.
        Renamed = "renamed",
        /// The id that DentScheduler sent along is right: HealthFlow does not know ours, or shows it to be somebody else's.
        Replaced = "replaced",
        /// The id that DentScheduler sent along is wrong: ours stays.
        Kept = "kept",
        /// The linked id had been sent along, and HealthFlow does not know it, refuses it, or shows it to be somebody else's.
        Dropped = "dropped",
    }
}

coded! {
    /// Why nothing is sent for a while; the code is the metric label.
    pub enum PauseCause {
        /// HealthFlow answered 429.
        Throttled = "throttled",
        /// HealthFlow answered 503 with `Retry-After`.
        Unavailable = "unavailable",
        /// HealthFlow reports that nothing is left of a limit.
        UsedUp = "used_up",
        /// HealthFlow refused the token.
        Unauthorised = "unauthorised",
        /// HealthFlow answered 403 to several practices.
        Forbidden = "forbidden",
    }
}

coded! {
    /// What HealthFlow has more than once; the code is the metric label.
    pub enum DuplicateOf {
        /// A chart.
        Patient = "patient",
        /// An appointment.
        Appointment = "appointment",
    }
}

/// Why a task was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropCause {
    /// A commit was fenced, unknown, or good over a broken connection (rule T3).
    CommitLost,
    /// The group took the partition away.
    PartitionLost,
    /// Reading one of its topics ended (rule K9).
    LaneEnded {
        /// Which.
        topic: &'static str,
        /// How.
        why: LaneEnd,
    },
}
