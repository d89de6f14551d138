//! The lives of tasks and calls: the numbers that distinguish an answer from one that comes too late, and how reading a
//! task's topics can end. It is below the tasks, so that facts and status can use it.

use crate::topics::Lane;

/// Which life of a task in this process: rises with every acquisition. What belongs to an earlier life is ignored.
pub type Incarnation = u64;

/// One life of one task in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskLife {
    /// The partition number.
    pub partition: i32,
    /// Which life of it.
    pub incarnation: Incarnation,
}

/// Names one call of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// How reading a topic of a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneEnd {
    /// Nothing is fetched any more: the position is out of range, or the reader met a permanent error.
    ReadingEnded,
    /// The topic does not exist.
    TopicGone,
    /// Another topic has its name.
    TopicRecreated,
}

/// A position that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LostPosition {
    /// The lane.
    pub lane: Lane,
    /// How.
    pub why: Loss,
    /// The old position, if known.
    pub from: Option<i64>,
    /// Where the lane goes on.
    pub to: i64,
}

/// How a position is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The group forgot it; the copy in state is as good.
    OffsetForgotten,
    /// The records there were deleted before they were read.
    RecordsDeleted,
    /// Its topic is gone; another one has its name.
    TopicRecreated,
}
