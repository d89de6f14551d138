//! Everything a worker can be asked to do.

use crate::booking::VersionKey;
use crate::healthflow::Request;
use crate::life::{CallId, Incarnation};
use crate::limits::shared_counter::PermitAsk;
use crate::partition::commit_batch::CommitBatch;
use crate::partition::read_guard::GuardedRange;
use crate::state::TopicIds;
use crate::time::Timestamp;
use crate::topics::{Lane, Position};

/// One thing to do; the order in which effects come out is the order in which they are started.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Fence the old owner, read the committed offsets, restore the state (rule K1). Answered by `TaskAcquired` or
    /// `AcquireFailed`.
    Acquire {
        /// The task.
        partition: i32,
        /// The life to be.
        incarnation: Incarnation,
        /// Not to be started before this (rule T3: two heartbeats after an own loss).
        not_before: Timestamp,
    },
    /// The task is live: read its lanes, and watch that its topics stay what they are. Answered by `Arrived`, `Delayed` or
    /// `Held` for each record, and by `LaneEnded`.
    Fetch {
        /// The task.
        partition: i32,
        /// The life of the task.
        incarnation: Incarnation,
        /// The next offset of each lane.
        next_offsets: Vec<Position>,
        /// Up to where each lane is held until it is to be decoded (rule K6).
        guarded: Vec<Position>,
        /// The topics that these are offsets in.
        topic_ids: TopicIds,
    },
    /// Send this to HealthFlow, once, and bring back whatever becomes of it. Answered by `Answered`, always.
    Call {
        /// Its name.
        call: CallId,
        /// The task it is for: if that life is dropped before the bytes go out, they must not go out.
        partition: i32,
        /// The life of the task.
        incarnation: Incarnation,
        /// For a write: right before the bytes go out, after every queue, `now` plus the margin must be earlier than
        /// this, else the call ends as `NotSent(LeaseOver)` (rule W2). None for a read.
        lease_until: Option<Timestamp>,
        /// Right before the bytes go out `now` must be earlier than this too, or the permit is over; none where the shared counter
        /// gave none.
        permit_until: Option<Timestamp>,
        /// What to send.
        request: Box<Request>,
    },
    /// Ask the shared counter. Answered by `PermitsAnswered`; an answer that takes too long counts as none.
    AskPermits {
        /// The ask.
        ask: Box<PermitAsk>,
    },
    /// Commit this in one transaction of the task's producer. Answered by `CommitEnded`. At most one per task is under
    /// way.
    Commit {
        /// The task.
        partition: i32,
        /// The life of the task.
        incarnation: Incarnation,
        /// Which commit of that life.
        sequence: u64,
        /// What it carries.
        batch: Box<CommitBatch>,
    },
    /// Nothing works on the task any more: it is drained and committed, or was never live. Stop reading it and give the
    /// partition back (rule K2); the group gets it once that holds for every partition that it wants back at the same time.
    Release {
        /// The task.
        partition: i32,
    },
    /// The task's memory is gone: stop reading it, throw its producer away, send nothing of it that is still queued.
    Drop {
        /// The task.
        partition: i32,
        /// The life of the task.
        incarnation: Incarnation,
    },
    /// Decode these records of a lane, which were `Held` (rule K6). Each arrives, or is delayed.
    Decode {
        /// The task.
        partition: i32,
        /// Which.
        release: GuardedRange,
    },
    /// Read these held versions from `appointments.review`: only the topic has their content. Answered by `ContentsRead`, unless the
    /// life of the task ends first.
    ReadContents {
        /// The task.
        partition: i32,
        /// The life of the task.
        incarnation: Incarnation,
        /// Which.
        of: Vec<VersionKey>,
    },
    /// Stop fetching a lane: enough of it is in memory.
    Pause {
        /// The task.
        partition: i32,
        /// The lane.
        lane: Lane,
    },
    /// Fetch the lane again.
    Resume {
        /// The task.
        partition: i32,
        /// The lane.
        lane: Lane,
    },
    /// Every task is given back: the worker may end.
    Stop,
}
