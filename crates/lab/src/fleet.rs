//! A fleet to measure: workers on a Kafka, a registry and a HealthFlow of their own, and DentScheduler's stand-in beside them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::dentscheduler::listener::Listener;
use crate::dentscheduler::publisher::Publisher;
use crate::healthflow::HealthFlow;
use crate::journal::Journal;
use healthflow_testkit::processes::simulator::{self, Simulator};
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::processes::{beside, set};
use healthflow_testkit::stack::Stack;

/// How often to look how far it is.
pub const LOOK: Duration = Duration::from_millis(100);

/// How a fleet is set up.
pub struct Plan<'a> {
    /// Where Kafka's data goes.
    pub out: &'a Path,
    /// Where logs go.
    pub logs: &'a Path,
    /// How HealthFlow is in the beginning.
    pub knobs: &'a Value,
    /// Partitions of every topic.
    pub partitions: u32,
    /// How many workers.
    pub workers: usize,
    /// What differs from the defaults, beside addresses and secrets.
    pub settings: Vec<String>,
}

/// Every process of a fleet. Dropped in this order: what depends on another one goes first.
pub struct Fleet {
    /// Listens until it is dropped.
    _listener: Listener,
    /// DentScheduler.
    pub publisher: Publisher,
    /// `worker-1` and so on.
    pub workers: Vec<Worker>,
    /// HealthFlow, as a process.
    pub simulator: Simulator,
    /// Kafka and the registry.
    pub stack: Stack,
    /// HealthFlow's control.
    pub healthflow: HealthFlow,
    /// What was asked, and what was seen.
    pub journal: Arc<Journal>,
}

impl Fleet {
    /// Starts everything, and waits until the workers work.
    pub async fn open(plan: &Plan<'_>) -> Result<Fleet> {
        println!("Starting Kafka, the schema registry and HealthFlow (the simulator), about 10 s");
        let data = plan.out.join(format!("stack-{}", std::process::id()));
        let flags = ["--faults".to_owned(), plan.knobs.to_string()];
        let (stack, simulator) =
            tokio::join!(Stack::start_in(&data, plan.logs, &[]), Simulator::start(plan.logs, &flags));
        let (stack, simulator) = (stack?, simulator?);
        stack.create_topics(&beside("healthflow-sync")?, plan.partitions).await?;
        println!("Kafka {}, registry {}, HealthFlow {}", stack.brokers, stack.registry_url, simulator.url);
        let mut settings = plan.settings.clone();
        settings.extend(stack.settings());
        settings.extend(set(&[
            ("healthflow.base_url", &simulator.url),
            ("healthflow.token_file", &simulator::token_file()),
        ]));
        let mut workers = Vec::new();
        for number in 1..=plan.workers {
            let mut worker = Worker::new(&format!("worker-{number}"), plan.logs, &settings)?;
            worker.start()?;
            workers.push(worker);
        }
        let journal = Arc::new(Journal::default());
        let publisher = Publisher::connect(&stack.brokers, &stack.registry_url).await?;
        let listener = Listener::start(&stack.brokers, journal.clone())?;
        for worker in &mut workers {
            worker.ready().await?;
            println!("{} works, process id {}, {}", worker.name, worker.pid().unwrap_or(0), worker.admin_url);
        }
        let healthflow = HealthFlow::new(&simulator.url)?;
        Ok(Fleet { _listener: listener, publisher, workers, simulator, stack, healthflow, journal })
    }

    /// Fails if one of the processes has ended.
    pub fn check(&mut self) -> Result<()> {
        self.workers.iter_mut().try_for_each(Worker::check)?;
        self.simulator.check()?;
        self.stack.check()
    }

    /// Waits until everything that was asked for has a result.
    pub async fn until_confirmed(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let (waiting, fault) = {
                let notes = self.journal.notes();
                (notes.count().waiting(), notes.faults.first().cloned())
            };
            if let Some(fault) = fault {
                bail!("the environment failed: {fault}");
            }
            if waiting == 0 {
                return Ok(());
            }
            self.check()?;
            ensure!(Instant::now() < deadline, "{waiting} have no result after {} s", limit.as_secs());
            sleep(LOOK).await;
        }
    }
}
