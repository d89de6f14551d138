//! Injects every kind of fault, each by its own random numbers and its own clock, until the time is over. A torture
//! that does not count its faults proves nothing.

use std::sync::Mutex as Counted;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::fault_phases::{self, FaultKind};
use crate::dentscheduler::now;
use crate::healthflow::HealthFlow;
use healthflow_proof::random::Random;
use healthflow_testkit::processes::kafka_proxy::KafkaProxy;
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::stack::Stack;

/// Each kind of fault has random numbers of its own, so that one that takes longer does not change the others.
const KILLS: u64 = 1;
const ZOMBIES: u64 = 2;
const BROKERS: u64 = 3;
const FAULT_PHASES: u64 = 4;
const REGISTRIES: u64 = 5;
pub(super) const NETWORK: u64 = 6;
const LOG_READERS: u64 = 7;
/// What a broker or the registry needs to come back.
const RESTART_MS: i64 = 8_000;
/// How a program of Rust ends that panicked, in the words of [`std::process::ExitStatus`].
const PANICKED: &str = "(exit status: 101)";
/// How often to look for workers that ended by themselves.
const LOOK: Duration = Duration::from_millis(200);

/// A span of time in milliseconds; a fault draws a moment in it.
#[derive(Clone, Copy, Debug)]
pub struct SpanMs {
    /// At least this long.
    pub from: i64,
    /// At most this long.
    pub until: i64,
}

impl SpanMs {
    /// From `from` to `until`.
    pub const fn new(from: i64, until: i64) -> Self {
        SpanMs { from, until }
    }
}

/// How often things break.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Between two kills of a worker.
    pub kill_ms: SpanMs,
    /// From the end of one zombie to the beginning of the next.
    pub zombie_ms: SpanMs,
    /// How long a zombie sleeps: longer than lease and session time-out.
    pub asleep_ms: SpanMs,
    /// Between two kills of a broker.
    pub broker_ms: SpanMs,
    /// Between two kills of the schema registry.
    pub registry_ms: SpanMs,
    /// Between two kills of a worker's log reader.
    pub log_reader_ms: SpanMs,
    /// From the end of one network fault between workers and brokers to the beginning of the next.
    pub network_ms: SpanMs,
}

/// What was done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Done {
    /// Workers killed with SIGKILL.
    pub worker_kills: u64,
    /// Workers that were stopped for longer than lease and session, and went on.
    pub zombies_resumed: u64,
    /// Brokers killed with SIGKILL.
    pub broker_kills: u64,
    /// Schema registries killed with SIGKILL.
    pub registry_kills: u64,
    /// Log readers killed with SIGKILL, while their worker ran.
    pub log_reader_kills: u64,
    /// Times that the way to a broker was cut.
    pub connections_cut: u64,
    /// Times that nothing got through to a broker or back.
    pub connections_held: u64,
    /// Ends of transactions that came to the broker late, some after their transaction had timed out.
    pub transaction_ends_held: u64,
    /// Ends of transactions that were carried out and not answered for.
    pub transaction_ends_unanswered: u64,
    /// Times that HealthFlow was down.
    pub outages: u64,
    /// Times that HealthFlow answered 429 to nearly everything.
    pub storms: u64,
    /// Workers that ended by themselves and were started again, as any supervisor would.
    pub worker_exits: u64,
    /// Of these, those that panicked.
    pub worker_panics: u64,
    /// How they ended, with the ends of their logs.
    #[serde(skip)]
    pub exit_messages: Vec<String>,
    /// When HealthFlow's faults ended (milliseconds).
    #[serde(skip)]
    pub well_at_ms: i64,
}

/// Breaks everything, and counts it.
pub struct FaultInjector<'a> {
    /// The workers; a lock shows which one is being broken now.
    pub workers: &'a [Mutex<Worker>],
    /// Kafka.
    pub stack: &'a Stack,
    /// The workers' way to each broker.
    pub proxies: &'a [KafkaProxy],
    /// The simulator.
    pub healthflow: &'a HealthFlow,
    /// How often.
    pub rhythm: Rhythm,
    /// Of all chance.
    pub seed: u64,
    /// When the faults stop.
    pub until: Instant,
    /// What was done so far.
    pub done: Counted<Done>,
}

impl FaultInjector<'_> {
    /// What was done so far.
    pub fn done(&self) -> Done {
        self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Breaks everything until the time is over; then every process runs and HealthFlow is in good health.
    pub async fn inject(&self) -> Result<()> {
        tokio::try_join!(
            self.kill_workers(),
            self.make_zombies(),
            self.kill_brokers(),
            self.kill_registries(),
            self.kill_log_readers(),
            self.break_network(),
            self.spoil_healthflow(),
        )?;
        Ok(())
    }

    /// Starts workers again that ended by themselves; never returns.
    pub async fn keep_alive(&self) -> Result<()> {
        loop {
            for worker in self.workers {
                let Ok(mut worker) = worker.try_lock() else { continue };
                if let Err(end) = worker.check() {
                    worker.start()?;
                    self.count(|done| {
                        done.worker_exits += 1;
                        done.worker_panics += u64::from(end.to_string().contains(PANICKED));
                        done.exit_messages.push(end.to_string());
                    });
                }
            }
            sleep(LOOK).await;
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Done)) {
        change(&mut self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    pub(super) fn dice(&self, kind: u64) -> Random {
        Random::new(self.seed.wrapping_mul(0x0100_0000_01B3).wrapping_add(kind))
    }

    /// Waits for the next fault; false if no time is left for one.
    pub(super) async fn wait(&self, random: &mut Random, span: SpanMs, needs_ms: i64) -> bool {
        let due = Instant::now() + between(random, span);
        let comes = due + Duration::from_millis(needs_ms.unsigned_abs()) <= self.until;
        sleep_until(if comes { due } else { self.until }).await;
        comes
    }

    async fn kill_workers(&self) -> Result<()> {
        let mut random = self.dice(KILLS);
        while self.wait(&mut random, self.rhythm.kill_ms, 0).await {
            let first = random.below(self.workers.len());
            let away = between(&mut random, SpanMs::new(100, 1_500));
            let mut order =
                (0..self.workers.len()).map(|nth| &self.workers[(first + nth) % self.workers.len()]);
            let Some(mut worker) = order.find_map(|worker| worker.try_lock().ok()) else { continue };
            // It may have ended by itself at this moment; killing a dead process is no fault.
            if worker.check().is_ok() {
                worker.kill()?;
                self.count(|done| done.worker_kills += 1);
                sleep(away).await;
                worker.start()?;
            }
        }
        Ok(())
    }

    async fn make_zombies(&self) -> Result<()> {
        let mut random = self.dice(ZOMBIES);
        let mut span = third(self.rhythm.zombie_ms);
        while self.wait(&mut random, span, self.rhythm.asleep_ms.until).await {
            span = self.rhythm.zombie_ms;
            let asleep = between(&mut random, self.rhythm.asleep_ms);
            let mut worker = self.workers[random.below(self.workers.len())].lock().await;
            if worker.check().is_err() {
                continue;
            }
            let pid = worker.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
            let pid = pid.context("a worker that runs has a process id")?;
            kill_process(pid, Signal::STOP)?;
            sleep(asleep).await;
            kill_process(pid, Signal::CONT)?;
            self.count(|done| done.zombies_resumed += 1);
        }
        Ok(())
    }

    async fn kill_brokers(&self) -> Result<()> {
        let mut random = self.dice(BROKERS);
        let mut span = third(self.rhythm.broker_ms);
        while self.wait(&mut random, span, RESTART_MS).await {
            let began = Instant::now();
            let node = 1 + random.below(self.proxies.len());
            let killed = self.stack.kill_broker(node).await;
            killed.context("the environment failed: Kafka did not survive its kill")?;
            self.count(|done| done.broker_kills += 1);
            span = less(self.rhythm.broker_ms, began.elapsed());
        }
        Ok(())
    }

    async fn kill_registries(&self) -> Result<()> {
        let mut random = self.dice(REGISTRIES);
        let mut span = third(self.rhythm.registry_ms);
        while self.wait(&mut random, span, RESTART_MS).await {
            let began = Instant::now();
            let killed = self.stack.kill_registry().await;
            killed.context("the environment failed: the schema registry did not survive its kill")?;
            self.count(|done| done.registry_kills += 1);
            span = less(self.rhythm.registry_ms, began.elapsed());
        }
        Ok(())
    }

    async fn kill_log_readers(&self) -> Result<()> {
        let mut random = self.dice(LOG_READERS);
        let mut span = third(self.rhythm.log_reader_ms);
        while self.wait(&mut random, span, 0).await {
            span = self.rhythm.log_reader_ms;
            let mut worker = self.workers[random.below(self.workers.len())].lock().await;
            if worker.check().is_ok() && worker.kill_log_reader()? {
                self.count(|done| done.log_reader_kills += 1);
            }
        }
        Ok(())
    }

    async fn spoil_healthflow(&self) -> Result<()> {
        let mut random = self.dice(FAULT_PHASES);
        let mut next = 0;
        while Instant::now() < self.until {
            let phase = fault_phases::phase(next, &mut random);
            self.healthflow.set_faults(&phase.knobs).await?;
            self.count(|done| match phase.kind {
                FaultKind::Faulty => {}
                FaultKind::Storm => done.storms += 1,
                FaultKind::Outage => done.outages += 1,
            });
            sleep_until((Instant::now() + phase.lasts).min(self.until)).await;
            next += 1;
        }
        self.count(|done| done.well_at_ms = now().0);
        self.healthflow.set_faults(&fault_phases::calm()).await
    }
}

pub(super) fn between(random: &mut Random, SpanMs { from, until }: SpanMs) -> Duration {
    Duration::from_millis(random.between(from, until).unsigned_abs())
}

/// The first of its kind comes early, so that short runs meet their share.
fn third(SpanMs { from, until }: SpanMs) -> SpanMs {
    SpanMs::new(from / 3, until / 3)
}

/// What is left of `span` after `took`, and some seconds at least.
fn less(SpanMs { from, until }: SpanMs, took: Duration) -> SpanMs {
    let took_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    SpanMs::new((from - took_ms).max(1_000), (until - took_ms).max(2_000))
}
