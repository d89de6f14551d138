//! A worker from start to end: sets up what is around the processor, then loops.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::http::transport::Unusable;
use crate::http::{Transport, TransportSettings};
use crate::kafka::{
    ControlsLog, ControlsWatch, Fetched, Fleet, Group, KafkaFault, KafkaSettings, LaneWatch, Lanes, Now,
    TaskSpawner, TaskThread, Watchdog,
};
use crate::metrics::log;
use crate::registry::Translator;
use crate::shared_counter::{CounterClient, CounterFault, CounterSettings};
use crate::worker::calls::Calls;
use crate::worker::clock::Clock;
use crate::worker::mailbox::Mailbox;
use crate::worker::stop::StopRequest;
use healthflow_core::booking::VersionKey;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::Request;
use healthflow_core::life::{CallId, TaskLife};
use healthflow_core::limits::shared_counter::PermitAsk;
use healthflow_core::panic_guard::is_caught;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::partition::read_guard::GuardedRange;
use healthflow_core::processor::perform::{Parts, Until, perform};
use healthflow_core::processor::{Inbox, Input, Processor};
use healthflow_core::settings::Settings;
use healthflow_core::state::TopicIds;
use healthflow_core::status::HealthFlowTrouble;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{Lane, Position};

/// Longest sleep of the loop; also how often the observer gets a status.
const SLEEP_MAX_MS: i64 = 500;
/// How long the runtime may take to end.
const SHUTDOWN: Duration = Duration::from_secs(2);
/// Exit status after a panic, as Rust's own.
const PANIC_STATUS: i32 = 101;
/// Exit status after a call that did not return (`EX_SOFTWARE`).
const WATCHDOG_STATUS: i32 = 70;

/// What a worker needs at its start.
pub struct RunSettings {
    /// Kafka.
    pub kafka: KafkaSettings,
    /// The fleet that owns the state; this worker belongs to it.
    pub fleet: Fleet,
    /// What operators set by hand, read to its end.
    pub controls: ControlsLog,
    /// The schemas.
    pub translator: Arc<Translator>,
    /// HealthFlow.
    pub healthflow: TransportSettings,
    /// The shared counter, if there is one.
    pub shared_counter: Option<CounterSettings>,
    /// The processor.
    pub processor: Settings,
}

/// What observes a worker: logs, metrics, the status page.
pub trait Observer {
    /// Something happened.
    fn fact(&mut self, fact: &Fact);

    /// Called at least every [`SLEEP_MAX_MS`] or so, between two batches.
    fn status(&mut self, processor: &Processor, seen: Seen, now: Timestamp);
}

/// What the processor does not know of its surroundings.
#[derive(Debug)]
pub struct Seen {
    /// Whether the worker has joined its group; it may own no partition.
    pub has_joined: bool,
    /// How far each lane is fetched.
    pub fetched: Fetched,
    /// Whether the token file holds no token any more, and the last good one is used.
    pub has_stale_token: bool,
    /// When the controls were last read to their end.
    pub controls_read_at: Timestamp,
    /// What goes wrong with calls of HealthFlow now.
    pub healthflow_trouble: Option<HealthFlowTrouble>,
}

/// Why a worker ended before it was asked to, in one line.
#[derive(Debug, thiserror::Error)]
pub enum WorkerFault {
    /// Kafka failed for good.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
    /// HealthFlow's settings are wrong.
    #[error(transparent)]
    HealthFlow(#[from] Unusable),
    /// The shared counter's settings are wrong.
    #[error(transparent)]
    SharedCounter(#[from] CounterFault),
    /// The operating system refused a thread or a signal handler.
    #[error("the operating system refuses a thread or a signal handler: {0}")]
    System(#[from] std::io::Error),
    /// It failed while running.
    #[error("{0}")]
    Failed(String),
}

/// Runs a worker until `stop` is requested, and returns once every task is given back. The runtime carries the calls
/// and the registry; the loop has the calling thread to itself. A panic on any thread, and a transactional call that
/// does not return, end the process.
///
/// # Errors
/// See [`WorkerFault`].
pub fn run(
    settings: RunSettings,
    runtime: tokio::runtime::Runtime,
    clock: Clock,
    mut stop: StopRequest,
    observer: &mut dyn Observer,
) -> Result<(), WorkerFault> {
    end_on_panic();
    let mailbox = Arc::new(Mailbox::default());
    let result = Worker::start(settings, &runtime, &mailbox, clock).and_then(|mut worker| {
        runtime.spawn(async move {
            stop.requested().await;
            mailbox.post(Input::StopRequested);
        });
        worker.run_loop(observer)
    });
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

struct Worker {
    processor: Processor,
    clock: Clock,
    mailbox: Arc<Mailbox>,
    calls: Calls,
    shared_counter: Option<CounterClient>,
    tasks: HashMap<i32, TaskThread>,
    // Dropped in this order: the readers end before the membership does.
    controls: ControlsWatch,
    watch: LaneWatch,
    lanes: Lanes,
    spawner: Arc<TaskSpawner>,
    group: Group,
}

impl Worker {
    fn start(
        settings: RunSettings,
        runtime: &tokio::runtime::Runtime,
        mailbox: &Arc<Mailbox>,
        clock: Clock,
    ) -> Result<Self, WorkerFault> {
        let now: Now = Arc::new(move || clock.now());
        let inbox: Arc<dyn Inbox> = mailbox.clone();
        let transport = Transport::new(&settings.healthflow)?;
        let start_counter = |counter| CounterClient::start(counter, runtime.handle(), inbox.clone());
        let shared_counter = settings.shared_counter.map(start_counter).transpose()?;
        let translator = settings.translator;
        let watchdog = Watchdog::start(|what, partition| {
            tracing::error!(
                partition,
                "{what} did not return within its limit; this worker ends, another takes over"
            );
            log::flush();
            std::process::exit(WATCHDOG_STATUS);
        })?;
        let lanes = Lanes::start(&settings.kafka, translator.clone(), inbox.clone(), now.clone())?;
        let watch = LaneWatch::start(&settings.kafka, inbox.clone())?;
        let margin_ms = settings.processor.lease_margin_ms;
        let processor = Processor::new(settings.processor, settings.controls.controls().clone(), clock.now());
        let controls = ControlsWatch::start(settings.controls, inbox.clone(), now.clone())?;
        let group = Group::join(&settings.kafka, inbox.clone())?;
        let spawner = TaskSpawner::new(
            settings.kafka,
            settings.fleet,
            translator,
            group.membership(),
            inbox,
            watchdog,
            now,
        )?;
        let calls = Calls::new(runtime.handle().clone(), transport, mailbox.clone(), clock, margin_ms);
        let (mailbox, tasks) = (mailbox.clone(), HashMap::new());
        Ok(Worker {
            processor,
            clock,
            mailbox,
            calls,
            shared_counter,
            tasks,
            controls,
            watch,
            lanes,
            spawner,
            group,
        })
    }

    fn run_loop(&mut self, observer: &mut dyn Observer) -> Result<(), WorkerFault> {
        let mut inputs = Vec::new();
        let mut status_at = self.clock.now();
        loop {
            let sleep_ms = self.sleep_ms(self.clock.now());
            self.mailbox.take(&mut inputs, Duration::from_millis(sleep_ms)).map_err(WorkerFault::Failed)?;
            let now = self.clock.now();
            for input in inputs.drain(..) {
                self.processor.handle(input, now);
            }
            self.processor.decide(now);
            while let Some(effect) = self.processor.next_effect() {
                if perform(effect, self)?.is_break() {
                    self.report_facts(observer);
                    return Ok(());
                }
            }
            self.report_facts(observer);
            if status_at <= now {
                let seen = Seen {
                    has_joined: self.group.has_joined(),
                    fetched: self.lanes.fetched(),
                    has_stale_token: self.calls.have_stale_token(),
                    controls_read_at: self.controls.read_at(),
                    healthflow_trouble: self.calls.trouble(),
                };
                observer.status(&self.processor, seen, now);
                status_at = now.plus_ms(SLEEP_MAX_MS);
            }
        }
    }

    fn sleep_ms(&mut self, now: Timestamp) -> u64 {
        let sleep_ms = self.processor.next_wakeup(now).map_or(SLEEP_MAX_MS, |wakeup| wakeup.since_ms(now));
        sleep_ms.clamp(0, SLEEP_MAX_MS).unsigned_abs()
    }

    fn report_facts(&mut self, observer: &mut dyn Observer) {
        while let Some(fact) = self.processor.next_fact() {
            observer.fact(&fact);
        }
    }
}

impl Parts for Worker {
    type Fault = WorkerFault;

    fn begin_calls(&mut self, of: TaskLife) {
        self.calls.begin(of);
    }

    fn end_calls(&mut self, partition: i32) {
        self.calls.end(partition);
    }

    fn call(&mut self, id: CallId, of: TaskLife, until: Until, request: Request) {
        self.calls.start(id, of, until, request);
    }

    fn ask_permits(&mut self, ask: PermitAsk) {
        if let Some(counter) = &self.shared_counter {
            counter.ask(ask);
        }
    }

    fn acquire(&mut self, of: TaskLife, not_before: Timestamp) -> Result<(), WorkerFault> {
        let task = self.spawner.acquire(of.partition, of.incarnation, not_before)?;
        self.tasks.insert(of.partition, task);
        Ok(())
    }

    fn commit(&mut self, partition: i32, sequence: u64, batch: Box<CommitBatch>) {
        if let Some(task) = self.tasks.get(&partition) {
            task.commit(sequence, batch);
        }
    }

    fn drop_task(&mut self, partition: i32) {
        self.tasks.remove(&partition);
    }

    fn watch(&mut self, of: TaskLife, topic_ids: TopicIds) {
        self.watch.watch(of.partition, of.incarnation, topic_ids);
    }

    fn unwatch(&mut self, partition: i32) {
        self.watch.forget(partition);
    }

    fn read(&mut self, of: TaskLife, next_offsets: Vec<Position>, guarded: Vec<Position>) {
        self.lanes.read_with_care(of.partition, of.incarnation, next_offsets, guarded);
    }

    fn decode(&mut self, partition: i32, release: GuardedRange) {
        self.lanes.release(partition, release);
    }

    fn read_contents(&mut self, of: TaskLife, which: Vec<VersionKey>) {
        if let Some(task) = self.tasks.get(&of.partition) {
            task.read_contents(which);
        }
    }

    fn pause(&mut self, partition: i32, lane: Lane) {
        self.lanes.pause(partition, lane);
    }

    fn resume(&mut self, partition: i32, lane: Lane) {
        self.lanes.resume(partition, lane);
    }

    fn stop_reading(&mut self, partition: i32) {
        self.lanes.stop(partition);
    }

    fn give_back(&mut self, partition: i32) {
        self.group.release(partition);
    }
}

impl Drop for Worker {
    /// Threads that wait for room in the mailbox must be able to end.
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

/// Ends the process on a panic: a thread that died silently would leave a worker that looks alive. Panics that are
/// caught are logged too. The log writes the line, because the default hook would wait for ever for a reader of
/// standard error.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.to_string().replace('\n', " ");
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!(%backtrace, "{what}"),
            _ => tracing::error!("{what}"),
        }
        if !is_caught() {
            log::flush();
            std::process::exit(PANIC_STATUS);
        }
    }));
}
