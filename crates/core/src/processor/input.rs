//! Everything that can happen to a worker.

use std::sync::Arc;

use crate::booking::Booking;
use crate::event::Arrival;
use crate::healthflow::{LimitsTold, Reply};
use crate::life::{CallId, Incarnation, LaneEnd};
use crate::limits::Controls;
use crate::limits::shared_counter::{Answer, CounterTrouble};
use crate::partition::start::Acquired;
use crate::time::Timestamp;
use crate::topics::Lane;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The group gave us this partition of `appointments.requested`.
    TaskAssigned {
        /// Its number.
        partition: i32,
    },
    /// The acquisition asked for is done: fenced, offsets read, state restored (rule K1).
    TaskAcquired {
        /// Its number.
        partition: i32,
        /// The life it was asked for.
        incarnation: Incarnation,
        /// What it found.
        acquired: Box<Acquired>,
    },
    /// The acquisition failed; the worker has reported why. The processor asks for it again.
    AcquireFailed {
        /// Its number.
        partition: i32,
        /// The life it was asked for.
        incarnation: Incarnation,
    },
    /// The group wants the partition back; it stays ours until we release it (rule K2).
    TaskRevoked {
        /// Its number.
        partition: i32,
    },
    /// The partition is somebody else's already (rule K2).
    TaskLost {
        /// Its number.
        partition: i32,
    },
    /// A record is there whose schema is not known yet: it will arrive later, and the committable offset waits for it.
    Delayed {
        /// The task.
        partition: i32,
        /// The life of the task whose fetch brought it.
        incarnation: Incarnation,
        /// The lane.
        lane: Lane,
        /// Its offset.
        offset: i64,
        /// What it weighs in memory.
        size_bytes: usize,
        /// When it was written, if Kafka has that.
        written_at: Option<Timestamp>,
    },
    /// A record is there that is read with care: an `Effect::Decode` lets the worker decode it, and then it arrives (rule K6).
    Guarded {
        /// The task.
        partition: i32,
        /// The life of the task whose fetch brought it.
        incarnation: Incarnation,
        /// The lane.
        lane: Lane,
        /// Its offset.
        offset: i64,
        /// What it weighs in memory.
        size_bytes: usize,
    },
    /// A record arrived on a lane: in offset order, or after it was `Delayed` or `Held`.
    Arrived {
        /// The task.
        partition: i32,
        /// The life of the task whose fetch brought it.
        incarnation: Incarnation,
        /// The lane.
        lane: Lane,
        /// Its offset.
        offset: i64,
        /// What it weighs in memory.
        size_bytes: usize,
        /// The record, decoded and checked.
        arrival: Arrival,
    },
    /// Held versions were read from `appointments.review`: those of the asked ones that are there.
    ContentsRead {
        /// The task.
        partition: i32,
        /// The life of the task that asked.
        incarnation: Incarnation,
        /// The bookings as they were asked for.
        found: Vec<Arc<Booking>>,
    },
    /// The answer to a call reports HealthFlow's limits. Comes right before the answer itself.
    LimitsTold {
        /// Which call.
        call: CallId,
        /// What it reports.
        told: LimitsTold,
    },
    /// A call ended, one way or another; every call ends exactly once.
    Answered {
        /// Which call.
        call: CallId,
        /// What came of it.
        reply: Reply,
    },
    /// The shared counter answered, or could not be asked.
    PermitsAnswered {
        /// Which ask.
        number: u64,
        /// What it answered; else what is wrong.
        answer: Result<Answer, CounterTrouble>,
    },
    /// A commit ended.
    CommitEnded {
        /// The task.
        partition: i32,
        /// The life whose commit it was.
        incarnation: Incarnation,
        /// Which commit.
        sequence: u64,
        /// How.
        ended: CommitEnded,
    },
    /// A topic of the task cannot be read on from where it was: it is no more, another one has its name, or the records
    /// were deleted. Acquiring the task anew finds out what that calls for (rule K9).
    LaneEnded {
        /// The task.
        partition: i32,
        /// The life of the task that was reading.
        incarnation: Incarnation,
        /// The topic.
        topic: &'static str,
        /// How it ended.
        why: LaneEnd,
    },
    /// What operators set by hand was read anew, and is different.
    ControlsRead {
        /// All of it.
        controls: Controls,
    },
    /// The worker should finish what is under way, commit, give its tasks back and stop.
    StopRequested,
    /// Nothing happened but time.
    TimePassed,
}

/// How a commit ended (rule T3). Aborted ones are committed again by the worker, without asking anybody, and end here
/// only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitEnded {
    /// Known good, over a connection that stayed whole.
    Good {
        /// When it was started: the lease runs from here (rule W2).
        started_at: Timestamp,
        /// How often the batch was aborted and begun again first.
        aborts: u32,
    },
    /// Fenced, outcome unknown, or good over a connection that broke: the task and its memory are dropped.
    TaskLost,
}

/// Where the world reports to the worker what happened. Called from any thread.
pub trait Inbox: Send + Sync + 'static {
    /// Takes one thing in, at once.
    fn post(&self, input: Input);

    /// Takes records in, in their order; waits while too many are there already.
    fn post_records(&self, records: &mut Vec<Input>);

    /// Something happened that this process cannot live with; the text names what, to which thing, and what to do.
    fn fail(&self, reason: String);
}
