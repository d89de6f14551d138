//! The topics by their roles. Every topic of tasks has the same partition count, and all that derives from a record goes to
//! the same partition number, so that one number is one self-contained task.

use std::borrow::Cow;
use std::sync::Arc;

/// The input topics of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// `appointments.requested`, by group assignment: owning it is owning the task.
    Requested,
    /// `appointments.retry`, assigned by hand.
    Retry,
    /// `appointments.decisions`, assigned by hand.
    Decisions,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Lane; 3] = [Lane::Requested, Lane::Retry, Lane::Decisions];

    /// The topic it reads.
    pub const fn topic(self) -> &'static str {
        match self {
            Lane::Requested => REQUESTED,
            Lane::Retry => RETRY,
            Lane::Decisions => DECISIONS,
        }
    }

    /// Whether its records are versions that products ask for: how far a task has read it says what it has seen, and only there
    /// it may begin at the end.
    pub const fn brings_requests(self) -> bool {
        match self {
            Lane::Requested => true,
            Lane::Retry | Lane::Decisions => false,
        }
    }

    /// Whether its records are versions that were parked: each is the place in which its version waits.
    pub const fn brings_parked(self) -> bool {
        match self {
            Lane::Retry => true,
            Lane::Requested | Lane::Decisions => false,
        }
    }

    /// Whether a record that is not read yet is a booking that waits.
    pub const fn brings_bookings(self) -> bool {
        match self {
            Lane::Requested | Lane::Retry => true,
            Lane::Decisions => false,
        }
    }

    /// The lane that reads `topic`; none if it is not an input topic.
    pub fn of(topic: &str) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| lane.topic() == topic)
    }

    /// The position of `offset` in it.
    pub const fn at(self, offset: i64) -> Position {
        Position { lane: self, offset }
    }

    /// Its offset among the positions of several lanes.
    pub fn offset_in(self, positions: &[Position]) -> Option<i64> {
        positions.iter().find(|position| position.lane == self).map(|position| position.offset)
    }
}

/// Where a record of a task is, or where a lane goes on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The lane.
    pub lane: Lane,
    /// The offset in the partition of the lane's topic.
    pub offset: i64,
}

/// What DentScheduler asks for.
pub const REQUESTED: &str = "appointments.requested";
/// History of practices that are new to us.
pub const BACKFILL: &str = "appointments.backfill";
/// Bookings that wait.
pub const RETRY: &str = "appointments.retry";
/// Versions that ended well.
pub const SYNCED: &str = "appointments.synced";
/// Bookings that a person must decide on.
pub const REVIEW: &str = "appointments.review";
/// Who has seen which patient's data, to decide about them.
pub const AUDIT: &str = "appointments.audit";
/// What people decided about them.
pub const DECISIONS: &str = "appointments.decisions";
/// Dead letters.
pub const FAILED: &str = "appointments.failed";
/// What those who wait should know before there is a result.
pub const NOTICES: &str = "appointments.notices";
/// State of patients.
pub const PATIENT_STATE: &str = "patients.state";
/// State of bookings.
pub const APPOINTMENT_STATE: &str = "appointments.state";

/// The topics whose ids state remembers: a task reads them again, by offset or as a whole.
pub const IDENTIFIED: [&str; 5] = [REQUESTED, RETRY, DECISIONS, PATIENT_STATE, APPOINTMENT_STATE];

/// What operators set by hand while workers run: pauses, limits and weights. One partition, which every worker reads.
pub const CONTROLS: &str = "healthflow.controls";

/// Where workers get the brokers' time: the leader stamps what it appends. No process reads it.
pub const CLOCK: &str = "healthflow.clock";

/// Every topic that holds records of ours, in the order in which a booking meets them.
pub const ALL: [&str; 12] = [
    REQUESTED,
    BACKFILL,
    RETRY,
    SYNCED,
    REVIEW,
    AUDIT,
    DECISIONS,
    FAILED,
    NOTICES,
    PATIENT_STATE,
    APPOINTMENT_STATE,
    CONTROLS,
];

/// Those that have a partition for each task.
pub fn of_tasks() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().filter(|topic| *topic != CONTROLS)
}

/// What precedes our names on a cluster, so that several fleets can share one. State, metrics, logs and commands use our
/// names without it; only what goes to the cluster or comes from it has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamePrefix(Arc<str>);

impl NamePrefix {
    /// The prefix `prefix`; an empty one leaves every name as it is.
    pub fn new(prefix: &str) -> Self {
        NamePrefix(prefix.into())
    }

    /// What our name `name` is called on the cluster.
    pub fn on_cluster<'name>(&self, name: &'name str) -> Cow<'name, str> {
        if self.0.is_empty() { Cow::Borrowed(name) } else { Cow::Owned(format!("{}{name}", self.0)) }
    }

    /// Our name of what the cluster calls `name`; none if it is not ours.
    pub fn ours<'name>(&self, name: &'name str) -> Option<&'name str> {
        name.strip_prefix(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_on_the_cluster_is_ours_under_our_prefix_only() {
        let (plain, test) = (NamePrefix::default(), NamePrefix::new("test."));
        assert_eq!(plain.on_cluster(RETRY), "appointments.retry");
        assert_eq!(test.on_cluster(RETRY), "test.appointments.retry");
        for topic in ALL {
            assert_eq!(plain.ours(&plain.on_cluster(topic)), Some(topic));
            assert_eq!(test.ours(&test.on_cluster(topic)), Some(topic));
            assert_eq!(test.ours(topic), None);
        }
        assert_eq!(plain.ours("test.appointments.retry").and_then(Lane::of), None);
    }
}
