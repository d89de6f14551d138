//! Where the lanes end, asked every few seconds on a thread of its own, so that lag can be told in records. Only the
//! status page and the metrics need it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::kafka::{KafkaFault, KafkaSettings};
use healthflow_core::status::Status;

/// How long the thread rests between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// How long a broker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

type Known = BTreeMap<(&'static str, i32), Option<i64>>;

/// The thread and what it knows. Dropping it ends the thread.
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
            .map_err(KafkaFault::settings("the consumer that asks for the ends"))?;
        let known: Arc<Mutex<Known>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (known, stop) = (known.clone(), stop.clone());
            std::thread::Builder::new()
                .name("ends".into())
                .spawn(move || ask(&consumer, &known, &stop))
                .map_err(KafkaFault::no_thread("to ask for the ends"))?
        };
        Ok(EndOffsets { known, stop, thread: Some(thread) })
    }

    /// Fills in what is known, and remembers which ends are wanted.
    pub fn fill(&self, status: &mut Status) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = Known::new();
        for task in &mut status.tasks {
            for lane in &mut task.lanes {
                let place = (lane.lane.topic(), task.partition);
                lane.end_offset = known.get(&place).copied().flatten();
                wanted.insert(place, lane.end_offset);
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

fn ask(consumer: &BaseConsumer, known: &Mutex<Known>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let wanted: Vec<(&'static str, i32)> =
            known.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        for (topic, partition) in wanted {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            if let Ok((_, end)) = consumer.fetch_watermarks(topic, partition, ANSWER_LIMIT) {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(place) = known.get_mut(&(topic, partition)) {
                    *place = Some(end);
                }
            }
        }
        std::thread::park_timeout(ROUND);
    }
}
