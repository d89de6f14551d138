//! What observes a worker: its logs, metrics and status page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::admin;
use crate::cli::name_lock::instance_name;
use crate::cli::starting::Starting;
use crate::config::Config;
use crate::kafka::{ClockWatch, EndOffsets, TopicPartition};
use crate::metrics::{Catalogue, log};
use crate::registry::SchemaRegistry;
use crate::worker::{Clock, Observer, Seen};
use healthflow_core::fact::Fact;
use healthflow_core::processor::Processor;
use healthflow_core::processor::stall::Stalls;
use healthflow_core::processor::unread::Unread;
use healthflow_core::status::{ClassWaits, Status, Waits};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::NamePrefix;

/// How often a start that waits publishes that it is alive.
const STILL_STARTING: Duration = Duration::from_secs(1);
/// How often what waits in memory is counted, in milliseconds.
const WAITS_COUNTED_MS: i64 = 1_000;

/// What observes the worker: logs and metrics from facts, the status page from the processor.
pub(super) struct Watcher {
    catalogue: Arc<Catalogue>,
    status: watch::Sender<Arc<Status>>,
    pub(super) end_offsets: Option<EndOffsets>,
    pub(super) clock: Option<ClockWatch>,
    pub(super) registry: Option<Arc<SchemaRegistry>>,
    stalls: Stalls,
    unread: Unread,
    /// What waited in memory when that was last counted, and when.
    waits: (Timestamp, Vec<Waits>, Vec<ClassWaits>),
    is_starting: Arc<AtomicBool>,
    start: Starting,
}

impl Watcher {
    pub(super) fn start(config: &Config, runtime: &Runtime, clock: Clock) -> anyhow::Result<Self> {
        log::start(config.log.format, &config.log.level)?;
        let catalogue = Arc::new(Catalogue::new(env!("CARGO_PKG_VERSION"))?);
        let start = Starting::new(clock);
        let says_why = start.clone();
        let starting = move || {
            Arc::new(Status { taken_at: clock.now(), start_waits: says_why.waits(), ..Status::default() })
        };
        let (status, seen) = watch::channel(starting());
        let seen = admin::Seen {
            status: seen,
            catalogue: catalogue.clone(),
            clock: Arc::new(move || clock.now()),
            status_age_max_ms: config.admin.status_age_max_ms,
            worker: config.kafka.group_instance_id.0.as_deref().map(instance_name),
            group: NamePrefix::new(&config.kafka.name_prefix).on_cluster(&config.kafka.group_id).into_owned(),
        };
        let listener = runtime.block_on(admin::bind(config.admin.listen))?;
        tracing::info!("version {} listens on {}", env!("CARGO_PKG_VERSION"), listener.local_addr()?);
        say_who_starts(config, &seen);
        runtime.spawn(async move {
            if let Err(error) = admin::serve(listener, seen, std::future::pending()).await {
                tracing::error!(
                    "the admin server ended: {error}; metrics and health are unavailable until a restart"
                );
            }
        });
        let is_starting = Arc::new(AtomicBool::new(true));
        let (goes_on, says) = (is_starting.clone(), status.clone());
        // A start that waits for Kafka or the registry is alive: restarting it would not help.
        runtime.spawn(async move {
            while goes_on.load(Ordering::SeqCst) {
                says.send_replace(starting());
                tokio::time::sleep(STILL_STARTING).await;
            }
        });
        Ok(Watcher {
            catalogue,
            status,
            end_offsets: None,
            clock: None,
            registry: None,
            stalls: Stalls::default(),
            unread: Unread::default(),
            waits: (Timestamp(0), Vec::new(), Vec::new()),
            is_starting,
            start,
        })
    }

    /// What says what the start waits for.
    pub(super) fn starting(&self) -> Starting {
        self.start.clone()
    }

    /// What waits in memory, counted once a second: that looks at every version.
    fn waits(&mut self, processor: &Processor, now: Timestamp) -> (Vec<Waits>, Vec<ClassWaits>) {
        let (counted_at, waits, classes) = &mut self.waits;
        if now.since_ms(*counted_at) >= WAITS_COUNTED_MS {
            (*counted_at, *waits, *classes) = (now, processor.waits(now), processor.class_waits());
        }
        (waits.clone(), classes.clone())
    }
}

/// One line with what an operator asks first: which version is this, where does it go, how fast, and as whom. No secret is in
/// it: an address may not hold one.
fn say_who_starts(config: &Config, seen: &admin::Seen) {
    let instance = seen.worker.as_deref().unwrap_or("none");
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        brokers = config.kafka.brokers,
        registry = without_credentials(&config.schema_registry.url),
        healthflow = without_credentials(&config.healthflow.base_url),
        guard = config.healthflow.duplicate_guard.name(),
        requests_per_second = config.healthflow.requests_per_second,
        group = seen.group,
        instance,
        "the worker starts"
    );
}

/// A list of addresses without what stands before an `@`.
fn without_credentials(addresses: &str) -> String {
    let address = |address: &str| match address.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default()),
        None => address.rsplit('@').next().unwrap_or_default().to_owned(),
    };
    addresses.split(',').map(address).collect::<Vec<_>>().join(",")
}

impl Observer for Watcher {
    fn fact(&mut self, fact: &Fact) {
        self.catalogue.count(fact);
        log::report(fact);
    }

    fn status(&mut self, processor: &Processor, seen: Seen, now: Timestamp) {
        self.is_starting.store(false, Ordering::SeqCst);
        let (waits, classes) = self.waits(processor, now);
        let mut status = Status {
            joined: seen.has_joined,
            has_stale_token: seen.has_stale_token,
            controls_read_at: Some(seen.controls_read_at),
            waits,
            classes,
            healthflow_trouble: seen.healthflow_trouble,
            ..processor.status(now)
        };
        if let Some(end_offsets) = &self.end_offsets {
            end_offsets.fill(&mut status);
        }
        if let Some(clock) = &self.clock {
            clock.fill(&mut status);
        }
        if let Some(registry) = &self.registry {
            registry.fill(&mut status);
        }
        let fetched = |topic, partition| seen.fetched.get(&TopicPartition { topic, partition }).copied();
        self.stalls.note(&mut status, fetched);
        self.unread.note(&mut status, fetched);
        self.status.send_replace(Arc::new(status));
    }
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn no_address_shows_a_password() {
        for (address, shown) in [
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("https://user:p%40ss@a.example/b,http://c", "https://a.example/b,http://c"),
            ("user:secret@host:9092", "host:9092"),
        ] {
            assert_eq!(without_credentials(address), shown);
        }
    }
}
