//! The publishing half: events out, each at its time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use healthflow_core::booking::BookingKey;
use healthflow_core::event::avro::{Encoder, contract};
use healthflow_core::event::decision::AppointmentDecision;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{DECISIONS, REQUESTED};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::now;
use crate::journal::{Asked, Journal, Name, RecordPosition};
use crate::workload::people::Scenario;
use crate::workload::poison::unfolding_schema;
use crate::workload::{Expected, Publication};

/// How long Kafka may take for a record: longer than one that was killed needs to come back on a busy machine.
const DELIVERY_LIMIT_MS: &str = "120000";
const DELIVERY_LIMIT: Duration = Duration::from_secs(120);
/// What one record may have before it is compressed: more than a worker admits.
const RECORD_BYTES_MAX: &str = "10000000";
/// How long to wait for room in the producer's queue.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// Publishes to `appointments.requested`, and what its front desk decides to `appointments.decisions`.
pub struct Publisher {
    producer: FutureProducer,
    encoder: Arc<Encoder>,
    decisions: Encoder,
    unfolding: u32,
}

impl Publisher {
    /// Connects, and registers the schemas as any producer would.
    pub async fn connect(brokers: &str, registry_url: &str) -> Result<Publisher> {
        let decided = contract(DECISIONS).context("appointments.decisions has no schema")?;
        let decisions = Encoder::new(decided, register(registry_url, decided.topic, decided.json).await?);
        let contract = contract(REQUESTED).context("appointments.requested has no schema")?;
        let id = register(registry_url, contract.topic, contract.json).await?;
        let unfolding = register(registry_url, contract.topic, &unfolding_schema(contract.json)?).await?;
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", brokers).set("client.id", "dentscheduler");
        settings.set("enable.idempotence", "true").set("partitioner", "murmur2_random").set("linger.ms", "2");
        settings.set("delivery.timeout.ms", DELIVERY_LIMIT_MS);
        settings.set("compression.type", "zstd").set("message.max.bytes", RECORD_BYTES_MAX);
        let producer = settings.create().context("cannot make DentScheduler's producer")?;
        Ok(Publisher { producer, encoder: Arc::new(Encoder::new(contract, id)), decisions, unfolding })
    }

    /// Writes a decision as any product may, and waits until Kafka has it.
    pub async fn decide(&self, decision: &AppointmentDecision) -> Result<()> {
        let mut value = Vec::new();
        self.decisions.encode(decision, &mut value)?;
        let record = FutureRecord::to(DECISIONS).key(decision.practice_id.as_str()).payload(&value);
        let delivered = self.producer.send(record, DELIVERY_LIMIT).await;
        delivered.map(drop).map_err(|(error, _)| anyhow!("DentScheduler cannot write a decision: {error}"))
    }

    /// Publishes `publications`, the first one now and each other at its time after it, and waits until Kafka has them
    /// all. The journal has an entry before its record is sent.
    pub async fn publish(
        &self,
        publications: &[Publication],
        chart_ids: &[String],
        journal: &Arc<Journal>,
    ) -> Result<()> {
        let (start, start_at) = (Instant::now(), now());
        let mut deliveries = JoinSet::new();
        for publication in publications {
            let due = Duration::from_millis(publication.at_ms.unsigned_abs());
            sleep_until(start + due).await;
            let event = event(publication, chart_ids, start_at);
            self.send(publication, event, journal, &mut deliveries).await?;
        }
        while deliveries.join_next().await.is_some() {}
        Ok(())
    }

    async fn send(
        &self,
        publication: &Publication,
        event: AppointmentRequested,
        journal: &Arc<Journal>,
        deliveries: &mut JoinSet<()>,
    ) -> Result<()> {
        let mut value = Vec::new();
        self.encoder.encode(&event, &mut value)?;
        let expected = publication.expected;
        if let Expected::Poisoned(poison) = expected {
            poison.spoil_bytes(&mut value, self.unfolding);
        }
        let at = now();
        {
            let mut notes = journal.notes();
            notes.published += 1;
            if matches!(expected, Expected::Synced | Expected::Review(_)) {
                let booking = BookingKey { practice: event.practice_id, booking: event.booking_id };
                notes.asked.push(Asked { name: Name::Version(booking, event.version), expected, at });
            }
        }
        let mut record = FutureRecord::to(REQUESTED).key(&publication.key).payload(&value);
        let delivery = loop {
            match self.producer.send_result(record) {
                Ok(delivery) => break delivery,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    sleep(FULL_PAUSE).await;
                }
                Err((error, _)) => return Err(anyhow!("DentScheduler cannot publish: {error}")),
            }
        };
        let journal = journal.clone();
        deliveries.spawn(async move {
            let delivered = match delivery.await {
                Ok(Ok(delivered)) => {
                    Ok(RecordPosition { partition: delivered.partition, offset: delivered.offset })
                }
                Ok(Err((error, _))) => Err(error.to_string()),
                Err(_) => Err("the producer went away".to_owned()),
            };
            note_delivery(&journal, expected, at, delivered);
        });
        Ok(())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Only what an interrupted run no longer wants is left.
        self.producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
    }
}

fn note_delivery(
    journal: &Journal,
    expected: Expected,
    at: Timestamp,
    delivered: Result<RecordPosition, String>,
) {
    let mut notes = journal.notes();
    match delivered {
        Ok(position) => {
            // Such a record has no other name than its position.
            if matches!(expected, Expected::Poisoned(_)) {
                notes.asked.push(Asked { name: Name::Record(position), expected, at });
            }
        }
        Err(error) => notes.faults.push(format!("Kafka did not take a record: {error}")),
    }
}

/// The event as it is sent: with the time of day, and with the HealthFlow id that DentScheduler has.
fn event(publication: &Publication, chart_ids: &[String], start_at: Timestamp) -> AppointmentRequested {
    let mut event = publication.event.clone();
    event.requested_at = start_at.plus_ms(event.requested_at.0);
    if let Scenario::Known(chart) = publication.scenario {
        event.patient.healthflow_patient_id = chart_ids.get(chart).map(|id| id.as_str().into());
    }
    if let Expected::Poisoned(poison) = publication.expected {
        poison.spoil_event(&mut event);
    }
    event
}

/// Registers the topic's schema with the registry (Confluent's API) and returns its id.
async fn register(registry_url: &str, topic: &str, schema: &str) -> Result<u32> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{registry_url}/subjects/{topic}-value/versions");
    let body = serde_json::to_vec(&serde_json::json!({ "schema": schema }))?;
    let request =
        client.post(url).header("content-type", "application/vnd.schemaregistry.v1+json").body(body);
    let answer = async { request.send().await?.error_for_status()?.bytes().await };
    let answer = answer.await.context("the schema registry does not take DentScheduler's schema")?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    id.context("the schema registry gave no id")
}
