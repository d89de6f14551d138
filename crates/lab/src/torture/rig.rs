//! Every process of a torture run: Kafka, the registry, HealthFlow, workers behind their proxies, and the two readers
//! of results.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::Mutex;

use super::auditor::Auditor;
use super::{Arguments, fault_phases, guard_name};
use crate::dentscheduler::listener::Listener;
use crate::dentscheduler::publisher::Publisher;
use crate::healthflow::HealthFlow;
use crate::journal::Journal;
use crate::run::Guard;
use healthflow_testkit::processes::kafka_proxy::KafkaProxy;
use healthflow_testkit::processes::simulator::{self, Simulator};
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::processes::{beside, set};
use healthflow_testkit::project;
use healthflow_testkit::stack::Stack;

/// Of every topic.
pub const PARTITIONS: u32 = 12;
const WORKERS: usize = 3;
/// Of each broker; three of them share a small machine with everybody else.
const BROKER_HEAP: &str = "320m";

/// Every process of a run. Dropped in this order: what depends on another one goes first.
pub struct Rig {
    /// Listens until it is dropped.
    _listener: Listener,
    /// DentScheduler's publisher.
    pub publisher: Publisher,
    /// The Java auditor.
    pub auditor: Auditor,
    /// Each behind a lock, which a fault takes while it breaks the worker.
    pub workers: Vec<Mutex<Worker>>,
    /// HealthFlow.
    pub simulator: Simulator,
    /// The workers' way to each broker.
    pub proxies: Vec<KafkaProxy>,
    /// Kafka and the registry.
    pub stack: Stack,
    /// The simulator's control API.
    pub healthflow: HealthFlow,
    /// What was asked, and which results were seen.
    pub journal: Arc<Journal>,
}

impl Rig {
    /// Starts everything.
    pub async fn open(arguments: &Arguments, out: &Path, logs: &Path) -> Result<Rig> {
        println!("Starting Kafka, the schema registry and HealthFlow (the simulator), about 10 s");
        let data = out.join(format!("stack-{}", std::process::id()));
        let mut knobs = fault_phases::calm();
        knobs["honours_idempotency_keys"] =
            (arguments.guard == Guard::IdempotencyKey && !arguments.lie).into();
        knobs["unique_external_id"] = (arguments.guard == Guard::UniqueReference && !arguments.lie).into();
        knobs["keeps_external_id"] = (arguments.guard != Guard::Search).into();
        let seed = arguments.seed.to_string();
        let flags = ["--faults".to_owned(), knobs.to_string(), "--seed".to_owned(), seed];
        let brokers = arguments.brokers.to_string();
        let options = ["--brokers", &brokers, "--heap", BROKER_HEAP, "--proxied"];
        let (stack, simulator) =
            tokio::join!(Stack::start_in(&data, logs, &options), Simulator::start(logs, &flags));
        let (stack, simulator) = (stack?, simulator?);
        stack.create_topics(&beside("healthflow-sync")?, PARTITIONS).await?;
        let (proxies, brokers) = proxies(&stack)?;
        let mut settings = vec!["--config".to_owned(), project("config/torture.toml").display().to_string()];
        settings.extend(set(&[
            ("kafka.brokers", &brokers),
            ("schema_registry.url", &stack.registry_url),
            ("healthflow.base_url", &simulator.url),
            ("healthflow.token_file", &simulator::token_file()),
            ("healthflow.duplicate_guard", &guard_name(arguments.guard)),
        ]));
        let mut workers = Vec::new();
        for number in 1..=WORKERS {
            let mut worker = Worker::new(&format!("worker-{number}"), logs, &settings)?.with_log_reader();
            worker.start()?;
            workers.push(worker);
        }
        let journal = Arc::new(Journal::default());
        let publisher = Publisher::connect(&stack.brokers, &stack.registry_url).await?;
        let listener = Listener::start(&stack.brokers, journal.clone())?;
        let auditor = Auditor::start(&stack.brokers, out, logs).await?;
        for worker in &mut workers {
            worker.ready().await?;
        }
        let workers = workers.into_iter().map(Mutex::new).collect();
        let healthflow = HealthFlow::new(&simulator.url)?;
        Ok(Rig {
            _listener: listener,
            publisher,
            auditor,
            workers,
            simulator,
            proxies,
            stack,
            healthflow,
            journal,
        })
    }
}

/// The workers' way to each broker, and the addresses that they connect to.
fn proxies(stack: &Stack) -> Result<(Vec<KafkaProxy>, String)> {
    let runtime = tokio::runtime::Handle::current();
    let (mut proxies, mut addresses) = (Vec::new(), Vec::new());
    for (listen, broker) in stack.proxied() {
        proxies.push(KafkaProxy::start(&runtime, &listen, &broker).context("no way to Kafka")?);
        addresses.push(listen);
    }
    Ok((proxies, addresses.join(",")))
}
