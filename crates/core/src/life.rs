//! The lives of tasks and calls: by which numbers an answer is told from one that comes too late, and how what a task reads can
//! end. Stands below the tasks, for whoever tells of them.

use crate::topics::Lane;

/// Which life of a task in this process: rises with every acquisition. What belongs to an earlier life is ignored.
pub type Incarnation = u64;

/// Names one call of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// How reading a topic of a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneEnd {
    /// Nothing is fetched any more: the position is out of range, or the reader met an error that it does not mend.
    ReadingEnded,
    /// The topic does not exist.
    TopicGone,
    /// Another topic has its name.
    TopicMadeAnew,
}

/// A position that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LostPosition {
    /// Of which lane.
    pub lane: Lane,
    /// How.
    pub why: Loss,
    /// What it was, where anybody knows.
    pub from: Option<i64>,
    /// Where the lane goes on.
    pub to: i64,
}

/// How a position is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The group forgot it; the copy in state is as good.
    OffsetForgotten,
    /// What lies there was deleted before it was read.
    RecordsDeleted,
    /// Its topic is no more; another one has its name.
    TopicMadeAnew,
}
