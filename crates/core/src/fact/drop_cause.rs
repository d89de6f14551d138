//! Why a task ends without being given back.

use crate::life::LaneEnd;

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
