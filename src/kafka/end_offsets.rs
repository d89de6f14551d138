//! Fetches the end offsets of the lanes every few seconds, on a thread of its own, so that lag can be shown in records.
//! Only the status page and the metrics need them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::kafka::{KafkaFault, KafkaSettings, TopicPartition};
use healthflow_core::status::Status;
use healthflow_core::topics::NamePrefix;

/// How long the thread sleeps between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// How long a broker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The end offsets of the lanes that are wanted; none until the first answer.
type Known = BTreeMap<TopicPartition, Option<i64>>;

/// The thread and its last answers. Dropping it ends the thread.
pub struct EndOffsets {
    known: Arc<Mutex<Known>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EndOffsets {
    /// Starts the thread.
    ///
    /// # Errors
    /// The settings are refused, or no thread could be started.
    pub fn start(settings: &KafkaSettings) -> Result<Self, KafkaFault> {
        let consumer: BaseConsumer = settings
            .reader()
            .create()
            .map_err(KafkaFault::settings("the consumer that fetches end offsets"))?;
        let known: Arc<Mutex<Known>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (prefix, known, stop) = (settings.prefix.clone(), known.clone(), stop.clone());
            std::thread::Builder::new()
                .name("end offsets".into())
                .spawn(move || ask(&consumer, &prefix, &known, &stop))
                .map_err(KafkaFault::no_thread("to fetch end offsets"))?
        };
        Ok(EndOffsets { known, stop, thread: Some(thread) })
    }

    /// Fills in the known end offsets, and remembers which are wanted.
    pub fn fill(&self, status: &mut Status) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = Known::new();
        for task in &mut status.tasks {
            for lane in &mut task.lanes {
                let of = TopicPartition { topic: lane.lane.topic(), partition: task.partition };
                lane.end_offset = known.get(&of).copied().flatten();
                wanted.insert(of, lane.end_offset);
            }
        }
        *known = wanted;
    }
}

impl Drop for EndOffsets {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn ask(consumer: &BaseConsumer, prefix: &NamePrefix, known: &Mutex<Known>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let wanted: Vec<TopicPartition> =
            known.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        for of in wanted {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let topic = prefix.on_cluster(of.topic);
            if let Ok((_, end)) = consumer.fetch_watermarks(&topic, of.partition, ANSWER_LIMIT) {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(end_offset) = known.get_mut(&of) {
                    *end_offset = Some(end);
                }
            }
        }
        std::thread::park_timeout(ROUND);
    }
}
