//! `healthflow-sync tail`: prints a topic as its readers see it: committed records, decoded.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Map, Value, json};

use crate::cli::Connection;
use crate::kafka::KafkaFault;
use crate::kafka::refusal;
use crate::metrics::log;
use crate::registry::SchemaRegistry;
use healthflow_core::event::avro::{Contract, contract, schema_id};
use healthflow_core::topics;

/// librdkafka requires the name of a group, although this joins none: partitions are assigned by hand, nothing is committed.
const GROUP: &str = "healthflow-sync-tail";
/// Longest wait for the topic's metadata.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

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

/// Prints records to `out`, one JSON object a line, until the limit or until `out` is closed.
pub async fn run(
    connection: &Connection,
    arguments: &Arguments,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let Some(contract) = contract(&arguments.topic) else {
        bail!(
            "{} is not one of this service's topics, which are {}",
            arguments.topic,
            topics::ALL.join(", ")
        );
    };
    let consumer = Arc::new(consumer(connection)?);
    let start = if arguments.from_beginning { Offset::Beginning } else { Offset::End };
    let asked = consumer.clone();
    let topic = connection.registry.prefix().on_cluster(contract.topic).into_owned();
    let asked_for = topic.clone();
    let partitions = match tokio::task::spawn_blocking(move || partitions(&asked, &asked_for)).await? {
        Ok(partitions) => partitions,
        Err(error) => match refusal::explain(&connection.kafka).await {
            Some(why) => bail!(why),
            None => return Err(error),
        },
    };
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment.add_partition_offset(&topic, partition, start)?;
    }
    consumer.assign(&assignment).context("cannot read the topic")?;
    let mut waiting = false;
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let message = match consumer.recv().await {
            Ok(message) => message,
            // Brokers restart; librdkafka connects again by itself.
            Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut,
            )) => {
                if !std::mem::replace(&mut waiting, true) {
                    log::say("Kafka does not answer; waiting for it");
                }
                continue;
            }
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed)) => {
                let resource = format!("group {}", connection.registry.prefix().on_cluster(GROUP));
                bail!(KafkaFault::NoRight { right: "Describe", resource });
            }
            Err(error) => bail!(KafkaFault::on_topic(format!("cannot read {topic}"), "Read", &topic, error)),
        };
        waiting = false;
        let line = line(contract, &connection.registry, &message).await;
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            if error.kind() == ErrorKind::BrokenPipe {
                break;
            }
            return Err(error).context("cannot write to the output");
        }
        left -= 1;
    }
    Ok(ExitCode::SUCCESS)
}

fn consumer(connection: &Connection) -> anyhow::Result<StreamConsumer> {
    let mut settings = connection.kafka.clone();
    settings
        .set("group.id", connection.registry.prefix().on_cluster(GROUP))
        .set("enable.auto.commit", "false");
    settings.set("isolation.level", "read_committed").set("allow.auto.create.topics", "false");
    settings.set("auto.offset.reset", "earliest");
    settings.create().context("cannot create a Kafka consumer")
}

fn partitions(consumer: &StreamConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
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
    line.insert("key".into(), message.key().map(text).into());
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers: Map<String, Value> =
        headers.map(|header| (header.key.to_owned(), header.value.map(text).into())).collect();
    if !headers.is_empty() {
        line.insert("headers".into(), headers.into());
    }
    let value = match message.payload() {
        None => Ok(Value::Null),
        Some(value) => match schema_id(value) {
            Ok(id) => registry.schema(id).await.decoder(contract).decode_json(value),
            Err(why) => Err(why),
        },
    };
    match value {
        Ok(value) => line.insert("value".into(), value),
        Err(why) => line.insert("undecodable".into(), json!(why.to_string())),
    };
    line.into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
