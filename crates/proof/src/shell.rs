//! A worker's shell as a value: which life of a task is current, whose calls may go out, which lanes are read from
//! where. Flow tests, simulation and small worlds perform effects by this one model, through the worker's own
//! [`perform`](healthflow_core::processor::perform). Each decides itself when something happens, and what goes wrong.

use std::collections::BTreeMap;
use std::convert::Infallible;

use healthflow_core::booking::VersionKey;
use healthflow_core::event::Arrival;
use healthflow_core::healthflow::Request;
use healthflow_core::life::{CallId, Incarnation, TaskLife};
use healthflow_core::limits::shared_counter::PermitAsk;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::partition::read_guard::GuardedRange;
use healthflow_core::processor::Effect;
use healthflow_core::processor::perform::{Parts, Until, perform};
use healthflow_core::state::TopicIds;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{Lane, Position};

/// What a worker holds; `P` is what its world knows of a task's producer.
#[derive(Clone, Debug, Default, Hash)]
pub struct Shell<P> {
    /// The life of each task whose calls may go out.
    callers: BTreeMap<i32, Incarnation>,
    tasks: BTreeMap<i32, Task<P>>,
}

/// One task of it.
#[derive(Clone, Debug, Hash)]
pub struct Task<P> {
    /// Which life.
    pub incarnation: Incarnation,
    /// Its producer.
    pub producer: P,
    /// Its lanes, once they are read.
    pub lanes: BTreeMap<Lane, Reader>,
}

/// A lane that is read.
#[derive(Clone, Debug, Default, Hash)]
pub struct Reader {
    /// The next offset.
    pub position: i64,
    /// Whether nothing of it is fetched for now.
    pub is_paused: bool,
    /// Records below this offset are kept undecoded.
    pub guarded_until: i64,
    /// Records that are fetched and not decoded.
    pub held: BTreeMap<i64, Arrival>,
}

/// What an effect began. The world decides how long it takes and how it ends.
#[derive(Debug)]
pub enum Begun {
    /// A task is to be acquired.
    Acquisition {
        /// The task.
        partition: i32,
        /// The life to be.
        incarnation: Incarnation,
        /// Not before this.
        not_before: Timestamp,
    },
    /// A call is queued.
    Call(Call),
    /// The shared counter is asked.
    Asking(PermitAsk),
    /// A call of a life that is over does not go out.
    Refused(CallId),
    /// A transaction is begun.
    Commit {
        /// The task.
        partition: i32,
        /// The life of the task.
        incarnation: Incarnation,
        /// Which commit of that life.
        sequence: u64,
        /// What it carries.
        batch: CommitBatch,
    },
    /// The lanes of this task are read.
    Reading(i32),
    /// A lane of this task is read again.
    Resumed(i32),
    /// Kept records are to be decoded.
    Decoding {
        /// The task.
        partition: i32,
        /// The life of the task.
        incarnation: Incarnation,
        /// Which records.
        release: GuardedRange,
    },
    /// Held versions of this task are to be read.
    Contents {
        /// The task.
        partition: i32,
        /// The life of the task.
        incarnation: Incarnation,
        /// Which.
        of: Vec<VersionKey>,
    },
    /// The lanes of this task are no longer read; this was their state.
    Unread(i32, BTreeMap<Lane, Reader>),
    /// The producer of this task is dropped, with what it had begun.
    Dropped(TaskLife),
    /// This partition is given back to the group.
    GivenBack(i32),
    /// The worker may end.
    Stop,
}

/// A call on its way.
#[derive(Clone, Debug, Hash)]
pub struct Call {
    /// Its name.
    pub id: CallId,
    /// The task.
    pub partition: i32,
    /// The life of the task.
    pub incarnation: Incarnation,
    /// For a write: until when it may go out.
    pub lease_until: Option<Timestamp>,
    /// If the shared counter gave its permit: until when it may go out.
    pub permit_until: Option<Timestamp>,
    /// The request.
    pub request: Request,
}

impl Call {
    /// Whether its lease lets it go out at `now`, right before its bytes do (rule W2).
    pub fn is_leased(&self, now: Timestamp, margin_ms: i64) -> bool {
        Until { lease: self.lease_until, permit: None }.allows(now, margin_ms)
    }

    /// Whether its permit does.
    pub fn is_permitted(&self, now: Timestamp) -> bool {
        Until { lease: None, permit: self.permit_until }.allows(now, 0)
    }
}

impl<P> Shell<P> {
    /// The life of a task that is here.
    pub fn task(&self, partition: i32) -> Option<&Task<P>> {
        self.tasks.get(&partition)
    }

    /// A life of a task, if it is still here.
    pub fn life(&self, partition: i32, incarnation: Incarnation) -> Option<&Task<P>> {
        self.task(partition).filter(|task| task.incarnation == incarnation)
    }

    /// The same, to change it.
    pub fn life_mut(&mut self, partition: i32, incarnation: Incarnation) -> Option<&mut Task<P>> {
        self.tasks.get_mut(&partition).filter(|task| task.incarnation == incarnation)
    }

    /// Whether calls of this life of a task may go out.
    pub fn may_call(&self, partition: i32, incarnation: Incarnation) -> bool {
        self.callers.get(&partition) == Some(&incarnation)
    }

    /// A lane that is read.
    pub fn reader(&self, partition: i32, lane: Lane) -> Option<&Reader> {
        self.task(partition)?.lanes.get(&lane)
    }

    /// Whether it has no task.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

impl<P: Default> Shell<P> {
    /// Performs one effect; returns what it began, in order.
    pub fn perform(&mut self, effect: Effect) -> Vec<Begun> {
        let mut performing = Performing { shell: self, begun: Vec::new() };
        let Ok(flow) = perform(effect, &mut performing);
        let mut begun = performing.begun;
        if flow.is_break() {
            begun.push(Begun::Stop);
        }
        begun
    }
}

impl Reader {
    /// Takes a fetched record; returns it to be decoded, or keeps it (rule K6). After a kept record all later ones are
    /// kept.
    pub fn takes(&mut self, offset: i64, arrival: &Arrival) -> Option<Arrival> {
        self.position = offset + 1;
        if offset < self.guarded_until || !self.held.is_empty() {
            self.held.insert(offset, arrival.clone());
            return None;
        }
        Some(arrival.clone())
    }

    /// The kept records of `release`.
    pub fn release(&mut self, release: &GuardedRange) -> Vec<(i64, Arrival)> {
        let offsets: Vec<i64> = self.held.range(release.from..=release.to).map(|(at, _)| *at).collect();
        offsets.into_iter().filter_map(|offset| Some((offset, self.held.remove(&offset)?))).collect()
    }
}

struct Performing<'shell, P> {
    shell: &'shell mut Shell<P>,
    begun: Vec<Begun>,
}

impl<P: Default> Parts for Performing<'_, P> {
    type Fault = Infallible;

    fn begin_calls(&mut self, TaskLife { partition, incarnation }: TaskLife) {
        self.shell.callers.insert(partition, incarnation);
    }

    fn end_calls(&mut self, partition: i32) {
        self.shell.callers.remove(&partition);
    }

    fn call(
        &mut self,
        id: CallId,
        TaskLife { partition, incarnation }: TaskLife,
        until: Until,
        request: Request,
    ) {
        let Until { lease: lease_until, permit: permit_until } = until;
        self.begun.push(match self.shell.may_call(partition, incarnation) {
            true => Begun::Call(Call { id, partition, incarnation, lease_until, permit_until, request }),
            false => Begun::Refused(id),
        });
    }

    fn ask_permits(&mut self, ask: PermitAsk) {
        self.begun.push(Begun::Asking(ask));
    }

    fn acquire(
        &mut self,
        TaskLife { partition, incarnation }: TaskLife,
        not_before: Timestamp,
    ) -> Result<(), Infallible> {
        let task = Task { incarnation, producer: P::default(), lanes: BTreeMap::new() };
        self.shell.tasks.insert(partition, task);
        self.begun.push(Begun::Acquisition { partition, incarnation, not_before });
        Ok(())
    }

    fn commit(&mut self, partition: i32, sequence: u64, batch: Box<CommitBatch>) {
        let Some(task) = self.shell.tasks.get(&partition) else { return };
        let (incarnation, batch) = (task.incarnation, *batch);
        self.begun.push(Begun::Commit { partition, incarnation, sequence, batch });
    }

    fn drop_task(&mut self, partition: i32) {
        let task = self.shell.tasks.remove(&partition);
        self.begun
            .extend(task.map(|task| Begun::Dropped(TaskLife { partition, incarnation: task.incarnation })));
    }

    // The world reports what happens to topics.
    fn watch(&mut self, _: TaskLife, _: TopicIds) {}

    fn unwatch(&mut self, _: i32) {}

    fn read(
        &mut self,
        TaskLife { partition, incarnation }: TaskLife,
        next_offsets: Vec<Position>,
        guarded: Vec<Position>,
    ) {
        let Some(task) = self.shell.life_mut(partition, incarnation) else { return };
        for Position { lane, offset: position } in next_offsets {
            let guarded_until = lane.offset_in(&guarded).unwrap_or(0);
            task.lanes.insert(lane, Reader { position, guarded_until, ..Reader::default() });
        }
        self.begun.push(Begun::Reading(partition));
    }

    fn decode(&mut self, partition: i32, release: GuardedRange) {
        let Some(task) = self.shell.tasks.get(&partition) else { return };
        self.begun.push(Begun::Decoding { partition, incarnation: task.incarnation, release });
    }

    fn read_contents(&mut self, TaskLife { partition, incarnation }: TaskLife, of: Vec<VersionKey>) {
        self.begun.push(Begun::Contents { partition, incarnation, of });
    }

    fn pause(&mut self, partition: i32, lane: Lane) {
        let task = self.shell.tasks.get_mut(&partition);
        if let Some(reader) = task.and_then(|task| task.lanes.get_mut(&lane)) {
            reader.is_paused = true;
        }
    }

    fn resume(&mut self, partition: i32, lane: Lane) {
        let task = self.shell.tasks.get_mut(&partition);
        if let Some(reader) = task.and_then(|task| task.lanes.get_mut(&lane)) {
            reader.is_paused = false;
            self.begun.push(Begun::Resumed(partition));
        }
    }

    fn stop_reading(&mut self, partition: i32) {
        let task = self.shell.tasks.get_mut(&partition);
        self.begun.extend(task.map(|task| Begun::Unread(partition, std::mem::take(&mut task.lanes))));
    }

    fn give_back(&mut self, partition: i32) {
        self.begun.push(Begun::GivenBack(partition));
    }
}
