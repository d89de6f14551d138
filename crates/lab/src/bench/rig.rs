//! What a measurement stands on: a Kafka, a registry, a HealthFlow and one worker of its own, and DentScheduler's stand-in,
//! whose `read_committed` consumer says when a result is visible.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use healthflow_core::event::result::ResultOutcome;
use healthflow_core::time::{DAY_MS, Timestamp};
use tokio::time::{Instant, sleep};

use super::load::Load;
use super::used::Reading;
use crate::audit::seconds;
use crate::dentscheduler::listener::Listener;
use crate::dentscheduler::now;
use crate::dentscheduler::publisher::Publisher;
use crate::healthflow::HealthFlow;
use crate::journal::{Asked, Journal, Notes};
use healthflow_testkit::processes::simulator::{self, Simulator};
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::processes::{beside, set};
use healthflow_testkit::stack::Stack;

/// How often to look how far it is; short against the seconds that are measured.
const LOOK: Duration = Duration::from_millis(10);
/// How long the results of what was published may take.
const LIMIT: Duration = Duration::from_secs(300);

/// How a rig is set up.
pub struct Plan<'a> {
    /// What logs and data are called.
    pub name: String,
    /// Where they go.
    pub out: &'a Path,
    /// Partitions of every topic.
    pub partitions: u32,
    /// How long HealthFlow takes, in milliseconds.
    pub latency_ms: u64,
    /// Bookings in all, beside the first one of each patient; most have two more.
    pub bookings: usize,
    /// `worker.max_in_flight`; none: what the configuration has.
    pub in_flight: Option<usize>,
}

/// What a worker needs, and no worker yet. Dropped in this order.
pub struct Ground {
    /// The pretend HealthFlow.
    pub simulator: Simulator,
    stack: Stack,
    /// Who there is.
    pub load: Load,
    /// HealthFlow's ids of their charts.
    pub chart_ids: Vec<String>,
    logs: PathBuf,
    in_flight: Option<usize>,
}

/// All of it. Dropped in this order: what depends on another one goes first.
pub struct Rig {
    publisher: Publisher,
    /// Listens until it is dropped.
    _listener: Listener,
    /// The worker that is measured.
    pub worker: Worker,
    ground: Ground,
    journal: Arc<Journal>,
    published: usize,
}

/// How long half, and 99 of 100, of the bookings took from the event to the visible result.
#[derive(Clone, Copy)]
pub struct Waits {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub samples: usize,
}

impl Ground {
    /// Starts Kafka, registry and HealthFlow, with the charts of the patients.
    pub async fn start(plan: &Plan<'_>) -> Result<Ground> {
        let logs = plan.out.join(format!("logs-{}", plan.name));
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs)?;
        let data = plan.out.join(format!("stack-{}-{}", std::process::id(), plan.name));
        let flags = ["--latency-ms".to_owned(), plan.latency_ms.to_string()];
        let (stack, simulator) = tokio::join!(
            Stack::start_in(&data, &logs, &["--full-jit", "--heap", "1g"]),
            Simulator::start(&logs, &flags)
        );
        let (stack, simulator) = (stack?, simulator?);
        stack.create_topics(&beside("healthflow-sync")?, plan.partitions).await?;
        let load = Load::new(plan.bookings, Timestamp((now().0 / DAY_MS + 7) * DAY_MS));
        let chart_ids = HealthFlow::new(&simulator.url)?.seed(&load.charts).await?;
        Ok(Ground { simulator, stack, load, chart_ids, logs, in_flight: plan.in_flight })
    }

    /// The defaults, with no rate limit, and with `worker.max_in_flight` if the plan names it.
    fn settings(&self) -> Vec<String> {
        let mut settings = self.stack.settings();
        settings.extend(set(&[
            ("healthflow.base_url", &self.simulator.url),
            ("healthflow.token_file", &simulator::token_file()),
            ("healthflow.requests_per_second", "1000000"),
        ]));
        if let Some(in_flight) = self.in_flight {
            settings.extend(set(&[("worker.max_in_flight", &in_flight.to_string())]));
        }
        settings
    }
}

impl Rig {
    /// Connects DentScheduler and prepares a worker, which is not running yet.
    pub async fn on(ground: Ground) -> Result<Rig> {
        let journal = Arc::new(Journal::default());
        let publisher = Publisher::connect(&ground.stack.brokers, &ground.stack.registry_url).await?;
        let listener = Listener::start(&ground.stack.brokers, journal.clone())?;
        let worker = Worker::new("worker-1", &ground.logs, &ground.settings())?;
        Ok(Rig { publisher, _listener: listener, worker, ground, journal, published: 0 })
    }

    /// Publishes the next `count` bookings, all at once or `per_second` of them, and forgets what was seen before.
    pub async fn publish(&mut self, count: usize, per_second: Option<f64>) -> Result<()> {
        *self.journal.notes() = Notes::default();
        let publications = self.ground.load.publications(self.published, self.published + count, per_second);
        self.published += count;
        self.publisher.publish(&publications, &self.ground.chart_ids, &self.journal).await
    }

    /// Lets the worker get to know every patient: what is measured later needs one call a booking.
    pub async fn introduce(&mut self) -> Result<()> {
        let patients = self.ground.load.charts.len();
        println!("  {patients} patients are introduced by a booking each, which also warms up");
        self.publish(patients, None).await?;
        self.until(patients).await?;
        self.expect_created(patients)
    }

    /// Waits until the results of `count` of what was published last are visible.
    pub async fn until(&mut self, count: usize) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let (seen, fault) = {
                let notes = self.journal.notes();
                (notes.results.len(), notes.faults.first().cloned())
            };
            if let Some(fault) = fault {
                bail!("{fault}");
            }
            if seen >= count {
                return Ok(());
            }
            self.worker.check()?;
            ensure!(Instant::now() < deadline, "{seen} of {count} results after {} s", LIMIT.as_secs());
            sleep(LOOK).await;
        }
    }

    /// What worker and broker have used so far, and how many results of what was published last are visible.
    pub async fn read(&self) -> Result<Reading> {
        let (worker, broker) = (self.pid()?, self.broker_pid()?);
        let transactions = self.worker.counter("healthflow_sync_transactions_committed_total").await?;
        let calls = self.worker.counter("healthflow_sync_healthflow_calls_sent_total").await?;
        Reading::take(worker, broker, self.journal.notes().results.len(), transactions, calls)
    }

    /// The worker's process id.
    pub fn pid(&self) -> Result<u32> {
        self.worker.pid().context("the worker runs")
    }

    fn broker_pid(&self) -> Result<u32> {
        self.ground.stack.server_pids().first().copied().context("the stack has a broker")
    }

    /// Fails unless every result so far is that of a booking that was created.
    pub fn expect_created(&self, count: usize) -> Result<()> {
        let notes = self.journal.notes();
        let created = |outcome: ResultOutcome| outcome == ResultOutcome::Created;
        let created = notes.results.iter().filter(|result| created(result.outcome)).count();
        ensure!(created == count, "only {created} of {count} bookings were created");
        Ok(())
    }

    /// Results a second between the result `first` and the result `last`, as they became visible.
    pub fn results_per_second(&self, first: usize, last: usize) -> f64 {
        let notes = self.journal.notes();
        let took_ms = notes.results[last].at.since_ms(notes.results[first].at).max(1);
        (last - first) as f64 * 1_000.0 / took_ms as f64
    }

    /// From the event to the visible result.
    pub fn waits(&self) -> Waits {
        let notes = self.journal.notes();
        let by_name = notes.results_by_name();
        let wait_ms = |asked: &Asked| Some(by_name.get(&asked.name)?.first()?.at.since_ms(asked.at));
        let mut waits_ms: Vec<i64> = notes.asked.iter().filter_map(wait_ms).collect();
        let [p50_ms, p99_ms] = [0.5, 0.99].map(|share| seconds(&mut waits_ms, share) * 1_000.0);
        Waits { p50_ms, p99_ms, samples: waits_ms.len() }
    }
}
