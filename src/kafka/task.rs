//! One life of a task, on a thread of its own: acquires it (rule K1), then carries out its commits one after the other.
//! Its calls block for milliseconds to seconds; on a shared thread they would stop other tasks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::kafka::commit_outcome::CommitOutcome;
use crate::kafka::fleet::Fleet;
use crate::kafka::group::Membership;
use crate::kafka::producer::TaskProducer;
use crate::kafka::recent_lines::RecentLines;
use crate::kafka::restore::{LaneOffset, LogBounds, Readers};
use crate::kafka::settings::{ACQUIRE_PARALLEL, KafkaSettings};
use crate::kafka::start;
use crate::kafka::topic_ids::TopicIdentities;
use crate::kafka::watchdog::Watchdog;
use crate::kafka::{KafkaFault, Now};
use crate::registry::Translator;
use healthflow_core::booking::VersionKey;
use healthflow_core::life::Incarnation;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::partition::start::{Acquired, Known, KnownLane, Start, mark_lost};
use healthflow_core::processor::{CommitEnded, Inbox, Input};
use healthflow_core::state::{TaskState, TopicIds};
use healthflow_core::time::Timestamp;

/// How often an idle task serves its producer's events.
const IDLE: Duration = Duration::from_secs(2);

/// How long to wait before held bookings are read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Starts tasks; holds what all tasks of a worker share.
pub struct TaskSpawner {
    settings: KafkaSettings,
    fleet: Fleet,
    translator: Arc<Translator>,
    membership: Membership,
    inbox: Arc<dyn Inbox>,
    watchdog: Watchdog,
    now: Now,
    identities: TopicIdentities,
    permits: Permits,
    reported: RecentLines,
}

/// One life of a task, on a thread of its own. Dropping it ends that life: it carries out no further order.
pub struct TaskThread {
    orders: Sender<Order>,
    life: Life,
}

struct Order {
    sequence: u64,
    batch: Box<CommitBatch>,
}

impl TaskSpawner {
    /// Creates it.
    ///
    /// # Errors
    /// The settings are refused.
    pub fn new(
        settings: KafkaSettings,
        fleet: Fleet,
        translator: Arc<Translator>,
        membership: Membership,
        inbox: Arc<dyn Inbox>,
        watchdog: Watchdog,
        now: Now,
    ) -> Result<Arc<Self>, KafkaFault> {
        let permits = Permits::new(ACQUIRE_PARALLEL);
        let (reported, identities) = (RecentLines::default(), TopicIdentities::new(&settings)?);
        Ok(Arc::new(TaskSpawner {
            settings,
            fleet,
            translator,
            membership,
            inbox,
            watchdog,
            now,
            identities,
            permits,
            reported,
        }))
    }

    /// Starts to acquire a task, not before `not_before`. Ends in `TaskAcquired` or `AcquireFailed`.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn acquire(
        self: &Arc<Self>,
        partition: i32,
        incarnation: Incarnation,
        not_before: Timestamp,
    ) -> Result<TaskThread, KafkaFault> {
        let (orders, to_do) = channel();
        let ended = Arc::new(AtomicBool::new(false));
        let life = Life { spawner: self.clone(), partition, incarnation, ended };
        let lives = life.clone();
        std::thread::Builder::new()
            .name(format!("task-{partition}"))
            .spawn(move || lives.live(&to_do, not_before))
            .map_err(KafkaFault::no_thread(format!("for task {partition}")))?;
        Ok(TaskThread { orders, life })
    }
}

impl TaskThread {
    /// Commits a batch. Ends in `CommitEnded`, unless this life ends first.
    pub fn commit(&self, sequence: u64, batch: Box<CommitBatch>) {
        // A thread that has ended has posted why.
        let _ = self.orders.send(Order { sequence, batch });
    }

    /// Reads these held versions, on a thread of its own. Ends in `ContentsRead`, unless this life ends first.
    pub fn read_contents(&self, of: Vec<VersionKey>) {
        let (life, partition) = (self.life.clone(), self.life.partition);
        let reading = std::thread::Builder::new().name(format!("held-{partition}"));
        if let Err(error) = reading.spawn(move || life.read_contents(&of)) {
            self.life.spawner.inbox.fail(
                KafkaFault::no_thread(format!("to read held bookings of task {partition}"))(error)
                    .to_string(),
            );
        }
    }
}

impl Drop for TaskThread {
    fn drop(&mut self) {
        self.life.ended.store(true, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Life {
    spawner: Arc<TaskSpawner>,
    partition: i32,
    incarnation: Incarnation,
    ended: Arc<AtomicBool>,
}

impl Life {
    fn live(self, to_do: &Receiver<Order>, not_before: Timestamp) {
        let wait_ms = not_before.since_ms((self.spawner.now)());
        if wait_ms > 0 {
            // No order comes before the task is acquired: this returns early only if the life ends.
            match to_do.recv_timeout(Duration::from_millis(wait_ms.unsigned_abs())) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(_) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        let (partition, incarnation) = (self.partition, self.incarnation);
        match self.acquire() {
            Ok((producer, acquired)) => {
                self.spawner.inbox.post(Input::TaskAcquired {
                    partition,
                    incarnation,
                    acquired: Box::new(acquired),
                });
                self.carry_out(&producer, to_do);
            }
            Err(fault) => {
                if !self.is_over() && self.spawner.reported.is_new(&fault.to_string()) {
                    tracing::warn!(partition, "task not acquired, trying again: {fault}");
                }
                self.spawner.inbox.post(Input::AcquireFailed { partition, incarnation });
            }
        }
    }

    /// Until it succeeds: what was let go waits for nothing else.
    fn read_contents(&self, of: &[VersionKey]) {
        let (partition, incarnation, spawner) = (self.partition, self.incarnation, &self.spawner);
        while !self.is_over() {
            let found = Readers::new(&spawner.settings).and_then(|readers| {
                readers.read_contents(partition, of, &spawner.translator, &self.ended, (spawner.now)())
            });
            match found {
                Ok(found) => {
                    return spawner.inbox.post(Input::ContentsRead { partition, incarnation, found });
                }
                Err(fault) if self.is_over() => tracing::debug!(partition, "held bookings not read: {fault}"),
                Err(fault) => {
                    tracing::warn!(partition, "held bookings cannot be read, trying again: {fault}");
                    std::thread::sleep(READ_AGAIN);
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn acquire(&self) -> Result<(TaskProducer, Acquired), KafkaFault> {
        let spawner = &self.spawner;
        let _permit = spawner.permits.take(&self.ended)?;
        let readers = Readers::new(&spawner.settings)?;
        self.check_fleet(&readers)?;
        let producer = TaskProducer::new(
            &spawner.settings,
            self.partition,
            spawner.watchdog.clone(),
            spawner.now.clone(),
        )?;
        let fenced_at = producer.fence()?;
        self.check_fleet(&readers)?;
        // Before everything else that is read of the topics: if a topic is recreated meanwhile, a later comparison with
        // these ids shows it.
        let topic_ids = spawner.identities.ids();
        let committed = readers.committed_offsets(self.partition)?;
        let now = (spawner.now)();
        let mut restored = readers.restore(self.partition, &spawner.translator, &self.ended, now)?;
        let start = self.start(&readers, topic_ids, &committed, &restored.state)?;
        if start.is_retry_cut {
            let (translator, now) = (&spawner.translator, (spawner.now)());
            let found = readers.in_retry(self.partition, translator, &self.ended, &restored.state, now)?;
            mark_lost(&mut restored.state, &found);
        }
        let acquired = Acquired {
            fenced_at,
            start,
            state: restored.state,
            restored_records: restored.records,
            restored_at: (spawner.now)(),
        };
        Ok((producer, acquired))
    }

    /// Whether this task may go live, by the fleet's record. If it never may in this process, the process ends.
    fn check_fleet(&self, readers: &Readers) -> Result<(), KafkaFault> {
        let TaskSpawner { settings, fleet, translator, inbox, .. } = &*self.spawner;
        fleet.admit(settings, self.partition, readers, translator, &self.ended).map_err(|refusal| {
            if refusal.is_final() {
                inbox.fail(refusal.to_string());
            }
            KafkaFault::NotAdmitted(refusal)
        })
    }

    /// Where each lane goes on, by the group's offsets, the state and the topics.
    fn start(
        &self,
        readers: &Readers,
        topic_ids: TopicIds,
        committed: &[LaneOffset],
        state: &TaskState,
    ) -> Result<Start, KafkaFault> {
        let settings = &self.spawner.settings;
        start::check_partition_count(self.partition, state, settings.partition_count)?;
        let known = |&LaneOffset { lane, next: committed }: &LaneOffset| {
            let LogBounds { low, high } = readers.bounds(lane.topic(), self.partition)?;
            Ok(KnownLane { lane, committed, low, high })
        };
        let lanes = committed.iter().map(known).collect::<Result<_, KafkaFault>>()?;
        let (partition, begins_at_end) = (self.partition, settings.begins_at_end);
        let known = Known { partition, topic_ids, lanes, begins_at_end };
        Ok(Start::decide(&known, state)?)
    }

    fn carry_out(&self, producer: &TaskProducer, to_do: &Receiver<Order>) {
        loop {
            let Order { sequence, batch } = match to_do.recv_timeout(IDLE) {
                Ok(order) => order,
                Err(RecvTimeoutError::Timeout) => {
                    producer.serve(Duration::ZERO);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.is_over() {
                return;
            }
            let ended = match producer.commit(&batch, &self.spawner.translator, &self.spawner.membership) {
                CommitOutcome::Good { started_at, aborts } => CommitEnded::Good { started_at, aborts },
                CommitOutcome::Lost(why) => {
                    tracing::warn!(partition = self.partition, "commit lost, dropping the task: {why}");
                    CommitEnded::TaskLost
                }
            };
            let (partition, incarnation) = (self.partition, self.incarnation);
            self.spawner.inbox.post(Input::CommitEnded { partition, incarnation, sequence, ended });
            if ended == CommitEnded::TaskLost {
                return;
            }
        }
    }
}

/// How many more tasks may be acquired at once.
struct Permits {
    left: Mutex<usize>,
    returned: Condvar,
}

struct Permit<'a>(&'a Permits);

impl Permits {
    fn new(count: usize) -> Self {
        Permits { left: Mutex::new(count), returned: Condvar::new() }
    }

    fn take(&self, cancelled: &AtomicBool) -> Result<Permit<'_>, KafkaFault> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        while *left == 0 {
            if cancelled.load(Ordering::SeqCst) {
                return Err(KafkaFault::Cancelled);
            }
            left = match self.returned.wait_timeout(left, Duration::from_millis(100)) {
                Ok((left, _)) => left,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        *left -= 1;
        Ok(Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.returned.notify_one();
    }
}
