//! What each effect asks of which part of a worker, and in which order. The worker and every model of one perform effects by
//! this function alone: two lists of the same thing would drift apart, and what is proved would not be what runs.

use std::ops::ControlFlow;

use crate::booking::VersionKey;
use crate::healthflow::Request;
use crate::life::{CallId, TaskLife};
use crate::limits::shared_counter::PermitAsk;
use crate::partition::commit_batch::CommitBatch;
use crate::partition::read_guard::GuardedRange;
use crate::processor::Effect;
use crate::state::TopicIds;
use crate::time::Timestamp;
use crate::topics::{Lane, Position};

/// Until when a call may go out, whatever keeps it waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Until {
    /// For a write: the end of its task's lease; the margin must be left of it.
    pub lease: Option<Timestamp>,
    /// The end of its permit, if the shared counter gave it.
    pub permit: Option<Timestamp>,
}

impl Until {
    /// Whether it may go out now, right before its bytes do (rule W2).
    pub fn allows(self, now: Timestamp, margin_ms: i64) -> bool {
        self.lease.is_none_or(|until| now.plus_ms(margin_ms) < until)
            && self.permit.is_none_or(|until| now < until)
    }
}

/// The parts of a worker. None of them decides anything.
pub trait Parts {
    /// Why the worker must end.
    type Fault;

    /// Calls of this life of a task may be made from now on, and of no earlier one.
    fn begin_calls(&mut self, of: TaskLife);
    /// Nothing of the task that is still queued may go out.
    fn end_calls(&mut self, partition: i32);
    /// Makes one call, and brings back whatever becomes of it.
    fn call(&mut self, id: CallId, of: TaskLife, until: Until, request: Request);
    /// Asks the shared counter, and brings back what it answers.
    fn ask_permits(&mut self, ask: PermitAsk);

    /// Begins to acquire a task, in a producer of its own.
    ///
    /// # Errors
    /// This process cannot have another task.
    fn acquire(&mut self, of: TaskLife, not_before: Timestamp) -> Result<(), Self::Fault>;
    /// Commits by the task's producer.
    fn commit(&mut self, partition: i32, sequence: u64, batch: Box<CommitBatch>);
    /// Throws the task's producer away.
    fn drop_task(&mut self, partition: i32);

    /// Watches that the task's topics stay what they are.
    fn watch(&mut self, of: TaskLife, topic_ids: TopicIds);
    /// Stops watching.
    fn unwatch(&mut self, partition: i32);

    /// Reads the task's lanes from here on; what lies below `guarded` is held until it is to be decoded.
    fn read(&mut self, of: TaskLife, next_offsets: Vec<Position>, guarded: Vec<Position>);
    /// Decodes what was held.
    fn decode(&mut self, partition: i32, release: GuardedRange);
    /// Reads held versions from `appointments.review`.
    fn read_contents(&mut self, of: TaskLife, which: Vec<VersionKey>);
    /// Fetches nothing of a lane for now.
    fn pause(&mut self, partition: i32, lane: Lane);
    /// Fetches it again.
    fn resume(&mut self, partition: i32, lane: Lane);
    /// Reads the task's lanes no more.
    fn stop_reading(&mut self, partition: i32);

    /// Gives the partition back to the group.
    fn give_back(&mut self, partition: i32);
}

/// Performs one effect; breaks where the worker may end. Effects come in order: the life of a task that the parts have is the
/// one that the processor means.
///
/// # Errors
/// See [`Parts::acquire`].
pub fn perform<P: Parts>(effect: Effect, parts: &mut P) -> Result<ControlFlow<()>, P::Fault> {
    match effect {
        Effect::Acquire { partition, incarnation, not_before } => {
            let of = TaskLife { partition, incarnation };
            parts.begin_calls(of);
            parts.acquire(of, not_before)?;
        }
        Effect::Fetch { partition, incarnation, next_offsets, guarded, topic_ids } => {
            let of = TaskLife { partition, incarnation };
            parts.watch(of, topic_ids);
            parts.read(of, next_offsets, guarded);
        }
        Effect::Call { call, partition, incarnation, lease_until, permit_until, request } => {
            let until = Until { lease: lease_until, permit: permit_until };
            parts.call(call, TaskLife { partition, incarnation }, until, *request);
        }
        Effect::AskPermits { ask } => parts.ask_permits(*ask),
        Effect::Commit { partition, sequence, batch, .. } => parts.commit(partition, sequence, batch),
        Effect::Release { partition } => {
            forget(partition, parts);
            parts.give_back(partition);
        }
        // Not given back: the group may be about to ask for it, and gets its answer by a release.
        Effect::Drop { partition, .. } => forget(partition, parts),
        Effect::Decode { partition, release } => parts.decode(partition, release),
        Effect::ReadContents { partition, incarnation, of } => {
            parts.read_contents(TaskLife { partition, incarnation }, of);
        }
        Effect::Pause { partition, lane } => parts.pause(partition, lane),
        Effect::Resume { partition, lane } => parts.resume(partition, lane),
        Effect::Stop => return Ok(ControlFlow::Break(())),
    }
    Ok(ControlFlow::Continue(()))
}

/// The calls first: nothing may go out of a task that is about to be somebody else's.
fn forget(partition: i32, parts: &mut impl Parts) {
    parts.end_calls(partition);
    parts.unwatch(partition);
    parts.stop_reading(partition);
    parts.drop_task(partition);
}

#[cfg(test)]
mod tests;
