//! `healthflow-sync tail`: prints a topic as its readers see it: committed records, decoded, in the order of time.

mod merged;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use serde_json::{Map, Value, json};
use tokio::task::block_in_place;

use crate::cli::Connection;
use crate::cli::output::Printer;
use crate::cli::tail::merged::Merged;
use crate::kafka::KafkaFault;
use crate::kafka::refusal;
use crate::metrics::log;
use crate::registry::SchemaRegistry;
use healthflow_core::event::avro::{Contract, WriterSchema, contract, schema_id};
use healthflow_core::event::readable_bytes;
use healthflow_core::topics;

/// librdkafka requires the name of a group, although this joins none: partitions are assigned by hand, nothing is committed.
const GROUP: &str = "healthflow-sync-tail";
/// Longest wait for the topic's metadata.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// How long to wait for a schema before saying so.
const PATIENCE: Duration = Duration::from_secs(3);

/// The arguments of `tail`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One of our topics, without `kafka.name_prefix`, as in appointments.synced.
    pub topic: String,
    /// Start with the oldest record, not with the next one.
    #[arg(long)]
    pub from_beginning: bool,
    /// Stop after this many records; without it, go on until interrupted.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// Prints records to `out`, one JSON object a line, until the limit or until `out` is closed. Needs a runtime with several
/// threads.
pub async fn run(
    connection: &Connection,
    arguments: &Arguments,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let Some(contract) = contract(&arguments.topic) else {
        bail!(
            "{} is not one of this service's topics, which are {}",
            arguments.topic,
            topics::ALL.join(", ")
        );
    };
    let consumer: Arc<BaseConsumer> = Arc::new(consumer(connection)?);
    let start = if arguments.from_beginning { Offset::Beginning } else { Offset::End };
    let topic = connection.registry.prefix().on_cluster(contract.topic).into_owned();
    let partitions = match block_in_place(|| partitions(&consumer, &topic)) {
        Ok(partitions) => partitions,
        Err(error) => match refusal::explain(&connection.kafka).await {
            Some(why) => bail!(why),
            None => return Err(error),
        },
    };
    let merged = Merged::start(consumer, &topic, &partitions, start);
    let mut merged = merged.context("cannot read the topic")?;
    let mut waiting = false;
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let next = block_in_place(|| merged.next());
        let next = match next {
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed)) => {
                let resource = format!("group {}", connection.registry.prefix().on_cluster(GROUP));
                bail!(KafkaFault::NoRight { right: "Describe", resource });
            }
            next => next.map_err(|error| {
                KafkaFault::on_topic(format!("cannot read {topic}"), "Read", &topic, error)
            })?,
        };
        let Some(message) = next else {
            if !std::mem::replace(&mut waiting, true) {
                log::say("Kafka does not answer; waiting for it");
            }
            continue;
        };
        waiting = false;
        let line = line(contract, &connection.registry, &message).await;
        if !out.stream(&line)? {
            break;
        }
        left -= 1;
    }
    Ok(ExitCode::SUCCESS)
}

fn consumer(connection: &Connection) -> anyhow::Result<BaseConsumer> {
    let mut settings = connection.kafka.clone();
    settings
        .set("group.id", connection.registry.prefix().on_cluster(GROUP))
        .set("enable.auto.commit", "false");
    settings.set("isolation.level", "read_committed").set("allow.auto.create.topics", "false");
    settings.set("auto.offset.reset", "earliest").set("enable.partition.eof", "true");
    settings.create().context("cannot create a Kafka consumer")
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT);
    let metadata = metadata.context("Kafka does not answer; check kafka.brokers")?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
        .map(|partition| partition.id())
        .collect();
    if partitions.is_empty() {
        bail!("{topic} does not exist; run 'healthflow-sync topics'");
    }
    Ok(partitions)
}

async fn line(contract: &'static Contract, registry: &Arc<SchemaRegistry>, message: &impl Message) -> Value {
    let mut line = Map::new();
    line.insert("partition".into(), message.partition().into());
    line.insert("offset".into(), message.offset().into());
    line.insert("timestamp".into(), message.timestamp().to_millis().into());
    line.insert("key".into(), message.key().map(readable_bytes::bytes).into());
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers: Map<String, Value> = headers
        .map(|header| (header.key.to_owned(), header.value.map(readable_bytes::bytes).into()))
        .collect();
    if !headers.is_empty() {
        line.insert("headers".into(), headers.into());
    }
    let value = match message.payload() {
        None => Ok(Value::Null),
        Some(value) => match schema_id(value) {
            Ok(id) => schema(registry, id).await.decoder(contract).decode_json(value),
            Err(why) => Err(why),
        },
    };
    match value {
        Ok(value) => line.insert("value".into(), value),
        Err(why) => {
            line.insert("bytes".into(), message.payload().map(readable_bytes::bytes).into());
            line.insert("undecodable".into(), json!(why.to_string()))
        }
    };
    line.into()
}

/// The schema with `id`; says so once if the registry takes long to give it.
async fn schema(registry: &Arc<SchemaRegistry>, id: u32) -> Arc<WriterSchema> {
    let asked = registry.schema(id);
    tokio::pin!(asked);
    match tokio::time::timeout(PATIENCE, &mut asked).await {
        Ok(schema) => schema,
        Err(_) => {
            log::say(&format!(
                "the schema registry has not given schema {id} yet; waiting for it, check schema_registry.url"
            ));
            asked.await
        }
    }
}
