//! The transactional producer of one task: everything a task finished goes out together or not at all (rules T1–T4).
//! Its calls block, so they belong on the task's own thread, which also serves the producer's events. rdkafka's
//! `ThreadedProducer` spins through the last millisecond of each of its 100 ms polls, 8 % of a core for 12 idle tasks;
//! and an event that waits on another thread could be the broken connection of this commit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;

use crate::kafka::commit_outcome::{AbortCause, CommitLoss, CommitOutcome, Verdict};
use crate::kafka::context::ProducerWatch;
use crate::kafka::group::Membership;
use crate::kafka::refused::Refused;
use crate::kafka::settings::KafkaSettings;
use crate::kafka::watchdog::Watchdog;
use crate::kafka::{KafkaFault, Now};
use crate::registry::Translator;
use healthflow_core::event::codec::Encoded;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{NamePrefix, Position};

/// How often the same batch is committed again after an abort before the task is dropped.
const ABORTS_MAX: u32 = 10;
/// How long the first retry waits, in milliseconds; each further one twice as long, up to [`PAUSE_MAX_MS`]. After a
/// rebalance the broker knows a newer generation than we do for some milliseconds.
const PAUSE_MIN_MS: u64 = 10;
const PAUSE_MAX_MS: u64 = 500;
/// How often a retriable call is retried.
const REPEATS_MAX: u32 = 20;
/// How long to poll for late events after a commit; normally they have arrived.
const LATE_EVENTS: Duration = Duration::from_millis(20);
/// Pause between two polls for events while records are on their way. It grows by a quarter with each poll in vain: a
/// broker answers within milliseconds or is overloaded, and then every task of a worker polls.
const EVENT_PAUSE_MIN: Duration = Duration::from_micros(400);
const EVENT_PAUSE_MAX: Duration = Duration::from_millis(100);

/// One task's producer. Another one with the same transactional id fences it.
pub struct TaskProducer {
    producer: BaseProducer<ProducerWatch>,
    partition: i32,
    transactional_id: String,
    prefix: NamePrefix,
    transaction_timeout: Duration,
    watchdog: Watchdog,
    now: Now,
}

impl TaskProducer {
    /// Creates the producer; sends nothing to a broker yet.
    ///
    /// # Errors
    /// The settings are refused.
    pub fn new(
        settings: &KafkaSettings,
        partition: i32,
        watchdog: Watchdog,
        now: Now,
    ) -> Result<Self, KafkaFault> {
        let config = settings.producer(partition);
        let transactional_id = config.get("transactional.id").unwrap_or_default().to_owned();
        let producer = config
            .create_with_context(ProducerWatch::default())
            .map_err(KafkaFault::settings(format!("the producer of task {partition}")))?;
        let transaction_timeout = Duration::from_millis(settings.transaction_timeout_ms);
        let prefix = settings.prefix.clone();
        Ok(TaskProducer { producer, partition, transactional_id, prefix, transaction_timeout, watchdog, now })
    }

    /// Fences every earlier owner of this task, and ends its open transaction (rule K1). Returns when that was done: F.
    ///
    /// # Errors
    /// No broker answered within the transaction time-out, or it refused.
    pub fn fence(&self) -> Result<Timestamp, KafkaFault> {
        let limit = self.transaction_timeout;
        let _watch = self.watchdog.watch("init_transactions", self.partition, limit * 3);
        let (partition, id) = (self.partition, &self.transactional_id);
        let failed = |error| {
            KafkaFault::of(format!("task {partition}, transactional id {id}, cannot be fenced"), error)
        };
        self.producer.init_transactions(limit).map_err(failed)?;
        Ok((self.now)())
    }

    /// Commits one batch: the records, each to the task's partition, and the offsets that it carries. Commits an
    /// aborted batch again, with a new proof of membership; that repeats no HTTP call (rule T3).
    pub fn commit(
        &self,
        batch: &CommitBatch,
        translator: &Translator,
        membership: &Membership,
    ) -> CommitOutcome {
        let mut aborts = 0;
        let mut refused = Refused::default();
        self.producer.context().take_refused();
        loop {
            let started_at = (self.now)();
            match self.attempt(batch, &refused, translator, membership) {
                Ok(()) => return CommitOutcome::Good { started_at, aborts },
                Err(Verdict::Lost(loss)) => return CommitOutcome::Lost(loss),
                Err(Verdict::Abort(last)) => {
                    tracing::debug!(partition = self.partition, "transaction aborted: {last}");
                    if let Err(loss) = self.abort_once() {
                        return CommitOutcome::Lost(loss);
                    }
                    refused.note(self.producer.context().take_refused());
                    aborts += 1;
                    if aborts > ABORTS_MAX {
                        return CommitOutcome::Lost(CommitLoss::AbortedTooOften { aborts, last });
                    }
                    let pause = (PAUSE_MIN_MS << aborts.min(16)).min(PAUSE_MAX_MS);
                    std::thread::sleep(Duration::from_millis(pause));
                }
            }
        }
    }

    fn attempt(
        &self,
        batch: &CommitBatch,
        refused: &Refused,
        translator: &Translator,
        membership: &Membership,
    ) -> Result<(), Verdict> {
        if membership.proof().is_none() {
            return Err(CommitLoss::NoMembership.into());
        }
        let watch = self.producer.context();
        // A connection that broke before this transaction began does not concern it.
        self.serve(LATE_EVENTS);
        watch.reset();
        self.producer.begin_transaction().map_err(|error| Verdict::of("begin", error))?;
        self.send_all(batch, refused, translator)?;
        if !batch.offsets.is_empty() {
            self.send_offsets(&batch.offsets, membership)?;
        }
        let committed = self.repeat("commit", |producer| producer.commit_transaction(Timeout::Never));
        match committed {
            Err(Verdict::Lost(_)) => committed,
            _ if self.connection_broke() => Err(CommitLoss::ConnectionBroke.into()),
            _ => committed,
        }
    }

    /// Whether a connection broke since the watch was reset. First serves every event that librdkafka has queued.
    fn connection_broke(&self) -> bool {
        self.serve(LATE_EVENTS);
        self.producer.context().is_broken()
    }

    /// Aborts, and makes sure that `EndTxn` was sent once: a second one that is still on its way could end the next
    /// transaction, with its records lost and its offsets committed (rule T3).
    fn abort_once(&self) -> Result<(), CommitLoss> {
        self.serve(LATE_EVENTS);
        self.producer.context().reset();
        self.abort()?;
        if self.connection_broke() {
            return Err(CommitLoss::ConnectionBrokeAborting);
        }
        Ok(())
    }

    /// Sends the records and waits until the brokers have them: first those that were never refused for their size,
    /// then each of the others alone, so that a refusal concerns only that record.
    fn send_all(
        &self,
        batch: &CommitBatch,
        refused: &Refused,
        translator: &Translator,
    ) -> Result<(), Verdict> {
        let mut buffer = Vec::new();
        for alone in [false, true] {
            for (place, record) in batch.records.iter().enumerate() {
                if refused.goes_alone(place) != alone {
                    continue;
                }
                let form = refused.form(place, record, (self.now)());
                let encoded = translator.encode(&form, &mut buffer).map_err(CommitLoss::from)?;
                self.send(place, &encoded)?;
                if alone {
                    self.wait_delivered()?;
                }
            }
            self.wait_delivered()?;
        }
        Ok(())
    }

    /// Waits for all acknowledgements; rdkafka's flush, with which its commit begins, would wait in slices of 100 ms.
    fn wait_delivered(&self) -> Result<(), Verdict> {
        if self.serve(self.transaction_timeout) {
            return Ok(());
        }
        Err(AbortCause::NotAcknowledged.into())
    }

    fn send(&self, place: usize, record: &Encoded<'_>) -> Result<(), Verdict> {
        let partition = record.partition.unwrap_or(self.partition);
        let topic = self.prefix.on_cluster(record.topic);
        let mut message: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&topic, place).partition(partition);
        if let Some(value) = record.value {
            message = message.payload(value);
        }
        if let Some(key) = &record.key {
            message = message.key(key);
        }
        if !record.headers.is_empty() {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            message = message.headers(headers);
        }
        for _ in 0..REPEATS_MAX {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    message = back;
                    // Serving delivery reports makes room.
                    self.serve(Duration::ZERO);
                    std::thread::sleep(Duration::from_millis(PAUSE_MIN_MS));
                }
                Err((error, _)) => {
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                        self.producer.context().note_refused(place);
                    }
                    let topic = record.topic;
                    return Err(AbortCause::NotTaken { topic, error }.into());
                }
            }
        }
        Err(AbortCause::QueueFull.into())
    }

    fn send_offsets(&self, offsets: &[Position], membership: &Membership) -> Result<(), Verdict> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for &Position { lane, offset } in offsets {
            let topic = self.prefix.on_cluster(lane.topic());
            list.add_partition_offset(&topic, self.partition, Offset::Offset(offset))
                .map_err(|error| CommitLoss::InvalidOffset { lane, offset, error })?;
        }
        let Some(proof) = membership.proof() else {
            return Err(CommitLoss::MembershipLost.into());
        };
        let limit = self.transaction_timeout;
        self.repeat("send_offsets", |producer| producer.send_offsets_to_transaction(&list, &proof, limit))
    }

    /// Aborts. librdkafka waits for the reports of records that are still on their way, so another thread serves them.
    fn abort(&self) -> Result<(), CommitLoss> {
        let done = AtomicBool::new(false);
        let aborted = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut pause = EVENT_PAUSE_MIN;
                while !done.load(Ordering::SeqCst) {
                    self.serve(Duration::ZERO);
                    pause = sleep_longer(pause);
                }
            });
            let aborted = self.repeat("abort", |producer| producer.abort_transaction(Timeout::Never));
            done.store(true, Ordering::SeqCst);
            aborted
        });
        match aborted {
            Ok(()) => Ok(()),
            Err(Verdict::Abort(cause)) => Err(CommitLoss::NotAborted(cause)),
            Err(Verdict::Lost(loss)) => Err(loss),
        }
    }

    /// Retries what librdkafka calls retriable, until the broker has ended the transaction anyway.
    fn repeat(
        &self,
        what: &'static str,
        call: impl Fn(&BaseProducer<ProducerWatch>) -> Result<(), KafkaError>,
    ) -> Result<(), Verdict> {
        let started = Instant::now();
        let mut repeats = 0;
        loop {
            let watched = self.watchdog.watch(what, self.partition, self.transaction_timeout * 3);
            let called = call(&self.producer);
            drop(watched);
            let may_repeat = repeats < REPEATS_MAX && started.elapsed() < self.transaction_timeout;
            match called {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && may_repeat => {
                    repeats += 1;
                    std::thread::sleep(Duration::from_millis(PAUSE_MIN_MS));
                }
                Err(error) => return Err(Verdict::of(what, error)),
            }
        }
    }

    /// Serves the producer's events until none is left and no record is on its way; true if that happened within the
    /// limit. A limit of zero serves the events that are queued.
    pub(super) fn serve(&self, limit: Duration) -> bool {
        let started = Instant::now();
        let mut pause = EVENT_PAUSE_MIN;
        loop {
            let before = self.producer.in_flight_count();
            if before == 0 {
                return true;
            }
            // With no time to wait, a poll serves one event.
            self.producer.poll(Duration::ZERO);
            if self.producer.in_flight_count() < before {
                pause = EVENT_PAUSE_MIN;
            } else if started.elapsed() >= limit {
                return false;
            } else {
                pause = sleep_longer(pause);
            }
        }
    }
}

/// Sleeps for `pause`; returns the next pause.
fn sleep_longer(pause: Duration) -> Duration {
    std::thread::sleep(pause);
    (pause + pause / 4).min(EVENT_PAUSE_MAX)
}
