//! Publishes single records by hand, to the partitions that Kafka's own default partitioner chooses.

use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Serialize;

use crate::cli::Connection;
use crate::kafka::KafkaFault;
use crate::kafka::refusal;
use crate::registry::RegistryFault;
use healthflow_core::booking::PracticeId;
use healthflow_core::event::avro::{Encoder, contract};
use healthflow_core::event::headers::Header;
use healthflow_core::event::size::RECORD_BYTES_RANGE;
use healthflow_core::topics::NamePrefix;

/// Longest wait until the broker has the record.
const SEND_LIMIT: Duration = Duration::from_secs(15);

/// A producer for a few records, one after the other.
pub struct Publisher {
    producer: FutureProducer,
    kafka: ClientConfig,
    prefix: NamePrefix,
}

impl Publisher {
    /// Creates the producer; connects to no broker yet.
    ///
    /// # Errors
    /// The settings are refused.
    pub fn new(connection: &Connection) -> anyhow::Result<Publisher> {
        let mut settings = connection.kafka.clone();
        settings.set("partitioner", "murmur2_random").set("enable.idempotence", "true");
        settings.set("message.max.bytes", RECORD_BYTES_RANGE.end().to_string());
        settings.set("message.timeout.ms", SEND_LIMIT.as_millis().to_string());
        let producer = settings.create().context("cannot create a Kafka producer")?;
        Ok(Publisher {
            producer,
            kafka: connection.kafka.clone(),
            prefix: connection.registry.prefix().clone(),
        })
    }

    /// Publishes one record to `topic`, named without the prefix; returns its partition and offset.
    ///
    /// # Errors
    /// The broker did not accept it in time.
    pub async fn publish(&self, topic: &str, key: &[u8], value: &[u8]) -> anyhow::Result<(i32, i64)> {
        self.publish_with(topic, key, value, &[]).await
    }

    /// The same, with headers.
    ///
    /// # Errors
    /// See [`Publisher::publish`].
    pub async fn publish_with(
        &self,
        topic: &str,
        key: &[u8],
        value: &[u8],
        headers: &[Header],
    ) -> anyhow::Result<(i32, i64)> {
        let topic = self.prefix.on_cluster(topic);
        let headers = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(rdkafka::message::Header { key, value: Some(value.as_str()) })
        });
        let record = FutureRecord::to(&topic).key(key).payload(value).headers(headers);
        match self.producer.send(record, SEND_LIMIT).await {
            Ok(delivered) => Ok((delivered.partition, delivered.offset)),
            Err((error, _)) => match refusal::explain(&self.kafka).await {
                Some(why) => bail!(why),
                None => {
                    let brokers = self.kafka.get("bootstrap.servers").unwrap_or_default();
                    let what = format!(
                        "Kafka did not accept the record; check that {brokers} is there (kafka.brokers)"
                    );
                    bail!(KafkaFault::on_topic(what, "Write", &topic, error))
                }
            },
        }
    }
}

/// Publishes `record` under our schema of `topic`, keyed by its practice; returns partition and offset.
///
/// # Errors
/// The registry does not know the schema, the record does not fit it, or the broker did not accept it in time.
pub async fn write<R: Serialize>(
    connection: &Connection,
    topic: &'static str,
    practice: &PracticeId,
    record: &R,
) -> anyhow::Result<(i32, i64)> {
    let contract = contract(topic).with_context(|| format!("{topic} has no schema"))?;
    let id = connection.registry.look_up(contract).await?;
    let id = id.ok_or(RegistryFault::NotRegistered {
        topic: connection.registry.prefix().on_cluster(contract.topic).into_owned(),
    })?;
    let mut value = Vec::new();
    Encoder::new(contract, id).encode(record, &mut value)?;
    Publisher::new(connection)?.publish(topic, practice.as_str().as_bytes(), &value).await
}
