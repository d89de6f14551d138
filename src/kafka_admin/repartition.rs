//! Growing the number of partitions (rule K8). Kafka's partitioner then gives many practices another partition, and their
//! new task would not know what the old one remembers; so what is remembered moves along, while no worker runs. Records
//! of the input lanes stay where they lie: their tasks forward them.
//!
//! The fleet's record says "moving" from before the first topic grows until after the last record has moved. So however
//! it is broken off, no task goes live on half of its state, and running it again does the rest.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::BaseRecord;

use crate::kafka::KafkaFault;
use crate::kafka::fleet::{Fleet, laid_out, written_positions};
use crate::kafka::restore::Readers;
use crate::kafka::settings::{ACQUIRE_PARALLEL, KafkaSettings};
use crate::kafka::transaction::{ANSWER_LIMIT, Fenced, fence, transact};
use crate::kafka_admin::duplicate_keys::{DuplicateKeys, Misplaced};
use crate::kafka_admin::topics::Growth;
use crate::kafka_admin::{CommandFault, Report};
use crate::registry::Translator;
use healthflow_core::event::{Outgoing, home, key};
use healthflow_core::state::{FleetRecord, Owner, StateRecord, TaskPositions};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{APPOINTMENT_STATE, Lane, PATIENT_STATE, REVIEW};

/// What is remembered, by practice.
const REMEMBERED: [&str; 3] = [PATIENT_STATE, APPOINTMENT_STATE, REVIEW];
/// Records moved in one transaction: each is written at its new place and removed from its old one together.
const MOVES_MAX: usize = 1_000;
/// What a failed transaction means.
const OR_ELSE: &str = "state cannot be moved; see that no worker runs, and try again";

/// Where the lanes of a task go on, as far as anybody knows.
pub(super) type Known = Vec<(Lane, Option<i64>)>;

/// Refuses while the group has members: they would go on writing where nobody will look.
///
/// # Errors
/// It has some, or no broker answers.
pub fn check_no_worker_runs(settings: &KafkaSettings) -> Result<(), CommandFault> {
    let group = &settings.group_id;
    let consumer: BaseConsumer = settings
        .uncommitted()
        .create()
        .map_err(KafkaFault::settings("the consumer that looks for workers"))?;
    let groups = consumer
        .fetch_group_list(Some(group), ANSWER_LIMIT)
        .map_err(|error| KafkaFault::of(format!("group {group} cannot be looked up"), error))?;
    let members: usize = groups.groups().iter().map(|group| group.members().len()).sum();
    if members == 0 {
        return Ok(());
    }
    Err(CommandFault::WorkersRun { group: group.clone(), members })
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
    /// Puts on record that state is moving, before its topics grow: from now on no task goes live. Gives for how many
    /// partitions it was laid out, too.
    ///
    /// # Errors
    /// The state is another fleet's or laid out for more, or a broker does not answer.
    pub fn begin(
        settings: &'a KafkaSettings,
        translator: &'a Translator,
        Growth { state_has: has, to }: Growth,
        now: Timestamp,
    ) -> Result<(Self, u32), CommandFault> {
        let fleet = Fleet::new(settings.owner());
        let readers = Readers::new(settings)?;
        let mut begun = Repartition { settings, translator, fleet, readers, to, now };
        let nobody_yet = match begun.latest()? {
            Some(_) => has,
            // Where one was broken off before there was such a record, the smaller number is the older one.
            None => laid_out(&begun.readers, translator, has)?.first().copied().unwrap_or(has),
        };
        let from = begun.write(|owner, record| {
            let record = record.unwrap_or_else(|| FleetRecord::new(owner.clone(), nobody_yet, now));
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

    /// Puts on record that the state is where it belongs: tasks may go live.
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

    /// Moves what is remembered to where `to` partitions have it, as many as every topic has by now. What a run that was
    /// broken off has moved stays moved; the next one does the rest. Gives how many records were moved.
    ///
    /// # Errors
    /// A broker does not answer or refuses, a worker runs after all and fenced us, or `say` fails.
    pub fn move_state(&mut self, report: &mut Report<'_>) -> Result<u64, CommandFault> {
        // Those that looked at the record do not know the partitions that were added since.
        self.readers = Readers::new(self.settings)?;
        let producers = fence_all(self.settings, self.to.cast_signed())?;
        let known =
            (0..self.to.cast_signed()).map(|partition| known(&self.readers, self.translator, partition));
        let known: Vec<Known> = known.collect::<Result<_, _>>()?;
        let has_run = known.iter().flatten().any(|(_, offset)| offset.is_some());
        let mut duplicates = DuplicateKeys::find(&self.readers, self.translator, &REMEMBERED, self.to)?;
        let mut moved = 0;
        for ((partition, producer), known) in (0..).zip(&producers).zip(known) {
            let mut moves = self.misplaced(partition)?;
            for one in &mut moves {
                duplicates.resolve(one, report)?;
            }
            for some in moves.chunks(MOVES_MAX) {
                transact(producer, OR_ELSE, |send| {
                    some.iter().try_for_each(|Misplaced { topic, home, key, value, .. }| {
                        send(BaseRecord::to(topic).partition(*home).key(key).payload(value))?;
                        send(BaseRecord::to(topic).partition(partition).key(key))
                    })
                })?;
            }
            moved += moves.len() as u64;
            report(format!("partition {partition}: {} records of state moved", moves.len()))
                .map_err(CommandFault::Output)?;
            // Where no worker ever ran, the first one begins as it is configured.
            if has_run {
                self.write_positions(producer, partition, known)?;
            }
        }
        Ok(moved)
    }

    /// Writes down for a task's next owner where its lanes go on: in the group and in its state. A lane that nobody has
    /// read begins at its beginning.
    fn write_positions(&self, producer: &Fenced, partition: i32, known: Known) -> Result<(), KafkaFault> {
        let next_offsets = or_beginning(&self.readers, partition, known)?;
        self.readers.commit_offsets(partition, &next_offsets)?;
        // As they were: a topic that was made anew meanwhile is for the next owner to notice. What is new is adopted.
        let written = written_positions(&self.readers, self.translator, partition)?;
        let topic_ids = written.map(|positions| positions.topic_ids).unwrap_or_default();
        let positions = StateRecord::Task(TaskPositions {
            partition_count: self.to,
            next_offsets,
            topic_ids,
            ..TaskPositions::default()
        });
        let mut buffer = Vec::new();
        let encoded = self
            .translator
            .encode(&Outgoing::State(Box::new(positions)), &mut buffer)
            .map_err(KafkaFault::from)?;
        let (key, value) = (encoded.key.unwrap_or_default(), encoded.value.unwrap_or_default());
        transact(producer, OR_ELSE, |send| {
            send(BaseRecord::to(encoded.topic).partition(partition).key(&key).payload(value))
        })
    }

    /// What `partition` holds and does not belong there any more.
    fn misplaced(&self, partition: i32) -> Result<Vec<Misplaced>, KafkaFault> {
        let mut moves = Vec::new();
        for topic in REMEMBERED {
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
                let home = home::partition_of(practice.as_bytes(), self.to);
                (home != partition).then_some(Misplaced { topic, from: partition, home, key, value })
            }));
        }
        Ok(moves)
    }
}

/// Where the lanes of a task go on: as the group says, and where it does not, as its state does.
pub(super) fn known(readers: &Readers, translator: &Translator, partition: i32) -> Result<Known, KafkaFault> {
    let committed = readers.committed_offsets(partition)?;
    if committed.iter().all(|(_, offset)| offset.is_some()) {
        return Ok(committed);
    }
    let positions = written_positions(readers, translator, partition)?;
    let copy = |lane: Lane| positions.as_ref().and_then(|copy| lane.offset_in(&copy.next_offsets));
    Ok(committed.into_iter().map(|(lane, offset)| (lane, offset.or_else(|| copy(lane)))).collect())
}

/// The same with the first offset there is where nobody knows: what was answered is passed over when it is read again.
pub(super) fn or_beginning(
    readers: &Readers,
    partition: i32,
    known: Known,
) -> Result<Vec<(Lane, i64)>, KafkaFault> {
    let of = |(lane, offset): (Lane, Option<i64>)| match offset {
        Some(offset) => Ok((lane, offset)),
        None => Ok((lane, readers.bounds(lane.topic(), partition)?.low)),
    };
    known.into_iter().map(of).collect()
}

/// Fences the tasks that the settings' application has, some at a time, for each takes a while. In the order of partitions.
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
