//! Whole workers, as processes, on a Kafka of their own, with a pretend HealthFlow for each test. The tests share
//! topics and group, as workers of one account do. Each test has practices of its own, and one test at a time has a
//! rig.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use healthflow_core::event::avro::{Decoder, Encoder, contract};
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::event::home_partition::partition_of;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::event::result::ResultEnvelope;
use healthflow_core::event::review::AppointmentReview;
use healthflow_core::event::synced::AppointmentSynced;
use healthflow_core::topics::{FAILED, REQUESTED, REVIEW, SYNCED};
use healthflow_sync::cli::Connection;
use healthflow_sync::kafka::KafkaSettings;
use healthflow_sync::registry::{RegistrySettings, RetryPolicy, SchemaRegistry, Translator};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::closed::Closed;
use crate::world::{LIMIT, read_all, requested, world};
use healthflow_core::status::{Status, TaskPhase};
use healthflow_testkit::processes::kafka_proxy::KafkaProxy;
use healthflow_testkit::processes::simulator::{Simulator, token_file};
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::processes::{beside, run, set};
use healthflow_testkit::project;
use healthflow_testkit::stack::Stack;
use healthflow_testkit::wait::wait_for;

/// Of every topic.
pub const PARTITIONS: i32 = 6;

/// What every rig needs, for as long as the tests run.
struct Servers {
    stack: Stack,
    proxy: KafkaProxy,
    encoder: Encoder,
}

/// Workers and a HealthFlow. Dropping it stops them.
pub struct Rig {
    /// None runs before [`Rig::start_workers`].
    pub workers: Vec<Worker>,
    /// Partitions of every topic, as the publisher counts them.
    pub partitions: i32,
    name: &'static str,
    logs: PathBuf,
    pub settings: Vec<String>,
    simulator: Simulator,
    client: reqwest::Client,
    servers: Arc<Servers>,
    _alone: MutexGuard<'static, ()>,
}

impl Servers {
    fn build() -> Arc<Servers> {
        let stack = Stack::start_with(&["--proxied"]);
        let runtime = &world().runtime;
        let (listen, broker) = stack.proxied().remove(0);
        let proxy = KafkaProxy::start(runtime.handle(), &listen, &broker).unwrap();
        let program = beside("healthflow-sync").unwrap();
        runtime.block_on(stack.create_topics(&program, PARTITIONS.cast_unsigned())).unwrap();
        let registry =
            SchemaRegistry::new(RegistrySettings::at(&stack.registry_url), RetryPolicy::default()).unwrap();
        let contract = contract(REQUESTED).unwrap();
        let encoder = Encoder::new(contract, runtime.block_on(registry.register(contract)).unwrap());
        Arc::new(Servers { stack, proxy, encoder })
    }

    fn shared() -> Arc<Servers> {
        static SHARED: OnceLock<Arc<Servers>> = OnceLock::new();
        SHARED.get_or_init(Servers::build).clone()
    }
}

impl Rig {
    /// A rig with a HealthFlow in good health and no workers, for the test `name`; `settings` are those of its workers,
    /// beside those of `config/torture.toml`.
    pub fn open(name: &'static str, settings: &[(&str, &str)]) -> Rig {
        Rig::open_in(Servers::shared, name, settings)
    }

    /// The same with a Kafka of its own, for a test that breaks it.
    pub fn open_with_own_kafka(name: &'static str, settings: &[(&str, &str)]) -> Rig {
        Rig::open_in(Servers::build, name, settings)
    }

    fn open_in(servers: fn() -> Arc<Servers>, name: &'static str, settings: &[(&str, &str)]) -> Rig {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = servers();
        servers.proxy.calm();
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rig-{}-{name}", std::process::id()));
        fs::create_dir_all(&logs).unwrap();
        let simulator = world().runtime.block_on(Simulator::start(&logs, &[])).unwrap();
        let mut all = vec!["--config".to_owned(), project("config/torture.toml").display().to_string()];
        all.extend(servers.stack.settings());
        all.extend(set(&[("healthflow.base_url", &simulator.url), ("healthflow.token_file", &token_file())]));
        all.extend(set(settings));
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        Rig {
            workers: Vec::new(),
            partitions: PARTITIONS,
            name,
            logs,
            settings: all,
            simulator,
            client,
            servers,
            _alone: alone,
        }
    }

    /// The proxy before Kafka, which the workers use that are started with [`Rig::start_workers_through_proxy`].
    pub fn proxy(&self) -> &KafkaProxy {
        &self.servers.proxy
    }

    /// Kills Kafka and waits until it is back.
    pub fn kill_kafka(&self) {
        self.servers.stack.kill_kafka();
    }

    /// Whether a worker is ready, by its `/health/ready`.
    pub fn is_ready(&self, worker: usize) -> bool {
        let url = format!("{}/health/ready", self.workers[worker].admin_url);
        let ask = async { self.client.get(url).send().await };
        world().runtime.block_on(ask).is_ok_and(|answer| answer.status().is_success())
    }

    /// Starts another worker.
    pub fn start_workers(&mut self) {
        self.start_with(&[]);
    }

    /// Starts another worker, which comes to Kafka through the proxy.
    pub fn start_workers_through_proxy(&mut self) {
        self.start_with(&set(&[("kafka.brokers", &self.servers.stack.env("PROXY_BROKERS"))]));
    }

    /// Starts another worker with settings of its own.
    pub fn start_workers_with(&mut self, settings: &[(&str, &str)]) {
        self.start_with(&set(settings));
    }

    /// Waits until a worker has ended by itself; returns the last line of its log.
    pub fn wait_refused(&mut self, worker: usize) -> String {
        let ended = || self.workers[worker].check().is_err().then_some(());
        wait_for(LIMIT, ended).unwrap_or_else(|| panic!("worker {worker} runs; see {:?}", self.logs));
        self.log(worker).lines().last().unwrap_or_default().to_owned()
    }

    /// The error of a command that must fail.
    pub fn operate_in_vain(&self, words: &[&str]) -> String {
        format!("{:#}", self.try_to_operate(words).expect_err("it is refused"))
    }

    /// Stops a worker with SIGSTOP.
    pub fn freeze(&self, worker: usize) {
        self.signal(worker, Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self, worker: usize) {
        self.signal(worker, Signal::CONT);
    }

    /// Sends it any signal.
    pub fn signal(&self, worker: usize, signal: Signal) {
        let pid = self.workers[worker].pid().and_then(|pid| Pid::from_raw(pid.cast_signed())).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// A file with this text, beside the logs.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.logs.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Everything in the log of a worker.
    pub fn log(&self, worker: usize) -> String {
        fs::read_to_string(&self.workers[worker].log).unwrap()
    }

    /// The Kafka settings of this rig's workers, as far as a test needs them.
    pub fn kafka(&self) -> KafkaSettings {
        KafkaSettings {
            brokers: self.servers.stack.brokers.clone(),
            partition_count: self.partitions.cast_unsigned(),
            ..KafkaSettings::default()
        }
    }

    /// Where the registry is.
    pub fn registry_url(&self) -> String {
        self.servers.stack.registry_url.clone()
    }

    /// How this rig's commands reach Kafka and the registry.
    pub fn connection(&self) -> Connection {
        let registry =
            SchemaRegistry::new(RegistrySettings::at(&self.registry_url()), RetryPolicy::default()).unwrap();
        Connection { kafka: self.kafka().client(), registry: Arc::new(registry) }
    }

    /// What encodes records as the workers do.
    pub fn translator(&self) -> Arc<Translator> {
        world().runtime.block_on(Translator::connect(self.connection().registry, "healthflow-sync")).unwrap()
    }

    /// Starts another worker, which logs everything to `log`.
    pub fn hire_logging_to(&mut self, log: &Path) {
        let mut worker = self.worker(&set(&[("log.level", "trace")]));
        worker.log = log.to_owned();
        worker.start().unwrap();
        self.workers.push(worker);
    }

    fn start_with(&mut self, more: &[String]) {
        let mut worker = self.worker(more);
        worker.start().unwrap();
        self.workers.push(worker);
    }

    fn worker(&self, more: &[String]) -> Worker {
        let name = format!("worker-{}", self.workers.len() + 1);
        Worker::new(&name, &self.logs, &[&self.settings[..], more].concat()).unwrap()
    }

    /// A folder of this test.
    pub fn folder(&self) -> &Path {
        &self.logs
    }

    fn status(&self, worker: usize) -> Status {
        let page = world().runtime.block_on(self.workers[worker].status());
        page.map(|page| page.status).unwrap_or_default()
    }

    /// What `healthflow-sync` prints when an operator of this fleet calls it with `words`.
    pub fn operate(&self, words: &[&str]) -> String {
        self.try_to_operate(words).unwrap()
    }

    /// The same, where it may be refused.
    pub fn try_to_operate(&self, words: &[&str]) -> anyhow::Result<String> {
        self.operate_at(&self.registry_url(), words)
    }

    /// The same with another registry.
    pub fn operate_at(&self, registry_url: &str, words: &[&str]) -> anyhow::Result<String> {
        let brokers = &self.servers.stack.brokers;
        let addresses = set(&[("kafka.brokers", brokers), ("schema_registry.url", registry_url)]);
        let arguments = words.iter().map(|word| (*word).to_owned()).chain(addresses).collect();
        world().runtime.block_on(run(&beside("healthflow-sync").unwrap(), arguments))
    }

    /// How many tasks of a worker are live.
    pub fn live(&self, worker: usize) -> usize {
        self.in_phase(worker, TaskPhase::Live)
    }

    /// How many writes a worker has in doubt.
    pub fn doubts(&self, worker: usize) -> usize {
        self.status(worker).open_doubts
    }

    /// How many bookings of a worker wait for their time.
    pub fn waiting(&self, worker: usize) -> usize {
        self.status(worker).tasks.iter().map(|task| task.waiting_room).sum()
    }

    /// How many of a worker's tasks are in this phase.
    pub fn in_phase(&self, worker: usize, phase: TaskPhase) -> usize {
        self.status(worker).tasks.iter().filter(|task| task.phase == phase).count()
    }

    /// The value of a counter of a worker without labels.
    pub fn counter(&self, worker: usize, name: &str) -> f64 {
        world().runtime.block_on(self.workers[worker].counter(name)).unwrap()
    }

    /// Waits until a worker has so many live tasks.
    pub fn wait_live(&self, worker: usize, count: usize) {
        wait_for(LIMIT, || (self.live(worker) == count).then_some(()))
            .unwrap_or_else(|| panic!("worker {worker} has not {count} live tasks; see {:?}", self.logs));
    }

    /// Sets knobs of HealthFlow.
    pub fn set_faults(&self, knobs: &Value) {
        self.control(reqwest::Method::PUT, "faults", Some(knobs));
    }

    /// What HealthFlow has recorded: `ledger`, `audit` or `writes`.
    pub fn look(&self, what: &str) -> Value {
        self.control(reqwest::Method::GET, what, None)
    }

    /// Asks HealthFlow's control, or tells it something.
    pub fn control(&self, method: reqwest::Method, what: &str, body: Option<&Value>) -> Value {
        let url = format!("{}/control/{what}", self.simulator.url);
        let body = body.map(ToString::to_string).unwrap_or_default();
        world().runtime.block_on(async {
            let response = self.client.request(method, url).body(body).send().await.unwrap();
            let bytes = response.error_for_status().unwrap().bytes().await.unwrap();
            serde_json::from_slice(&bytes).unwrap()
        })
    }

    /// The `appointments` or `patients` that exist.
    pub fn existing(&self, what: &str) -> Vec<Value> {
        self.look("ledger")[what].as_array().unwrap().clone()
    }

    /// A practice of this test whose records belong to this partition.
    pub fn practice(&self, partition: i32) -> String {
        let at_home = |name: &String| partition_of(name.as_bytes(), PARTITIONS.cast_unsigned()) == partition;
        (0..).map(|number| format!("{}-{number}", self.name)).find(at_home).unwrap()
    }

    /// An event of a practice as DentScheduler sends it.
    pub fn event(&self, practice: &str, booking: &str, version: i64) -> AppointmentRequested {
        AppointmentRequested { practice_id: practice.into(), ..requested(booking, version) }
    }

    /// Publishes events, each where its practice's records belong.
    pub fn publish(&self, events: &[AppointmentRequested]) {
        let producer: ThreadedProducer<DefaultProducerContext> = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", &self.servers.stack.brokers)
            .create()
            .unwrap();
        let mut value = Vec::new();
        for event in events {
            self.servers.encoder.encode(event, &mut value).unwrap();
            let key = event.practice_id.as_str();
            let partition = partition_of(key.as_bytes(), self.partitions.cast_unsigned());
            producer.send(BaseRecord::to(REQUESTED).partition(partition).key(key).payload(&value)).unwrap();
        }
        producer.flush(LIMIT).unwrap();
    }

    /// Every result of this test's practices, as a `read_committed` consumer sees them.
    pub fn results(&self) -> Vec<ResultEnvelope> {
        let decoder = |topic| Decoder::own(contract(topic).unwrap());
        let (synced, failed, review) = (decoder(SYNCED), decoder(FAILED), decoder(REVIEW));
        let of = |topic| (0..self.partitions).map(move |partition| (topic, partition));
        let partitions: Vec<(&str, i32)> = [SYNCED, FAILED, REVIEW].into_iter().flat_map(of).collect();
        let found = read_all(&self.servers.stack.brokers, &partitions, "read_committed");
        // A tombstone says that a review is over.
        let found = found.iter().filter(|(_, value)| !value.is_empty());
        let mut all: Vec<ResultEnvelope> = found
            .map(|(topic, value)| match topic.as_str() {
                SYNCED => synced.decode::<AppointmentSynced>(value).unwrap().result,
                FAILED => failed.decode::<AppointmentFailed>(value).unwrap().result,
                _ => review.decode::<AppointmentReview>(value).unwrap().result,
            })
            .collect();
        let ours = |practice: &str| {
            practice.strip_prefix(self.name).is_some_and(|rest| {
                rest.strip_prefix('-').is_some_and(|number| number.parse::<u32>().is_ok())
            })
        };
        all.retain(|result| result.practice_id.as_ref().is_some_and(|practice| ours(practice.as_str())));
        all
    }

    /// Waits until as many results are there as there are versions, then lets everybody go home, and says what is
    /// there. A result too many would be among them.
    pub fn close_after(mut self, versions: usize) -> Closed {
        let limit = LIMIT + Duration::from_secs(30);
        wait_for(limit, || (self.results().len() >= versions).then_some(())).unwrap_or_else(|| {
            panic!("of {versions} results came {:?}; see {:?}", self.results(), self.logs)
        });
        wait_for(limit, || (self.look("audit")["pending"] == 0).then_some(())).expect("all writes land");
        self.workers.clear();
        let closed = Closed {
            results: self.results(),
            appointments: self.existing("appointments"),
            patients: self.existing("patients"),
            writes: self.look("writes").as_array().unwrap().clone(),
        };
        let audit = self.look("audit");
        for wrong in ["duplicate_appointments", "duplicate_patients", "duplicate_people", "orphans"] {
            assert_eq!(audit[wrong], 0, "{wrong}: {audit}");
        }
        assert_eq!(closed.results.len(), versions, "{:?}", closed.results);
        fs::remove_dir_all(&self.logs).unwrap();
        closed
    }
}
