//! What librdkafka reports beside its answers: log lines and broken connections. If a connection broke or a request
//! timed out during a commit, its transaction may have been ended twice (rule T3), so every client of ours has such a
//! context.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

/// Passes librdkafka's log on, one level lower: librdkafka logs each lost connection as an error, and reconnects by
/// itself.
pub(super) fn log(client: &str, level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(client, facility, "librdkafka: {line}");
        }
        // A coordinator that is still loading: librdkafka asks again by itself.
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning if facility != "GETPID" => {
            tracing::warn!(client, facility, "librdkafka: {line}");
        }
        RDKafkaLogLevel::Debug => {}
        _ => tracing::debug!(client, facility, "librdkafka: {line}"),
    }
}

/// The context of a client that only queries or reads.
pub(super) struct QuietContext(pub(super) &'static str);

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(self.0, level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = self.0, "{error}: {reason}");
    }
}

impl ConsumerContext for QuietContext {}

/// The context of a transactional producer: records whether every connection stayed whole. librdkafka calls it on the
/// thread that serves the producer's events.
#[derive(Default)]
pub(super) struct ProducerWatch {
    broken: AtomicBool,
    refused: Mutex<Vec<usize>>,
}

impl ProducerWatch {
    /// Forgets broken connections: a new transaction begins.
    pub(super) fn reset(&self) {
        self.broken.store(false, Ordering::SeqCst);
    }

    /// Which records were refused for their size since the last call, by their index in the batch.
    pub(super) fn take_refused(&self) -> Vec<usize> {
        std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records a refusal for size.
    pub(super) fn note_refused(&self, place: usize) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(place);
    }

    /// Whether a connection broke or a request timed out since the last reset, as far as events were served.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }
}

impl ClientContext for ProducerWatch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // "FAIL" is a broken or refused connection, "REQTMOUT" a request without an answer.
        if matches!(facility, "FAIL" | "REQTMOUT") {
            self.broken.store(true, Ordering::SeqCst);
        }
        log("producer", level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.broken.store(true, Ordering::SeqCst);
        tracing::debug!(client = "producer", "{error}: {reason}");
    }
}

impl ProducerContext for ProducerWatch {
    /// The record's index in the batch.
    type DeliveryOpaque = usize;

    /// A failed delivery makes the transaction abortable. A refusal for size is recorded, since it is about one record.
    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        if let Err((error, _)) = result {
            tracing::debug!(client = "producer", "a record was not delivered: {error}");
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                self.note_refused(place);
            }
        }
    }
}
