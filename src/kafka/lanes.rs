//! The reader of all lanes of a worker: one consumer, assigned by hand, with start positions from the acquisition. Its
//! thread carries out orders between two polls, so that a record always goes to the life of the task that was fetching
//! when it was polled.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::fetching::{Fetched, Fetching, LanesContext};
use crate::kafka::lane_reading::{Limits, RECORD_OVERHEAD_BYTES, Reading, TaskLane};
use crate::kafka::settings::KafkaSettings;
use crate::kafka::{KafkaFault, Now};
use crate::registry::{RawRecord, Translator, Wait};
use healthflow_core::event::size::input_bytes_max;
use healthflow_core::life::{Incarnation, LaneEnd};
use healthflow_core::partition::read_guard::GuardedRange;
use healthflow_core::processor::{Inbox, Input};
use healthflow_core::topics::{Lane, NamePrefix, Position};

/// How long a poll waits for a record; also how late an order may be carried out.
const POLL: Duration = Duration::from_millis(10);
/// Records handed over at once.
const BATCH_MAX: usize = 256;
/// After how many statistics in a row without a fetch a lane counts as ended.
const ENDED_ROUNDS: u32 = 2;

/// The reader. Dropping it ends its thread.
pub struct Lanes {
    fetching: Fetching,
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Start { partition: i32, incarnation: Incarnation, positions: Vec<Position>, guarded: Vec<Position> },
    Read { partition: i32, release: GuardedRange },
    Stop { partition: i32 },
    Pause { partition: i32, lane: Lane },
    Resume { partition: i32, lane: Lane },
}

impl Lanes {
    /// Starts the reader, with nothing to read yet.
    ///
    /// # Errors
    /// The settings are refused, or no thread could be started.
    pub fn start(
        settings: &KafkaSettings,
        translator: Arc<Translator>,
        inbox: Arc<dyn Inbox>,
        now: Now,
    ) -> Result<Self, KafkaFault> {
        let fetching = Fetching::default();
        let prefix = settings.prefix.clone();
        let consumer = settings
            .lanes()
            .create_with_context(LanesContext { fetching: fetching.clone(), prefix: prefix.clone() })
            .map_err(KafkaFault::settings("the lanes' consumer"))?;
        let (orders, to_do) = channel();
        let limits = Limits {
            partition_count: settings.partition_count,
            input_bytes_max: input_bytes_max(settings.record_bytes_max),
        };
        let (reading, batch) = (HashMap::new(), Vec::new());
        let (shown, round) = (fetching.clone(), 0);
        let mut reader =
            Reader { consumer, prefix, fetching, round, translator, inbox, now, limits, reading, batch };
        let thread = std::thread::Builder::new()
            .name("lanes".into())
            .spawn(move || reader.run(&to_do))
            .map_err(KafkaFault::no_thread("for the lanes' consumer"))?;
        Ok(Lanes { fetching: shown, orders: Some(orders), thread: Some(thread) })
    }

    /// Starts to read the lanes of a task from these positions.
    pub fn read(&self, partition: i32, incarnation: Incarnation, positions: Vec<Position>) {
        self.read_with_care(partition, incarnation, positions, Vec::new());
    }

    /// The same. Records below the offsets in `guarded` are fetched, and decoded only on [`release`](Self::release)
    /// (rule K6).
    pub fn read_with_care(
        &self,
        partition: i32,
        incarnation: Incarnation,
        positions: Vec<Position>,
        guarded: Vec<Position>,
    ) {
        self.order(Order::Start { partition, incarnation, positions, guarded });
    }

    /// Decodes records that were fetched and kept.
    pub fn release(&self, partition: i32, release: GuardedRange) {
        self.order(Order::Read { partition, release });
    }

    /// Stops reading the lanes of a task.
    pub fn stop(&self, partition: i32) {
        self.order(Order::Stop { partition });
    }

    /// Stops fetching one lane.
    pub fn pause(&self, partition: i32, lane: Lane) {
        self.order(Order::Pause { partition, lane });
    }

    /// Fetches it again.
    pub fn resume(&self, partition: i32, lane: Lane) {
        self.order(Order::Resume { partition, lane });
    }

    /// How far each lane is fetched.
    pub fn fetched(&self) -> Fetched {
        self.fetching.fetched()
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A thread that has ended has reported why to the inbox.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Reader {
    consumer: BaseConsumer<LanesContext>,
    prefix: NamePrefix,
    fetching: Fetching,
    /// The last statistics that were checked.
    round: u64,
    translator: Arc<Translator>,
    inbox: Arc<dyn Inbox>,
    now: Now,
    limits: Limits,
    reading: HashMap<TaskLane, Reading>,
    batch: Vec<Input>,
}

impl Reader {
    fn run(&mut self, to_do: &Receiver<Order>) {
        loop {
            loop {
                match to_do.try_recv() {
                    Ok(order) => self.carry_out(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.retry_awaiting_schema();
            self.report_ended();
            let mut wait = POLL;
            while self.batch.len() < BATCH_MAX && self.poll(wait) {
                wait = Duration::ZERO;
            }
            if !self.batch.is_empty() {
                self.inbox.post_records(&mut self.batch);
                self.batch.clear();
            }
        }
    }

    /// Polls one record; false if there is none now.
    fn poll(&mut self, wait: Duration) -> bool {
        let Reader { consumer, prefix, translator, now, limits, reading, batch, .. } = self;
        match consumer.poll(wait) {
            Some(Ok(message)) => {
                let Some(lane) = prefix.ours(message.topic()).and_then(Lane::of) else {
                    return true;
                };
                let partition = message.partition();
                if let Some(reading) = reading.get_mut(&TaskLane { partition, lane })
                    && message.offset() >= reading.next_offset
                {
                    reading.next_offset = message.offset() + 1;
                    reading.fetched(translator, now(), *limits, &message, batch);
                }
                true
            }
            Some(Err(error)) => {
                report(&error);
                true
            }
            None => false,
        }
    }

    fn carry_out(&mut self, order: Order) {
        let done = match order {
            Order::Start { partition, incarnation, positions, guarded } => {
                self.begin(partition, incarnation, &positions, &guarded)
            }
            Order::Read { partition, release } => {
                let Reader { translator, now, limits, reading, batch, .. } = self;
                if let Some(reading) = reading.get_mut(&TaskLane { partition, lane: release.lane }) {
                    reading.read(translator, now(), *limits, release, batch);
                }
                Ok(())
            }
            Order::Stop { partition } => self.end(partition),
            Order::Pause { partition, lane } => {
                if let Some(reading) = self.reading.get_mut(&TaskLane { partition, lane }) {
                    reading.is_paused = true;
                    self.pause(partition, lane);
                }
                Ok(())
            }
            Order::Resume { partition, lane } => {
                if let Some(reading) = self.reading.get_mut(&TaskLane { partition, lane }) {
                    reading.is_paused = false;
                    self.resume(partition, lane);
                }
                Ok(())
            }
        };
        if let Err(error) = done {
            self.inbox.fail(format!(
                "librdkafka refused an order to the lanes' consumer ({error}); start the worker again"
            ));
        }
    }

    fn begin(
        &mut self,
        partition: i32,
        incarnation: Incarnation,
        positions: &[Position],
        guarded: &[Position],
    ) -> KafkaResult<()> {
        self.end(partition)?;
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for &Position { lane, offset } in positions {
            let topic = self.prefix.on_cluster(lane.topic());
            list.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
            let guarded_until = lane.offset_in(guarded);
            let of = TaskLane { partition, lane };
            self.reading.insert(of, Reading::new(of, incarnation, offset, guarded_until));
        }
        self.consumer.incremental_assign(&list)?;
        // librdkafka remembers that a partition is paused even while it is not assigned: a lane that the previous life
        // had paused would never be fetched.
        self.consumer.resume(&list)
    }

    fn end(&mut self, partition: i32) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for lane in Lane::ALL {
            if self.reading.remove(&TaskLane { partition, lane }).is_some() {
                list.add_partition(&self.prefix.on_cluster(lane.topic()), partition);
            }
        }
        if list.count() == 0 { Ok(()) } else { self.consumer.incremental_unassign(&list) }
    }

    /// Reports lanes that librdkafka has stopped fetching, once that is seen twice: a lane that was assigned a moment
    /// ago is not fetched yet.
    fn report_ended(&mut self) {
        let Some(ended) = self.fetching.ended_since(&mut self.round) else { return };
        for (of, reading) in &mut self.reading {
            reading.ended = if ended.contains(of) { reading.ended + 1 } else { 0 };
            if reading.ended == ENDED_ROUNDS {
                let (partition, incarnation, topic) = (of.partition, reading.incarnation, of.lane.topic());
                self.inbox.post(Input::LaneEnded {
                    partition,
                    incarnation,
                    topic,
                    why: LaneEnd::ReadingEnded,
                });
            }
        }
    }

    /// Tries again to decode the records that wait for a schema.
    fn retry_awaiting_schema(&mut self) {
        let Reader { translator, now, limits, reading, batch, .. } = self;
        let bytes_max = limits.input_bytes_max;
        let mut states = HashMap::new();
        for (&TaskLane { partition, lane }, reading) in reading.iter_mut() {
            let (incarnation, is_paused) = (reading.incarnation, reading.is_paused);
            reading.awaiting_schema.retain(|waiting| {
                let record = RawRecord { key: waiting.key.as_deref(), value: waiting.value.as_deref() };
                let state =
                    states.entry(waiting.schema).or_insert_with(|| translator.schema_state(waiting.schema));
                let wait = Wait { since: waiting.since, blocks_others: is_paused };
                let Some(arrival) = translator.late_arrival(lane, record, wait, state, bytes_max, now())
                else {
                    return true;
                };
                let (offset, size_bytes) = (waiting.offset, record.size_bytes() + RECORD_OVERHEAD_BYTES);
                batch.push(Input::Arrived { partition, incarnation, lane, offset, size_bytes, arrival });
                false
            });
        }
    }

    fn one(&self, partition: i32, lane: Lane) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.prefix.on_cluster(lane.topic()), partition);
        list
    }

    fn pause(&self, partition: i32, lane: Lane) {
        if let Err(error) = self.consumer.pause(&self.one(partition, lane)) {
            tracing::warn!(partition, ?lane, "not paused: {error}");
        }
    }

    fn resume(&self, partition: i32, lane: Lane) {
        if let Err(error) = self.consumer.resume(&self.one(partition, lane)) {
            tracing::warn!(partition, ?lane, "not resumed: {error}");
        }
    }
}

fn report(error: &KafkaError) {
    match error {
        KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => {
            tracing::warn!(client = "lanes", "a position is out of range; its task will be acquired again");
        }
        KafkaError::MessageConsumption(code) => {
            tracing::warn!(client = "lanes", "{code}; librdkafka keeps trying");
        }
        other => tracing::error!(client = "lanes", "{other}"),
    }
}
