//! Accepts topics other than those that the state names: of a cluster restored from a backup, or mirrored. Only a
//! person can know that a new state topic holds the state. The next owner of each task handles new input topics by
//! itself.

use rdkafka::producer::BaseRecord;

use crate::kafka::KafkaFault;
use crate::kafka::fleet::written_positions;
use crate::kafka::restore::Readers;
use crate::kafka::settings::KafkaSettings;
use crate::kafka::topic_ids::TopicIdentities;
use crate::kafka::transaction::{fence, transact};
use crate::kafka_admin::CommandFault;
use crate::registry::Translator;
use healthflow_core::event::Outgoing;
use healthflow_core::state::{StateRecord, TaskPositions, TopicIds};
use healthflow_core::topics::{APPOINTMENT_STATE, IDENTIFIED, Lane, PATIENT_STATE, Position};

/// What a failed transaction means.
const OR_ELSE: &str = "the topics are not accepted; make sure that no worker runs, and try again";

/// What a task's state names of topics that were replaced.
pub struct Remembered {
    /// The task.
    pub partition: i32,
    /// The positions that it wrote; none if it never wrote any.
    positions: Option<TaskPositions>,
    now: TopicIds,
    /// The first offset of each lane whose topic was replaced.
    low: Vec<Position>,
}

/// Compares what every task's state names with the topics that exist.
///
/// # Errors
/// The brokers do not answer, or give no topic ids.
pub fn compare(
    settings: &KafkaSettings,
    translator: &Translator,
    partitions: i32,
) -> Result<Vec<Remembered>, CommandFault> {
    let now = TopicIdentities::new(settings)?.describe()?;
    if let Some(topic) = now.gone.first() {
        return Err(CommandFault::TopicMissing(topic));
    }
    if IDENTIFIED.iter().any(|topic| now.ids.of(topic).is_none()) {
        return Err(CommandFault::NoTopicIds);
    }
    let readers = Readers::new(settings)?;
    let task = |partition| {
        let positions = written_positions(&readers, translator, partition)?;
        let differs =
            |topic| positions.as_ref().is_some_and(|positions| now.ids.differs(topic, &positions.topic_ids));
        let other = Lane::ALL.into_iter().filter(|lane| differs(lane.topic()));
        let low = other.map(|lane| Ok(lane.at(readers.bounds(lane.topic(), partition)?.low)));
        let low = low.collect::<Result<_, KafkaFault>>()?;
        Ok(Remembered { partition, positions, now: now.ids.clone(), low })
    };
    (0..partitions).map(task).collect()
}

/// Writes into the state of these tasks that the present state topics hold it.
///
/// # Errors
/// A broker does not answer or refuses, or a worker runs after all.
pub fn accept(
    settings: &KafkaSettings,
    translator: &Translator,
    tasks: &[Remembered],
) -> Result<usize, KafkaFault> {
    let mut accepted = 0;
    for task in tasks {
        let Some(positions) = &task.positions else { continue };
        if task.other_state().next().is_none() {
            continue;
        }
        let mut positions = positions.clone();
        for topic in [APPOINTMENT_STATE, PATIENT_STATE] {
            task.now.of(topic).into_iter().for_each(|id| positions.topic_ids.note(topic, id.clone()));
        }
        let record = Outgoing::State(Box::new(StateRecord::Task(positions)));
        let mut buffer = Vec::new();
        let encoded = translator.encode(&record, &mut buffer).map_err(KafkaFault::from)?;
        let (topic, key) = (settings.on_cluster(encoded.topic), encoded.key.unwrap_or_default());
        let value = encoded.value.unwrap_or_default();
        let producer = fence(&settings.producer(task.partition), &format!("task {}", task.partition))?;
        transact(&producer, OR_ELSE, |send| {
            send(BaseRecord::to(&topic).partition(task.partition).key(&key).payload(value))
        })?;
        accepted += 1;
    }
    Ok(accepted)
}

impl Remembered {
    /// The state topics that were replaced.
    fn other_state(&self) -> impl Iterator<Item = &'static str> {
        let differs = |topic: &&str| {
            let remembered = self.positions.as_ref().map(|positions| &positions.topic_ids);
            remembered.is_some_and(|remembered| self.now.differs(topic, remembered))
        };
        [APPOINTMENT_STATE, PATIENT_STATE].into_iter().filter(differs)
    }

    /// A line for each topic that was replaced; nothing if none was.
    pub fn lines(&self) -> Vec<String> {
        let partition = self.partition;
        if self.positions.is_none() {
            return vec![format!("task {partition}: {APPOINTMENT_STATE}/{partition} has no state of it")];
        }
        let state = self.other_state().map(|topic| {
            format!("task {partition}: {topic} was replaced; what it holds now becomes the task's state")
        });
        let lanes = self.low.iter().map(|Position { lane, offset: low }| {
            format!(
                "task {partition}: {} was replaced; the task reads it from its beginning, offset {low}",
                lane.topic()
            )
        });
        state.chain(lanes).collect()
    }
}
