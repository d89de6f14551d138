//! What the tests of this binary share: topics, a codec, and an inbox whose contents can be waited for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use healthflow_core::booking::{BookingKey, Source};
use healthflow_core::event::avro::contracts;
use healthflow_core::event::requested::{
    AppointmentRequested, RequestedPatient, RequestedStatus, RequestedVisit,
};
use healthflow_core::event::result::Finished;
use healthflow_core::event::{Identity, Outgoing};
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::partition::start::Acquired;
use healthflow_core::processor::{CommitEnded, Inbox, Input};
use healthflow_core::state::{BookingState, Owner, StateRecord, TaskPositions, TopicIds};
use healthflow_core::sync::SyncedOutcome;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{self, Lane, Position};
use healthflow_sync::kafka::{
    Fleet, Group, KafkaSettings, Membership, Now, TaskSpawner, TaskThread, Watchdog,
};
use healthflow_sync::registry::{RegistrySettings, RetryPolicy, SchemaRegistry, Translator};
use healthflow_sync::worker::Clock;
use healthflow_testkit::wait::wait_for;
use rdkafka::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use healthflow_testkit::processes::kafka_proxy::KafkaProxy;
use healthflow_testkit::stack::Stack;

/// Enough that every test has some to itself: those from 24 on are of no test in particular, and more than half.
pub const PARTITIONS: i32 = 50;
/// Longer than anything that should happen takes, even on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A stack with topics, and what a worker shares between its threads.
pub struct World {
    pub brokers: String,
    pub translator: Arc<Translator>,
    pub now: Now,
    pub admin: AdminClient<DefaultClientContext>,
    pub runtime: tokio::runtime::Runtime,
}

pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .init();
        let stack = Stack::shared();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let admin: AdminClient<DefaultClientContext> =
            rdkafka::ClientConfig::new().set("bootstrap.servers", &stack.brokers).create().unwrap();
        let partitions = |topic| if topic == topics::CONTROLS { 1 } else { PARTITIONS };
        let new =
            topics::ALL.map(|topic| NewTopic::new(topic, partitions(topic), TopicReplication::Fixed(1)));
        let made = runtime.block_on(admin.create_topics(&new, &AdminOptions::new())).unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        let second = Duration::from_secs(1);
        let brief = RetryPolicy { unknown_wait: second, unknown_wait_min: second, ..RetryPolicy::default() };
        let registry =
            Arc::new(SchemaRegistry::new(RegistrySettings::at(&stack.registry_url), brief).unwrap());
        for contract in contracts() {
            runtime.block_on(registry.register(contract)).unwrap();
        }
        let translator = runtime.block_on(Translator::connect(registry, "tests")).unwrap();
        let clock = Clock::start();
        let kafka = KafkaSettings {
            brokers: stack.brokers.clone(),
            partition_count: PARTITIONS.cast_unsigned(),
            ..KafkaSettings::default()
        };
        // Topics that were made a moment ago have no leaders yet.
        let entered = || Fleet::new(everybody()).enter(&kafka, &translator, clock.now()).ok();
        wait_for(LIMIT, entered).expect("everybody is one fleet");
        World {
            brokers: stack.brokers.clone(),
            translator,
            now: Arc::new(move || clock.now()),
            admin,
            runtime,
        }
    })
}

/// The tests have groups and applications of their own on the same topics, which one fleet never has: so they say that
/// they are one.
fn everybody() -> Owner {
    Owner { application: "tests".into(), group_id: "tests".into() }
}

/// Settings for one test: a group and an application of its own name.
pub fn settings(name: &str) -> KafkaSettings {
    KafkaSettings {
        brokers: world().brokers.clone(),
        group_id: name.into(),
        application: name.into(),
        session_timeout_ms: 6_000,
        heartbeat_interval_ms: 500,
        partition_count: PARTITIONS.cast_unsigned(),
        ..KafkaSettings::default()
    }
}

/// The same through the proxy.
pub fn proxied(settings: &KafkaSettings) -> KafkaSettings {
    KafkaSettings { brokers: Stack::shared().env("PROXY_BROKERS"), ..settings.clone() }
}

/// The proxy before the shared broker; one test at a time has it.
pub fn proxy() -> MutexGuard<'static, KafkaProxy> {
    static PROXY: OnceLock<Mutex<KafkaProxy>> = OnceLock::new();
    let proxy = PROXY.get_or_init(|| {
        let (stack, runtime) = (Stack::shared(), world().runtime.handle());
        let (listen, broker) = stack.proxied().remove(0);
        Mutex::new(KafkaProxy::start(runtime, &listen, &broker).unwrap())
    });
    let proxy = proxy.lock().unwrap_or_else(PoisonError::into_inner);
    proxy.calm();
    proxy
}

/// An inbox that keeps everything.
#[derive(Default)]
pub struct Kept {
    inputs: Mutex<Vec<Input>>,
    failures: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Inbox for Kept {
    fn post(&self, input: Input) {
        self.inputs.lock().unwrap().push(input);
        self.changed.notify_all();
    }

    fn post_records(&self, records: &mut Vec<Input>) {
        self.inputs.lock().unwrap().append(records);
        self.changed.notify_all();
    }

    fn fail(&self, reason: String) {
        self.failures.lock().unwrap().push(reason);
        self.changed.notify_all();
    }
}

impl Kept {
    /// Waits until `find` finds something in what was kept.
    pub fn wait<T>(&self, what: &str, find: impl Fn(&mut Vec<Input>) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        let mut inputs = self.inputs.lock().unwrap();
        loop {
            if let Some(found) = find(&mut inputs) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain for {what}; failures: {:?}",
                self.failures.lock().unwrap()
            );
            inputs = self.changed.wait_timeout(inputs, left).unwrap().0;
        }
    }

    pub fn wait_for_failure(&self) -> String {
        wait_for(LIMIT, || self.failures.lock().unwrap().pop()).expect("waited in vain for a failure")
    }

    pub fn wait_acquired(&self, partition: i32) -> Acquired {
        self.wait("TaskAcquired", |inputs| {
            let of = |input: &Input| match input {
                Input::TaskAcquired { partition: of, .. } => *of == partition,
                Input::AcquireFailed { partition: of, .. } if *of == partition => {
                    panic!("not acquired: {input:?}")
                }
                _ => false,
            };
            let index = inputs.iter().position(of)?;
            match inputs.remove(index) {
                Input::TaskAcquired { acquired, .. } => Some(*acquired),
                _ => None,
            }
        })
    }

    /// Forgets what came before: another life begins.
    pub fn clear(&self) {
        self.inputs.lock().unwrap().clear();
    }

    pub fn wait_committed(&self, sequence: u64) -> CommitEnded {
        self.wait("CommitEnded", |inputs| {
            inputs.iter().find_map(|input| match input {
                Input::CommitEnded { sequence: of, ended, .. } if *of == sequence => Some(*ended),
                _ => None,
            })
        })
    }

    pub fn wait_assigned(&self, partitions: usize) {
        self.wait("TaskAssigned", |inputs| {
            let assigned = inputs.iter().filter(|input| matches!(input, Input::TaskAssigned { .. })).count();
            (assigned >= partitions).then_some(())
        });
    }
}

/// A group member with everything a task needs.
pub struct Member {
    pub inbox: Arc<Kept>,
    pub group: Group,
    pub spawner: Arc<TaskSpawner>,
}

impl Member {
    pub fn join(settings: &KafkaSettings) -> Member {
        let inbox = Arc::new(Kept::default());
        let group = Group::join(settings, inbox.clone()).unwrap();
        let spawner = spawner(settings, group.membership(), inbox.clone());
        Member { inbox, group, spawner }
    }

    /// Acquires a task as its life `incarnation`.
    pub fn acquire(&self, partition: i32, incarnation: u64) -> (TaskThread, Acquired) {
        let task = self.spawner.acquire(partition, incarnation, Timestamp(0)).unwrap();
        let acquired = self.inbox.wait_acquired(partition);
        (task, acquired)
    }
}

pub fn spawner(settings: &KafkaSettings, membership: Membership, inbox: Arc<Kept>) -> Arc<TaskSpawner> {
    let world = world();
    let fleet = Fleet::new(everybody());
    TaskSpawner::new(
        settings.clone(),
        fleet,
        world.translator.clone(),
        membership,
        inbox,
        watchdog(),
        world.now.clone(),
    )
    .unwrap()
}

pub fn watchdog() -> Watchdog {
    Watchdog::start(|what, partition| panic!("{what} of task {partition} did not return")).unwrap()
}

/// A batch with the result and the state of one booking; with offsets, also with the copy of them.
pub fn batch(booking: &str, offsets: &[Position]) -> CommitBatch {
    let key = BookingKey { practice: "practice-1".into(), booking: booking.into() };
    let state = BookingState { newest: 1, ..BookingState::default() };
    let identity = Identity {
        key: key.clone(),
        version: 1,
        event_id: booking.into(),
        requested_at: Timestamp(1_767_614_400_000),
    };
    let finished = Finished {
        identity,
        outcome: SyncedOutcome::Created,
        healthflow_patient_id: None,
        healthflow_appointment_id: Some("hf-1".into()),
        attempts: 1,
        generation: 0,
        finished_at: Timestamp(1_767_614_401_000),
    };
    let mut records =
        vec![Outgoing::Synced(finished), Outgoing::State(Box::new(StateRecord::Booking(key, state)))];
    if !offsets.is_empty() {
        // As the first commit of every owner has it: offsets that state knows nothing of are not believed.
        let positions = TaskPositions {
            partition_count: PARTITIONS.cast_unsigned(),
            next_offsets: offsets.to_vec(),
            topic_ids: TopicIds::default(),
            ..TaskPositions::default()
        };
        records.push(Outgoing::State(Box::new(StateRecord::Task(positions))));
    }
    CommitBatch { records, offsets: offsets.to_vec() }
}

/// The records of one partition for readers of this isolation level, up to its end.
pub fn read(topic: &str, partition: i32, isolation: &str) -> Vec<Vec<u8>> {
    let found = read_all(&world().brokers, &[(topic, partition)], isolation);
    found.into_iter().map(|(_, value)| value).collect()
}

/// The same for several partitions at these brokers, each value with its topic.
pub fn read_all(brokers: &str, partitions: &[(&str, i32)], isolation: &str) -> Vec<(String, Vec<u8>)> {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "reader")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "10")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    drop(list);
    let (mut values, mut ended, until) = (Vec::new(), 0, Instant::now() + LIMIT);
    while ended < partitions.len() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                values.push((message.topic().to_owned(), message.payload().unwrap_or_default().to_vec()));
            }
            // Told once for each partition, unless something comes meanwhile; then a later look sees more.
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            None => assert!(Instant::now() < until, "no end of {partitions:?}"),
        }
    }
    values
}

/// Whether a transaction is open in this partition: readers of committed records are held back there.
pub fn is_held_back(topic: &str, partition: i32) -> bool {
    let end = |isolation: &str| {
        let consumer: BaseConsumer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", &world().brokers)
            .set("isolation.level", isolation)
            .create()
            .unwrap();
        consumer.fetch_watermarks(topic, partition, LIMIT).unwrap().1
    };
    end("read_committed") < end("read_uncommitted")
}

/// What the group has committed for a lane of a task.
pub fn committed(group: &str, lane: Lane, partition: i32) -> Option<i64> {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &world().brokers)
        .set("group.id", group)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(lane.topic(), partition);
    let list = consumer.committed_offsets(list, LIMIT).unwrap();
    match list.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// An event as DentScheduler sends it.
pub fn requested(booking: &str, version: i64) -> AppointmentRequested {
    AppointmentRequested {
        event_id: format!("{booking}-{version}").into(),
        booking_id: booking.into(),
        practice_id: "practice-1".into(),
        location_id: "location-1".into(),
        version,
        status: RequestedStatus::Scheduled,
        requested_at: Timestamp(1_767_614_400_000),
        source: Source::Live,
        patient: RequestedPatient {
            patient_id: healthflow_core::booking::PatientId::from("p-1").into(),
            healthflow_patient_id: None,
            given_name: "Zoë".into(),
            family_name: "Lopez".into(),
            date_of_birth: "1987-04-21".into(),
            postal_code: "60614".into(),
            phone: None,
            email: None,
            sex: None,
        },
        visit: RequestedVisit {
            start: Timestamp(1_900_000_000_000),
            time_zone: "America/Chicago".into(),
            duration_minutes: 45,
            provider_id: "dr-1".into(),
            operatory_id: None,
            procedure_codes: vec!["D0120".into()],
            note: None,
        },
    }
}
