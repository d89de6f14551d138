//! Which lanes librdkafka really fetches, and how far, by its own statistics. The consumer reports an error that ends a
//! lane without the lane's name, and then reports nothing more; only the statistics show that the lane has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;

use crate::kafka::lane_reading::TaskLane;
use crate::kafka::{TopicPartition, context};
use healthflow_core::topics::{Lane, NamePrefix};

/// How often librdkafka reports its statistics, in milliseconds.
pub(super) const STATISTICS_MS: u64 = 2_000;
/// librdkafka's fetch states of a partition that is assigned and will not be fetched.
const ENDED: [&str; 2] = ["none", "stopped"];

/// How far each lane of each task is fetched: one past the last offset that librdkafka has seen, including the ends of
/// transactions, which are no records.
pub type Fetched = HashMap<TopicPartition, i64>;

/// The last statistics. The reader of the lanes shares them with the status page.
#[derive(Clone, Default)]
pub(super) struct Fetching(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// Counts the statistics.
    round: u64,
    fetched: Fetched,
    ended: Vec<TaskLane>,
}

impl Fetching {
    /// How far each lane is fetched.
    pub(super) fn fetched(&self) -> Fetched {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fetched.clone()
    }

    /// The lanes that are not fetched, if the statistics are newer than `round`; sets `round` to theirs.
    pub(super) fn ended_since(&self, round: &mut u64) -> Option<Vec<TaskLane>> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::replace(round, seen.round) != seen.round).then(|| seen.ended.clone())
    }

    fn note(&self, statistics: &Statistics, prefix: &NamePrefix) {
        let (mut fetched, mut ended) = (Fetched::new(), Vec::new());
        for lane in Lane::ALL {
            let partitions =
                statistics.topics.get(&*prefix.on_cluster(lane.topic())).map(|topic| &topic.partitions);
            for (&partition, of) in partitions.into_iter().flatten() {
                fetched.insert(TopicPartition { topic: lane.topic(), partition }, of.next_offset);
                if ENDED.contains(&of.fetch_state.as_str()) {
                    ended.push(TaskLane { partition, lane });
                }
            }
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen { round: seen.round + 1, fetched, ended };
    }
}

/// The context of the lanes' consumer.
pub(super) struct LanesContext {
    pub(super) fetching: Fetching,
    pub(super) prefix: NamePrefix,
}

impl ClientContext for LanesContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log("lanes", level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = "lanes", "{error}: {reason}");
    }

    fn stats(&self, statistics: Statistics) {
        self.fetching.note(&statistics, &self.prefix);
    }
}

impl ConsumerContext for LanesContext {}
