//! Reads the brokers' time. Kafka has no request for it, so this module writes a record to a topic whose brokers stamp
//! what they append (`healthflow.clock`), and the acknowledgement returns the stamp. A worker whose clock differs reads
//! every deadline wrongly, and nothing else would show it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message, Timestamp as Stamp};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::kafka::context::log;
use crate::kafka::{KafkaFault, KafkaSettings, Now};
use healthflow_core::status::Status;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::CLOCK;

/// How long the brokers may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How often a worker that runs compares its clock.
const COMPARE_EVERY: Duration = Duration::from_secs(60);
/// How often it warns while its clock differs.
const WARN_EVERY: Duration = Duration::from_secs(3_600);

/// One answer: our clock before the request, the broker's time, our clock after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerTime {
    /// Our clock, before.
    pub asked_at: Timestamp,
    /// The broker's.
    pub stamped_at: Timestamp,
    /// Our clock, after.
    pub answered_at: Timestamp,
}

impl BrokerTime {
    /// How far our clock is ahead of the broker's at least, in milliseconds; negative: behind. The broker may have
    /// stamped at any moment of the round trip, so a stamp within it shows no difference.
    pub fn ahead_ms(&self) -> i64 {
        let behind_ms = self.stamped_at.since_ms(self.answered_at).max(0);
        let ahead_ms = self.asked_at.since_ms(self.stamped_at).max(0);
        ahead_ms - behind_ms
    }
}

/// Why a worker's clock cannot be trusted, or not be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// The brokers did not answer: ask again.
    #[error("the brokers' time is unknown: {0}; check kafka.brokers and that the brokers run")]
    Silent(String),
    /// The brokers refuse to answer.
    #[error(
        "cannot read the brokers' time: {0}; allow this worker to Write and Describe healthflow.clock, or set \
         worker.clock_skew_max_ms = 0 to run without comparing clocks"
    )]
    Refused(String),
    /// Our clock and theirs differ.
    #[error(
        "this worker's clock says {}, the brokers' says {}: they are at least {} s apart, and worker.clock_skew_max_ms allows \
         {} s; set the time of the machine that is wrong (NTP), and start again",
        .time.asked_at, .time.stamped_at, .time.ahead_ms().abs() / 1_000, .allowed_ms / 1_000
    )]
    Apart {
        /// The answer that shows it.
        time: BrokerTime,
        /// How far they may be apart.
        allowed_ms: i64,
    },
}

/// Asks the brokers for their time.
pub struct BrokerClock {
    producer: BaseProducer<Acknowledged>,
    /// The name of `healthflow.clock` on the cluster.
    topic: String,
}

impl BrokerClock {
    /// Creates the client; does not connect yet.
    ///
    /// # Errors
    /// The settings are refused.
    pub fn new(settings: &KafkaSettings) -> Result<Self, KafkaFault> {
        let limit_ms = ANSWER_LIMIT.as_millis().to_string();
        let producer = settings
            .client()
            .set("linger.ms", "0")
            .set("acks", "1")
            .set("message.timeout.ms", limit_ms)
            .create_with_context(Acknowledged::default())
            .map_err(KafkaFault::settings("the producer that asks for the time"))?;
        Ok(BrokerClock { producer, topic: settings.on_cluster(CLOCK).into_owned() })
    }

    /// The brokers' time: asks the leader of every partition of `healthflow.clock`, and returns the median answer, so
    /// that one wrong broker of several does not count.
    ///
    /// # Errors
    /// A broker does not answer, or refuses.
    pub fn ask(&self, now: &Now) -> Result<BrokerTime, ClockFault> {
        let metadata =
            self.producer.client().fetch_metadata(Some(&self.topic), ANSWER_LIMIT).map_err(fault)?;
        let partitions = metadata.topics().iter().map(|topic| topic.partitions().len()).max().unwrap_or(0);
        let ask = |partition| self.ask_one(i32::try_from(partition).unwrap_or(i32::MAX), now);
        let mut answers: Vec<BrokerTime> = (0..partitions).map(ask).collect::<Result<_, _>>()?;
        answers.sort_by_key(BrokerTime::ahead_ms);
        let middle = answers.get(answers.len() / 2).copied();
        middle.ok_or_else(|| ClockFault::Silent(format!("{} does not exist yet", self.topic)))
    }

    fn ask_one(&self, partition: i32, now: &Now) -> Result<BrokerTime, ClockFault> {
        let limit = Instant::now() + 2 * ANSWER_LIMIT;
        let acknowledged = self.producer.context();
        acknowledged.take();
        let asked_at = now();
        let record = BaseRecord::<[u8], [u8]>::to(&self.topic).partition(partition).payload(&[]);
        self.producer.send(record).map_err(|(error, _)| fault(error))?;
        while Instant::now() < limit {
            self.producer.poll(Duration::from_millis(100));
            if let Some(answer) = acknowledged.take() {
                let stamped_at = answer?;
                return Ok(BrokerTime { asked_at, stamped_at, answered_at: now() });
            }
        }
        Err(ClockFault::Silent(format!("no answer from the leader of {}/{partition}", self.topic)))
    }

    /// Checks that our clock differs from the brokers' by at most `allowed_ms`.
    ///
    /// # Errors
    /// It differs by more, or the brokers' time is unknown.
    pub fn check(&self, now: &Now, allowed_ms: i64) -> Result<(), ClockFault> {
        let time = self.ask(now)?;
        if time.ahead_ms().abs() > allowed_ms { Err(ClockFault::Apart { time, allowed_ms }) } else { Ok(()) }
    }

    /// Keeps comparing on a thread of its own, for the metrics and a warning. It stops nothing that runs.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn watch(self: Arc<Self>, now: Now, allowed_ms: i64) -> Result<ClockWatch, KafkaFault> {
        let ahead_ms = Arc::new(Mutex::new(None));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, ends) = (ahead_ms.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("clock".into())
            .spawn(move || compare(&self, &now, allowed_ms, &seen, &ends))
            .map_err(KafkaFault::no_thread("to compare the clock"))?;
        Ok(ClockWatch { ahead_ms, stop, thread: Some(thread) })
    }
}

/// The thread that compares. Dropping it ends it.
pub struct ClockWatch {
    ahead_ms: Arc<Mutex<Option<i64>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ClockWatch {
    /// Fills in the last difference.
    pub fn fill(&self, status: &mut Status) {
        status.clock_ahead_ms = *self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner);
    }
}

impl Drop for ClockWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn compare(clock: &BrokerClock, now: &Now, allowed_ms: i64, seen: &Mutex<Option<i64>>, stop: &AtomicBool) {
    let mut warned_at: Option<Instant> = None;
    while !stop.load(Ordering::SeqCst) {
        match clock.ask(now) {
            Ok(time) => {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(time.ahead_ms());
                let is_apart = time.ahead_ms().abs() > allowed_ms;
                if is_apart && warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                    warned_at = Some(Instant::now());
                    tracing::warn!(
                        "{}; until its restart this worker reads every deadline that much too early or too late",
                        ClockFault::Apart { time, allowed_ms }
                    );
                }
            }
            Err(why) => tracing::debug!("{why}"),
        }
        std::thread::park_timeout(COMPARE_EVERY);
    }
}

fn fault(error: KafkaError) -> ClockFault {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTimestamp,
        ) => ClockFault::Refused(error.to_string()),
        _ => ClockFault::Silent(error.to_string()),
    }
}

/// The last acknowledgement.
#[derive(Default)]
struct Acknowledged(Mutex<Option<Result<Timestamp, ClockFault>>>);

impl Acknowledged {
    fn take(&self) -> Option<Result<Timestamp, ClockFault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Acknowledged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log("clock", level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = "clock", "{error}: {reason}");
    }
}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let answer = match result {
            Ok(record) => match record.timestamp() {
                Stamp::LogAppendTime(ms) => Ok(Timestamp(ms)),
                _ => Err(ClockFault::Refused(format!(
                    "message.timestamp.type of {CLOCK} is not LogAppendTime"
                ))),
            },
            Err((error, _)) => Err(fault(error.clone())),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(asked_at: i64, stamped_at: i64, answered_at: i64) -> BrokerTime {
        BrokerTime {
            asked_at: Timestamp(asked_at),
            stamped_at: Timestamp(stamped_at),
            answered_at: Timestamp(answered_at),
        }
    }

    #[test]
    fn a_stamp_within_the_round_trip_is_no_difference() {
        for stamped_at in [1_000, 1_500, 31_000] {
            assert_eq!(answer(1_000, stamped_at, 31_000).ahead_ms(), 0);
        }
    }

    #[test]
    fn a_difference_is_counted_from_the_nearer_end_of_the_round_trip() {
        assert_eq!(answer(90_000, 1_000, 91_000).ahead_ms(), 89_000);
        assert_eq!(answer(1_000, 90_000, 3_000).ahead_ms(), -87_000);
    }

    #[test]
    fn the_line_of_a_refused_start_names_both_times_and_the_remedy() {
        let time = answer(1_800_000_000_000, 1_798_272_000_000, 1_800_000_000_010);
        let line = ClockFault::Apart { time, allowed_ms: 60_000 }.to_string();
        assert_eq!(
            line,
            "this worker's clock says 2027-01-15T08:00:00Z, the brokers' says 2026-12-26T08:00:00Z: they are at least \
             1728000 s apart, and worker.clock_skew_max_ms allows 60 s; set the time of the machine that is wrong (NTP), and \
             start again"
        );
    }
}
