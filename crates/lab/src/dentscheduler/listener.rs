//! The listening half: a `read_committed` consumer of the results. A result counts from the moment at which it is seen
//! here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use healthflow_core::booking::BookingKey;
use healthflow_core::event::avro::{Decoder, Undecodable, contract};
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::event::headers;
use healthflow_core::event::result::ResultEnvelope;
use healthflow_core::event::review::AppointmentReview;
use healthflow_core::event::synced::AppointmentSynced;
use healthflow_core::topics::{FAILED, REVIEW, SYNCED};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::now;
use crate::journal::{Journal, RecordPosition, SeenResult};

const POLL: Duration = Duration::from_millis(50);

/// Listens until it is dropped.
pub struct Listener {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Starts to listen, from the oldest result on, and enters what it sees into the journal.
    pub fn start(brokers: &str, journal: Arc<Journal>) -> Result<Listener> {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", brokers).set("client.id", "dentscheduler");
        settings.set("group.id", "dentscheduler").set("isolation.level", "read_committed");
        settings.set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
        settings.set("fetch.wait.max.ms", "50").set("fetch.queue.backoff.ms", "10");
        let consumer: BaseConsumer = settings.create().context("cannot make DentScheduler's consumer")?;
        consumer.subscribe(&[SYNCED, REVIEW, FAILED]).context("cannot subscribe to the results")?;
        let decoders = Decoders::new()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let listen = move || {
            while !stopped.load(Ordering::Relaxed) {
                match consumer.poll(POLL) {
                    None => {}
                    // A version that waits no more is not in review any more; its result says how it ended.
                    Some(Ok(message)) if message.payload().is_none() => {}
                    Some(Ok(message)) => enter(&journal, decoders.read(&message)),
                    Some(Err(error)) => note_unless_passing(&journal, &error),
                }
            }
        };
        let thread = std::thread::Builder::new().name("dentscheduler".into()).spawn(listen)?;
        Ok(Listener { stop, thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("demo: DentScheduler's listener died");
        }
    }
}

fn enter(journal: &Journal, result: Result<SeenResult>) {
    let mut notes = journal.notes();
    match result {
        Ok(result) => notes.results.push(result),
        Err(error) => notes.faults.push(format!("{error:#}")),
    }
}

/// A consumer recovers from most errors itself; only one that it calls fatal ends it.
fn note_unless_passing(journal: &Journal, error: &rdkafka::error::KafkaError) {
    if matches!(error, rdkafka::error::KafkaError::MessageConsumptionFatal(_)) {
        journal.notes().faults.push(format!("DentScheduler cannot read its results: {error}"));
    }
}

struct Decoders {
    synced: Decoder,
    review: Decoder,
    failed: Decoder,
}

impl Decoders {
    fn new() -> Result<Decoders> {
        let decoder = |topic| contract(topic).map(Decoder::own).context("a topic has no schema");
        Ok(Decoders { synced: decoder(SYNCED)?, review: decoder(REVIEW)?, failed: decoder(FAILED)? })
    }

    fn read(&self, message: &BorrowedMessage) -> Result<SeenResult> {
        let value = message.payload().unwrap_or_default();
        let (envelope, decision) = self.envelope(message.topic(), value).map_err(|why| {
            let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
            anyhow!("DentScheduler cannot read a result: {topic}/{partition} at {offset}: {why}")
        })?;
        let version = match (envelope.practice_id, envelope.booking_id, envelope.version) {
            (Some(practice), Some(booking), Some(version)) => {
                Some((BookingKey { practice, booking }, version))
            }
            _ => None,
        };
        Ok(SeenResult {
            version,
            record: record(message),
            outcome: envelope.outcome,
            is_final: envelope.is_final,
            reason: envelope.reason.as_deref().map(str::to_owned),
            generation: envelope.generation,
            attempts: envelope.attempts,
            decision: decision.as_deref().map(str::to_owned),
            at: now(),
        })
    }

    /// The result, and the decision that it is about, if it is about one.
    fn envelope(&self, topic: &str, value: &[u8]) -> Result<(ResultEnvelope, Option<Arc<str>>), Undecodable> {
        match topic {
            SYNCED => self.synced.decode::<AppointmentSynced>(value).map(|record| (record.result, None)),
            REVIEW => self.review.decode::<AppointmentReview>(value).map(|record| (record.result, None)),
            _ => {
                let letter = self.failed.decode::<AppointmentFailed>(value)?;
                Ok((letter.result, letter.decision_id))
            }
        }
    }
}

/// Where a dead letter's record came from.
fn record(message: &BorrowedMessage) -> Option<RecordPosition> {
    let number = |name: &str| {
        let header = message.headers()?.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()?.parse::<i64>().ok()
    };
    let partition = i32::try_from(number(headers::PARTITION)?).ok()?;
    Some(RecordPosition { partition, offset: number(headers::OFFSET)? })
}
