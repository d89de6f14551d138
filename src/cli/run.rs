//! `healthflow-sync run`: a worker. It puts together configuration, logs, metrics and admin server, checks the topics,
//! and then runs the loop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::task::spawn_blocking;

use crate::cli::name_lock::{NameLock, instance_name};
use crate::cli::starting::Starting;
use crate::cli::topics::topic_spec;
use crate::cli::watcher::Watcher;
use crate::cli::{Connection, name_lock, open_files, reach};
use crate::config::{Config, FirstStart, GroupProtocol, secret};
use crate::http::{TransportSettings, check_token_file};
use crate::kafka::{
    BrokerClock, ClockFault, ControlsLog, EndOffsets, Fleet, KafkaFault, KafkaSettings, Knock, NotEntered,
    Now, Rights, cluster_id, group_on_cluster, knock,
};
use crate::kafka_admin::topics::{TopicFault, TopicSpec, Topics};
use crate::registry::{RetryPolicy, Translator};
use crate::worker::{self, Clock, RunSettings, StopRequest};
use healthflow_core::status::StartStep;
use healthflow_core::topics::NamePrefix;

/// The longest answer of HealthFlow that is read, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Threads of the runtime that carries the calls.
const RUNTIME_THREADS: usize = 2;

/// Runs a worker until it is asked to stop.
///
/// # Errors
/// The start is refused (settings, topics), or something failed that the worker cannot recover from.
pub fn run(config: &Config, connection: &Connection) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_all()
        .build()
        .context("cannot start the threads of the runtime")?;
    if let Some(path) = &config.healthflow.token_file.0 {
        check_token_file(path).map_err(|why| anyhow!("{why}; correct it, or `healthflow.token_file`"))?;
    }
    reach::healthflow_client(config).check()?;
    let open_files = open_files::raise_limit();
    let clock = Clock::start();
    let mut stop = StopRequest::listen(&runtime).context("cannot listen for signals")?;
    let mut watcher = Watcher::start(config, &runtime, clock)?;
    let start = watcher.starting();
    let now: Now = Arc::new(move || clock.now());
    let settings = kafka_settings(config)?;
    let skew_max_ms = i64::try_from(config.worker.clock_skew_max_ms).unwrap_or(i64::MAX);
    let brokers_clock = (skew_max_ms > 0).then(|| BrokerClock::new(&settings).map(Arc::new)).transpose()?;
    let rights = Arc::new(Rights::new(&settings)?);
    let checked = stop.unless_requested(async {
        check_rights(&start, connection, rights).await?;
        let partitions = check_topics(&start, connection, topic_spec(config)).await?;
        if let Some(brokers) = &brokers_clock {
            check_clock(&start, brokers, &now, skew_max_ms).await?;
        }
        anyhow::Ok(partitions)
    });
    let Some(partitions) = runtime.block_on(checked).transpose()? else {
        // Do not wait for a request that Kafka has not answered yet.
        runtime.shutdown_background();
        return Ok(());
    };
    open_files::check_limit(open_files, partitions, u64::from(config.worker.max_in_flight))?;
    let kafka = KafkaSettings { partition_count: partitions, ..settings };
    let Some(_name) = runtime.block_on(stop.unless_requested(take_name(&start, &kafka))).transpose()? else {
        runtime.shutdown_background();
        return Ok(());
    };
    watcher.clock = brokers_clock.map(|brokers| brokers.watch(now, skew_max_ms)).transpose()?;
    watcher.end_offsets = Some(EndOffsets::start(&kafka)?);
    watcher.registry = Some(connection.registry.clone());
    runtime.spawn(connection.registry.clone().look_ahead());
    let entered = stop.unless_requested(async {
        let (translator, fleet) = enter(&start, connection, &kafka, clock).await?;
        let controls = read_controls(&start, &kafka, &translator).await?;
        anyhow::Ok((translator, fleet, controls))
    });
    let Some((translator, fleet, controls)) = runtime.block_on(entered).transpose()? else {
        runtime.shutdown_background();
        return Ok(());
    };
    let settings = RunSettings {
        kafka,
        fleet,
        controls,
        translator,
        healthflow: healthflow_settings(config),
        shared_counter: config.limits.counter_settings(),
        processor: config.processor_settings(partitions),
    };
    worker::run(settings, runtime, clock, stop, &mut watcher)?;
    Ok(())
}

/// How a configuration reaches HealthFlow.
pub fn healthflow_settings(config: &Config) -> TransportSettings {
    TransportSettings {
        base_url: config.healthflow.base_url.clone(),
        client: reach::healthflow_client(config),
        token_file: config.healthflow.token_file.0.clone(),
        connect_timeout_ms: config.healthflow.connect_timeout_ms,
        request_life_ms: config.healthflow.request_life_ms,
        idle_connections_max: config.worker.max_in_flight as usize,
        idle_connection_ms: config.healthflow.idle_connection_ms,
        body_bytes_max: BODY_BYTES_MAX,
    }
}

/// The Kafka settings of a configuration.
///
/// # Errors
/// The file with librdkafka's properties cannot be read.
pub fn kafka_settings(config: &Config) -> anyhow::Result<KafkaSettings> {
    let kafka = &config.kafka;
    let properties = kafka.properties_file.0.as_deref().map(secret::properties).transpose()?;
    Ok(KafkaSettings {
        brokers: kafka.brokers.clone(),
        prefix: NamePrefix::new(&kafka.name_prefix),
        group_id: kafka.group_id.clone(),
        group_instance_id: kafka.group_instance_id.0.as_deref().map(instance_name),
        release_drain_ms: config.worker.release_drain_ms,
        application: kafka.application.clone(),
        consumer_protocol: kafka.group_protocol == GroupProtocol::Consumer,
        session_timeout_ms: kafka.session_timeout_ms,
        heartbeat_interval_ms: kafka.heartbeat_interval_ms,
        transaction_timeout_ms: kafka.transaction_timeout_ms,
        // librdkafka wants it below the transaction's, so that a record fails before its transaction does.
        message_timeout_ms: kafka.transaction_timeout_ms / 6 * 5,
        restore_no_progress_ms: kafka.restore_no_progress_ms,
        held_contents_max: config.review.contents_max as usize,
        record_bytes_max: kafka.record_bytes_max as usize,
        begins_at_end: kafka.first_start == FirstStart::Latest,
        properties: properties.unwrap_or_default(),
        ..KafkaSettings::default()
    })
}

/// How long a command waits for a schema that the registry does not know: a person waits for the command.
const COMMAND_UNKNOWN_WAIT: Duration = Duration::from_secs(2);

/// How a command retries the schema registry; a worker does it as configured.
pub fn command_retry_policy(config: &Config) -> RetryPolicy {
    let policy = registry_retry_policy(config);
    RetryPolicy { unknown_wait: policy.unknown_wait.min(COMMAND_UNKNOWN_WAIT), ..policy }
}

/// How the configuration has the schema registry retried.
pub fn registry_retry_policy(config: &Config) -> RetryPolicy {
    let (policy, unknown_wait_ms) = (RetryPolicy::default(), config.schema_registry.unknown_schema_wait_ms);
    let unknown_wait = Duration::from_millis(unknown_wait_ms);
    RetryPolicy {
        request_timeout: Duration::from_millis(config.schema_registry.timeout_ms),
        unknown_wait,
        unknown_wait_min: policy.unknown_wait_min.min(unknown_wait),
        ..policy
    }
}

/// Refuses to start if no broker lets us in, or our Kafka user lacks a right; waits while no broker answers.
async fn check_rights(start: &Starting, connection: &Connection, rights: Arc<Rights>) -> anyhow::Result<()> {
    loop {
        match knock(&connection.kafka).await {
            Knock::Answered => break,
            Knock::Refused(why) => bail!(why),
            Knock::Silent(why) => start.wait_out(StartStep::Brokers, &why).await,
        }
    }
    loop {
        let asked = rights.clone();
        match spawn_blocking(move || asked.missing()).await? {
            Ok(missing) if missing.is_empty() => return Ok(()),
            Ok(missing) => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                bail!(
                    "the Kafka user lacks {}; grant that (docs/security.md lists the rights that are needed)",
                    missing.join(", ")
                );
            }
            Err(fault) => start.wait_out(StartStep::Rights, &fault).await,
        }
    }
}

/// Refuses topics or schemas that differ from what is required; waits while Kafka or the registry is unavailable.
async fn check_topics(start: &Starting, connection: &Connection, required: TopicSpec) -> anyhow::Result<u32> {
    let topics = Topics::new(&connection.kafka, connection.registry.clone())?;
    loop {
        match topics.check(required).await {
            Ok(differences) if differences.is_empty() => break,
            Ok(differences) => {
                differences.iter().for_each(|difference| tracing::error!("{difference}"));
                bail!(
                    "the topics differ from what is required in {} ways; each has a line above",
                    differences.len()
                );
            }
            Err(TopicFault::Registry(fault)) if !fault.is_transient() => bail!(fault),
            Err(nothing @ TopicFault::NothingYet) => bail!(nothing),
            Err(fault @ (TopicFault::NoEntry(_) | TopicFault::NoRight { .. })) => bail!(fault),
            Err(fault) => start.wait_out(StartStep::Topics, &fault).await,
        }
    }
    loop {
        match topics.partition_count().await {
            Ok(Some(count)) => {
                return u32::try_from(count).context("appointments.requested has no partitions");
            }
            Ok(None) => bail!("appointments.requested does not exist; run `healthflow-sync topics`"),
            Err(fault) => start.wait_out(StartStep::Topics, &fault).await,
        }
    }
}

/// Holds the name of this worker on its host, if it has one; waits while Kafka is unavailable.
async fn take_name(start: &Starting, kafka: &KafkaSettings) -> anyhow::Result<Option<NameLock>> {
    let Some(instance) = &kafka.group_instance_id else { return Ok(None) };
    loop {
        let settings = kafka.clone();
        match spawn_blocking(move || cluster_id(&settings)).await? {
            Ok(cluster) => return name_lock::take(&cluster, &group_on_cluster(kafka), instance).map(Some),
            Err(fault @ KafkaFault::Unreachable { .. }) => start.wait_out(StartStep::Name, &fault).await,
            Err(refused) => bail!(refused),
        }
    }
}

/// Refuses state that belongs to another fleet, or is laid out for another number of partitions; waits while the
/// registry or Kafka is unavailable.
async fn enter(
    start: &Starting,
    connection: &Connection,
    kafka: &KafkaSettings,
    clock: Clock,
) -> anyhow::Result<(Arc<Translator>, Fleet)> {
    let translator = Translator::connect(connection.registry.clone(), &kafka.group_id).await?;
    loop {
        let (fleet, kafka, schemas) = (Fleet::new(kafka.owner()), kafka.clone(), translator.clone());
        let asked = spawn_blocking(move || fleet.enter(&kafka, &schemas, clock.now()).map(|()| fleet));
        match asked.await? {
            Ok(fleet) => return Ok((translator, fleet)),
            Err(NotEntered::Kafka(fault @ (KafkaFault::Forbidden { .. } | KafkaFault::NoRight { .. }))) => {
                bail!(fault)
            }
            Err(NotEntered::Kafka(fault)) => start.wait_out(StartStep::Fleet, &fault).await,
            Err(refused @ (NotEntered::Refused(_) | NotEntered::BrokenOff { .. })) => bail!(refused),
        }
    }
}

/// Reads what operators set by hand, so that no call goes out that somebody had stopped; waits while Kafka or the registry
/// is unavailable.
async fn read_controls(
    start: &Starting,
    kafka: &KafkaSettings,
    translator: &Arc<Translator>,
) -> anyhow::Result<ControlsLog> {
    let mut log = ControlsLog::new(kafka, translator.clone())?;
    loop {
        let read = move || {
            let read = log.read(&AtomicBool::new(false)).map(drop);
            (log, read)
        };
        let (back, read) = spawn_blocking(read).await?;
        match read {
            Ok(()) => return Ok(back),
            Err(fault) => start.wait_out(StartStep::Controls, &fault).await,
        }
        log = back;
    }
}

/// Refuses to run if this clock differs from the brokers' (`docs/decisions/one-clock-since-boot.md`); waits while the
/// brokers are unavailable.
async fn check_clock(
    start: &Starting,
    brokers: &Arc<BrokerClock>,
    now: &Now,
    skew_max_ms: i64,
) -> anyhow::Result<()> {
    loop {
        let (brokers, now) = (brokers.clone(), now.clone());
        match tokio::task::spawn_blocking(move || brokers.check(&now, skew_max_ms)).await? {
            Ok(()) => return Ok(()),
            Err(fault @ ClockFault::Silent(_)) => start.wait_out(StartStep::Clock, &fault).await,
            Err(fault) => bail!(fault),
        }
    }
}
