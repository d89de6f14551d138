//! Grows the number of partitions (rule K8). Kafka's partitioner then assigns many practices another partition, whose
//! task would not have their state; so the command moves the state while no worker runs. Records of the input lanes
//! stay where they are: their tasks forward them.
//!
//! The fleet's record shows that state is moving from before the first topic grows until after the last record has
//! moved. So no task goes live on half of its state if the command is interrupted, and the next run does the rest.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::BaseRecord;

use crate::kafka::KafkaFault;
use crate::kafka::fleet::{Fleet, laid_out, written_positions};
use crate::kafka::restore::{LaneOffset, Readers};
use crate::kafka::settings::{ACQUIRE_PARALLEL, KafkaSettings};
use crate::kafka::transaction::{ANSWER_LIMIT, Fenced, fence, transact};
use crate::kafka_admin::duplicate_keys::{DuplicateKeys, Misplaced};
use crate::kafka_admin::topics::Growth;
use crate::kafka_admin::{CommandFault, Report};
use crate::registry::Translator;
use healthflow_core::event::{Outgoing, home_partition, key};
use healthflow_core::state::{FleetRecord, Owner, StateRecord, TaskPositions};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{APPOINTMENT_STATE, Lane, PATIENT_STATE, Position, REVIEW};

/// The topics that hold state, keyed by practice.
const STATE_TOPICS: [&str; 3] = [PATIENT_STATE, APPOINTMENT_STATE, REVIEW];
/// Records moved in one transaction, which writes each to its new partition and removes it from the old one.
const MOVES_MAX: usize = 1_000;
/// What a failed transaction means.
const OR_ELSE: &str = "cannot move the state; make sure that no worker runs, and try again";

/// Where the lanes of a task go on, as far as that is known.
pub(super) type Known = Vec<LaneOffset>;

/// Refuses while the group has members: they would keep writing where no worker will read.
///
/// # Errors
/// It has some, or no broker answers.
pub fn check_no_worker_runs(settings: &KafkaSettings) -> Result<(), CommandFault> {
    let group = settings.on_cluster(&settings.group_id);
    let consumer: BaseConsumer = settings
        .uncommitted()
        .create()
        .map_err(KafkaFault::settings("the consumer that looks for workers"))?;
    let groups = consumer
        .fetch_group_list(Some(&group), ANSWER_LIMIT)
        .map_err(|error| KafkaFault::of(format!("cannot look up group {group}"), error))?;
    let members: usize = groups.groups().iter().map(|group| group.members().len()).sum();
    if members == 0 {
        return Ok(());
    }
    Err(CommandFault::WorkersRun { group: group.into_owned(), members })
}

/// One move of a fleet's state to another number of partitions.
pub struct Repartition<'a> {
    settings: &'a KafkaSettings,
    translator: &'a Translator,
    fleet: Fleet,
    readers: Readers,
    to: u32,
    now: Timestamp,
}

impl<'a> Repartition<'a> {
    /// Records that state is moving, before its topics grow: from now on no task goes live. Also returns for how many
    /// partitions the state was laid out.
    ///
    /// # Errors
    /// The state belongs to another fleet or is laid out for more, or a broker does not answer.
    pub fn begin(
        settings: &'a KafkaSettings,
        translator: &'a Translator,
        Growth { state_has: has, to }: Growth,
        now: Timestamp,
    ) -> Result<(Self, u32), CommandFault> {
        let fleet = Fleet::new(settings.owner());
        let readers = Readers::new(settings)?;
        let mut begun = Repartition { settings, translator, fleet, readers, to, now };
        let before = match begun.latest()? {
            Some(_) => has,
            // If a repartition was interrupted before there was such a record, the smaller count is the older one.
            None => laid_out(&begun.readers, translator, has)?.first().copied().unwrap_or(has),
        };
        let from = begun.write(|owner, record| {
            let record = record.unwrap_or_else(|| FleetRecord::new(owner.clone(), before, now));
            record.check_owner(owner).map_err(CommandFault::NotOurs)?;
            if record.partition_count > to {
                return Err(CommandFault::TooFewPartitions { has: record.partition_count, wished: to });
            }
            Ok(FleetRecord { moving_to: Some(to), written_at: now, ..record })
        })?;
        Ok((begun, from.partition_count))
    }

    fn latest(&self) -> Result<Option<FleetRecord>, KafkaFault> {
        self.fleet.latest(&self.readers, self.translator, &AtomicBool::new(false))
    }

    fn write(
        &mut self,
        decide: impl FnOnce(&Owner, Option<FleetRecord>) -> Result<FleetRecord, CommandFault>,
    ) -> Result<FleetRecord, CommandFault> {
        let Repartition { settings, translator, fleet, readers, .. } = self;
        fleet.rewrite(settings, readers, translator, |record| decide(fleet.owner(), record))
    }

    /// Records that the state is where it belongs: tasks may go live.
    ///
    /// # Errors
    /// A broker does not answer, or another command has changed the record meanwhile.
    pub fn finish(mut self) -> Result<(), CommandFault> {
        let (to, now) = (self.to, self.now);
        self.write(|owner, record| match record {
            Some(record) if record.moving_to == Some(to) && record.check_owner(owner).is_ok() => {
                Ok(FleetRecord { partition_count: to, moving_to: None, written_at: now, ..record })
            }
            _ => Err(CommandFault::ChangedMeanwhile),
        })?;
        Ok(())
    }

    /// Moves the state to where it belongs with `to` partitions, as many as every topic has by now. What an interrupted
    /// run has moved stays moved; the next one does the rest. Returns how many records were moved.
    ///
    /// # Errors
    /// A broker does not answer or refuses, a worker runs after all and fenced us, or `report` fails.
    pub fn move_state(&mut self, report: &mut Report<'_>) -> Result<u64, CommandFault> {
        // The old readers do not know the partitions that were added since.
        self.readers = Readers::new(self.settings)?;
        let producers = fence_all(self.settings, self.to.cast_signed())?;
        let known =
            (0..self.to.cast_signed()).map(|partition| known(&self.readers, self.translator, partition));
        let known: Vec<Known> = known.collect::<Result<_, _>>()?;
        let has_run = known.iter().flatten().any(|lane| lane.next.is_some());
        let mut duplicates = DuplicateKeys::find(&self.readers, self.translator, &STATE_TOPICS, self.to)?;
        let name = |topic| (topic, self.settings.on_cluster(topic));
        let names: HashMap<&str, Cow<'_, str>> = STATE_TOPICS.into_iter().map(name).collect();
        let mut moved = 0;
        for ((partition, producer), known) in (0..).zip(&producers).zip(known) {
            let mut moves = self.misplaced(partition)?;
            for one in &mut moves {
                duplicates.resolve(one, report)?;
            }
            for some in moves.chunks(MOVES_MAX) {
                transact(producer, OR_ELSE, |send| {
                    some.iter().try_for_each(|Misplaced { topic, home, key, value, .. }| {
                        let topic = &names[topic];
                        send(BaseRecord::to(topic).partition(*home).key(key).payload(value))?;
                        send(BaseRecord::to(topic).partition(partition).key(key))
                    })
                })?;
            }
            moved += moves.len() as u64;
            report(format!("partition {partition}: {} records of state moved", moves.len()))
                .map_err(CommandFault::Output)?;
            // If no worker has ever run, the first one begins as configured.
            if has_run {
                self.write_positions(producer, partition, known)?;
            }
        }
        Ok(moved)
    }

    /// Writes for a task's next owner where its lanes go on, into the group and into its state. A lane that was never
    /// read begins at its beginning.
    fn write_positions(&self, producer: &Fenced, partition: i32, known: Known) -> Result<(), KafkaFault> {
        let next_offsets = or_beginning(&self.readers, partition, known)?;
        self.readers.commit_offsets(partition, &next_offsets)?;
        // As they were: the next owner notices a topic that was recreated meanwhile, and adopts the id of a new one.
        let written = written_positions(&self.readers, self.translator, partition)?;
        let TaskPositions { topic_ids, open_outage, .. } = written.unwrap_or_default();
        let positions = StateRecord::Task(TaskPositions {
            partition_count: self.to,
            next_offsets,
            topic_ids,
            // The next owner tells its end.
            open_outage,
            ..TaskPositions::default()
        });
        let mut buffer = Vec::new();
        let encoded = self
            .translator
            .encode(&Outgoing::State(Box::new(positions)), &mut buffer)
            .map_err(KafkaFault::from)?;
        let (key, value) = (encoded.key.unwrap_or_default(), encoded.value.unwrap_or_default());
        let topic = self.settings.on_cluster(encoded.topic);
        transact(producer, OR_ELSE, |send| {
            send(BaseRecord::to(&topic).partition(partition).key(&key).payload(value))
        })
    }

    /// The records in `partition` that no longer belong there.
    fn misplaced(&self, partition: i32) -> Result<Vec<Misplaced>, KafkaFault> {
        let mut moves = Vec::new();
        for topic in STATE_TOPICS {
            let mut newest: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
            self.readers.each_record(topic, partition, &AtomicBool::new(false), |message| {
                let key = message.key().unwrap_or_default();
                match message.payload() {
                    Some(value) => drop(newest.insert(key.to_vec(), value.to_vec())),
                    None => drop(newest.remove(key)),
                }
                Ok(())
            })?;
            moves.extend(newest.into_iter().filter_map(|(key, value)| {
                let practice = key::practice(&key)?;
                let home = home_partition::partition_of(practice.as_bytes(), self.to);
                (home != partition).then_some(Misplaced { topic, from: partition, home, key, value })
            }));
        }
        Ok(moves)
    }
}

/// Where the lanes of a task go on: by the group's offsets, and where it has none, by the task's state.
pub(super) fn known(readers: &Readers, translator: &Translator, partition: i32) -> Result<Known, KafkaFault> {
    let committed = readers.committed_offsets(partition)?;
    if committed.iter().all(|lane| lane.next.is_some()) {
        return Ok(committed);
    }
    let positions = written_positions(readers, translator, partition)?;
    let copy = |lane: Lane| positions.as_ref().and_then(|copy| lane.offset_in(&copy.next_offsets));
    let next = |of: LaneOffset| LaneOffset { next: of.next.or_else(|| copy(of.lane)), ..of };
    Ok(committed.into_iter().map(next).collect())
}

/// The same, with the first offset of the log where none is known: a worker skips versions that were answered.
pub(super) fn or_beginning(
    readers: &Readers,
    partition: i32,
    known: Known,
) -> Result<Vec<Position>, KafkaFault> {
    let of = |LaneOffset { lane, next }: LaneOffset| match next {
        Some(offset) => Ok(lane.at(offset)),
        None => Ok(lane.at(readers.bounds(lane.topic(), partition)?.low)),
    };
    known.into_iter().map(of).collect()
}

/// Fences the tasks of the settings' application, some at a time, since each takes a while. In the order of partitions.
pub(super) fn fence_all(settings: &KafkaSettings, partitions: i32) -> Result<Vec<Fenced>, CommandFault> {
    let all: Vec<i32> = (0..partitions).collect();
    let mut fenced = Vec::new();
    for some in all.chunks(ACQUIRE_PARALLEL) {
        let one = |partition: i32| fence(&settings.producer(partition), &format!("task {partition}"));
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|partition| scope.spawn(move || one(*partition))).collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        for result in results {
            fenced.push(result.map_err(|_| CommandFault::Panicked)??);
        }
    }
    Ok(fenced)
}
