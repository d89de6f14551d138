//! Growing the number of partitions (rule K8). Kafka's partitioner then gives many practices another partition, and their
//! new task would not know what the old one remembers; so what is remembered moves along, while no worker runs. Records
//! of the input lanes stay where they lie: their tasks forward them.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;

use crate::event::topics::{APPOINTMENT_STATE, Lane, PATIENT_STATE, REVIEW};
use crate::event::{Outgoing, home, key};
use crate::kafka::context::{ProducerWatch, QuietContext};
use crate::kafka::restore::Readers;
use crate::kafka::settings::KafkaSettings;
use crate::kafka::{Avro, KafkaFault};
use crate::state::{StateRecord, TaskPositions};

/// What is remembered, by practice.
const REMEMBERED: [&str; 3] = [PATIENT_STATE, APPOINTMENT_STATE, REVIEW];
/// Records moved in one transaction: each is written at its new place and removed from its old one together.
const MOVES_MAX: usize = 1_000;
/// Longest wait for an answer of the brokers.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A record on its way from one partition to another.
struct Move {
    topic: &'static str,
    home: i32,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Refuses while the group has members: they would go on writing where nobody will look.
///
/// # Errors
/// It has some, or no broker answers.
pub fn check_no_worker_runs(settings: &KafkaSettings) -> Result<(), KafkaFault> {
    let group = &settings.group_id;
    let consumer: BaseConsumer = settings
        .uncommitted()
        .create()
        .map_err(|error| KafkaFault::of("the settings are refused", &error))?;
    let groups = consumer
        .fetch_group_list(Some(group), ANSWER_LIMIT)
        .map_err(|error| KafkaFault::of(format_args!("group {group} cannot be looked up"), &error))?;
    let members: usize = groups.groups().iter().map(|group| group.members().len()).sum();
    if members == 0 {
        return Ok(());
    }
    Err(KafkaFault(format!(
        "group {group} has {members} members; stop every worker, wait until they are gone, and try again"
    )))
}

/// Moves what is remembered to where `partitions` have it, as many as every topic has already. What a run that was broken
/// off has moved stays moved; the next one does the rest. Gives how many records were moved.
///
/// # Errors
/// A broker does not answer or refuses, or a worker runs after all and fenced us.
pub fn move_state(settings: &KafkaSettings, avro: &Avro, partitions: i32) -> Result<u64, KafkaFault> {
    let readers = Readers::new(settings)?;
    let count = partitions.unsigned_abs();
    let mut moved = 0;
    let known = (0..partitions).map(|partition| committed(&readers, partition));
    let known: Vec<Option<Vec<(Lane, i64)>>> = known.collect::<Result<_, _>>()?;
    let has_run = known.iter().any(Option::is_some);
    for (partition, next_offsets) in (0..partitions).zip(known) {
        let producer = fence(settings, partition)?;
        let moves = misplaced(&readers, partition, count)?;
        for some in moves.chunks(MOVES_MAX) {
            transact(&producer, |send| {
                some.iter().try_for_each(|Move { topic, home, key, value }| {
                    send(BaseRecord::to(topic).partition(*home).key(key).payload(value))?;
                    send(BaseRecord::to(topic).partition(partition).key(key))
                })
            })?;
        }
        moved += moves.len() as u64;
        let next_offsets = match next_offsets {
            Some(known) => known,
            None if has_run => begin(settings, &readers, partition)?,
            // No worker ever ran: the first one begins as it is configured.
            None => continue,
        };
        let positions = StateRecord::Task(TaskPositions { partition_count: count, next_offsets });
        let mut buffer = Vec::new();
        let encoded = avro
            .encode(&Outgoing::State(Box::new(positions)), &mut buffer)
            .map_err(|why| KafkaFault(why.to_string()))?;
        let (topic, key) = (encoded.topic, encoded.key.unwrap_or_default());
        let value = encoded.value.unwrap_or_default();
        transact(&producer, |send| {
            send(BaseRecord::to(topic).partition(partition).key(&key).payload(value))
        })?;
    }
    Ok(moved)
}

/// Where the lanes of a task go on; none of one that never ran.
fn committed(readers: &Readers, partition: i32) -> Result<Option<Vec<(Lane, i64)>>, KafkaFault> {
    let committed = readers.committed_offsets(partition)?;
    Ok(committed.into_iter().map(|(lane, offset)| Some((lane, offset?))).collect())
}

/// Commits the beginning of a new task's lanes, so that its first owner goes on from there.
fn begin(
    settings: &KafkaSettings,
    readers: &Readers,
    partition: i32,
) -> Result<Vec<(Lane, i64)>, KafkaFault> {
    let low = |lane: Lane| Ok((lane, readers.watermarks(lane.topic(), partition)?.0));
    let begin: Vec<(Lane, i64)> = Lane::ALL.into_iter().map(low).collect::<Result<_, KafkaFault>>()?;
    let failed =
        |error| KafkaFault::of(format_args!("no offset was committed for partition {partition}"), &error);
    let consumer: BaseConsumer<QuietContext> =
        settings.restore().create_with_context(QuietContext("repartition")).map_err(failed)?;
    let mut list = TopicPartitionList::new();
    for (lane, offset) in &begin {
        list.add_partition_offset(lane.topic(), partition, Offset::Offset(*offset)).map_err(failed)?;
    }
    consumer.commit(&list, CommitMode::Sync).map_err(failed)?;
    Ok(begin)
}

/// What `partition` holds and does not belong there any more.
fn misplaced(readers: &Readers, partition: i32, count: u32) -> Result<Vec<Move>, KafkaFault> {
    let mut moves = Vec::new();
    for topic in REMEMBERED {
        let mut newest: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        readers.each_record(topic, partition, &AtomicBool::new(false), |message| {
            let key = message.key().unwrap_or_default();
            match message.payload() {
                Some(value) => drop(newest.insert(key.to_vec(), value.to_vec())),
                None => drop(newest.remove(key)),
            }
            Ok(())
        })?;
        moves.extend(newest.into_iter().filter_map(|(key, value)| {
            let practice = key::practice(&key)?;
            let home = home::partition_of(practice.as_bytes(), count);
            (home != partition).then_some(Move { topic, home, key, value })
        }));
    }
    Ok(moves)
}

/// Ends whatever transaction the task's last owner left open, and keeps it from committing any more.
fn fence(settings: &KafkaSettings, partition: i32) -> Result<BaseProducer<ProducerWatch>, KafkaFault> {
    let failed = |error| KafkaFault::of(format_args!("task {partition} cannot be fenced"), &error);
    let producer: BaseProducer<ProducerWatch> =
        settings.producer(partition).create_with_context(ProducerWatch::default()).map_err(failed)?;
    producer.init_transactions(ANSWER_LIMIT).map_err(failed)?;
    Ok(producer)
}

type Sent = Result<(), KafkaFault>;

/// One transaction with what `write` sends.
fn transact<'record>(
    producer: &BaseProducer<ProducerWatch>,
    write: impl FnOnce(&mut dyn FnMut(BaseRecord<'record, Vec<u8>, [u8]>) -> Sent) -> Sent,
) -> Result<(), KafkaFault> {
    let failed =
        |error| KafkaFault::of("state cannot be moved; see that no worker runs, and try again", &error);
    producer.begin_transaction().map_err(failed)?;
    write(&mut |record| producer.send(record).map_err(|(error, _)| failed(error)))?;
    producer.flush(ANSWER_LIMIT).map_err(failed)?;
    producer.commit_transaction(Timeout::After(ANSWER_LIMIT)).map_err(failed)
}
