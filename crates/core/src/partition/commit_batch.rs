//! What one transaction carries: results and their state, together or not at all, and now and then the offsets (rule T2).

use crate::event::Outgoing;
use crate::topics::Position;

/// Everything that finished since the last commit of a task.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub struct CommitBatch {
    /// The records to write, each to the task's partition.
    pub records: Vec<Outgoing>,
    /// The next offset to be read, of every lane (committable offset, rule K3); none if the offsets wait for a later commit.
    pub offsets: Vec<Position>,
}
