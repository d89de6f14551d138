//! Kafka as far as a task can see it: logs with holes, one transaction that is committed or aborted, fencing by epoch, and
//! state that survives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use healthflow_core::booking::{BookingKey, Version};
use healthflow_core::event::failed::DeadContent;
use healthflow_core::event::retry::AppointmentRetry;
use healthflow_core::event::review::AppointmentReview;
use healthflow_core::event::state::{AppointmentStateRecord, PatientStateRecord};
use healthflow_core::event::{Arrival, DeadLetter, Outgoing};
use healthflow_core::life::Incarnation;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::state::{StateRecord, TaskState};
use healthflow_core::sync::{FailureReason, ReviewReason};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{Lane, Position};

use crate::broken_shell::DoubtsInRecords;
use crate::commits::Landing;
use healthflow_proof::random::Random;

/// One topic's partition.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Which topic of this name it is.
    pub id: u64,
    /// The first offset that is not deleted.
    pub low: i64,
    pub records: Vec<(i64, Arrival)>,
    pub end: i64,
}

impl Log {
    /// Appends a record, and sometimes the hole that a transaction marker leaves behind it.
    pub fn append(&mut self, arrival: Arrival, random: &mut Random) -> i64 {
        let offset = self.end;
        self.records.push((offset, arrival));
        self.end = offset + 1 + i64::from(random.chance(0.3));
        offset
    }

    /// The records from `offset` on.
    pub fn from(&self, offset: i64) -> &[(i64, Arrival)] {
        &self.records[self.records.partition_point(|(at, _)| *at < offset)..]
    }
}

/// One partition number of all topics.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    pub requested: Log,
    pub retry: Log,
    pub decisions: Log,
    /// What a restore reads.
    pub state: TaskState,
    pub state_records: u64,
    pub offsets: BTreeMap<Lane, i64>,
    /// How far each lane was ever committed, and in which topic, whatever the group forgets.
    pub reached: BTreeMap<Lane, (u64, i64)>,
    /// The topics that the owner of each epoch acquired its task with.
    pub topics_of: BTreeMap<u64, BTreeMap<Lane, u64>>,
    /// The dead letters of bookings.
    pub letters: Vec<DeadLetter>,
    /// Where redrives lie in the retry lane.
    pub redrives: Vec<i64>,
    pub reviews: BTreeMap<BookingKey, (Version, ReviewReason)>,
    /// The records that nobody could read without dying, innocent or not: their dead letters have their bytes (rule K6).
    pub unread: BTreeSet<(Lane, i64)>,
    /// The decisions that were dead-lettered.
    pub refused_decisions: BTreeSet<Arc<str>>,
    /// Where the records lay that were sent on to their own partition.
    pub forwarded: BTreeSet<i64>,
    /// The producer epoch of the transactional id; whoever has an older one is fenced.
    pub epoch: u64,
    /// The newest epoch of which a transaction stands.
    pub newest_committed: u64,
    /// When the owner of each epoch was fenced, from epoch 0 on.
    pub fences: Vec<i64>,
    /// Copies of EndTxn requests that are still on their way.
    pub copies: usize,
    /// The open transaction, where such a copy could end it.
    pub open: Option<Box<Landing>>,
    /// The transaction that a copy ended.
    pub ended_early: Option<(Incarnation, u64)>,
    /// Where that defect is planted.
    pub doubts_in_records: DoubtsInRecords,
}

impl Partition {
    pub fn log(&self, lane: Lane) -> &Log {
        match lane {
            Lane::Requested => &self.requested,
            Lane::Retry => &self.retry,
            Lane::Decisions => &self.decisions,
        }
    }

    pub fn committed(&self, lane: Lane) -> i64 {
        self.offsets.get(&lane).copied().unwrap_or(0)
    }

    /// What the group has committed, where that was in the topics that are there now.
    pub fn offsets_of_these_topics(&self) -> BTreeMap<Lane, i64> {
        let is_of_this =
            |lane: &Lane| self.reached.get(lane).is_some_and(|(id, _)| *id == self.log(*lane).id);
        let offsets = self.offsets.iter().filter(|(lane, _)| is_of_this(lane));
        offsets.map(|(lane, offset)| (*lane, *offset)).collect()
    }

    /// How far the topic that is there now was ever committed.
    pub fn reached(&self, lane: Lane) -> i64 {
        let here = self.reached.get(&lane).filter(|(id, _)| *id == self.log(lane).id);
        here.map_or(0, |(_, offset)| *offset)
    }

    /// Whether the owner of this epoch reads the topic that is there now.
    pub fn reads_this(&self, epoch: u64, lane: Lane) -> bool {
        self.topic_of(epoch, lane) == Some(self.log(lane).id)
    }

    fn topic_of(&self, epoch: u64, lane: Lane) -> Option<u64> {
        self.topics_of.get(&epoch)?.get(&lane).copied()
    }

    /// A transaction begins.
    pub fn begins(&mut self, landing: &Landing) {
        self.open = (self.copies > 0 && landing.epoch == self.epoch).then(|| Box::new(landing.clone()));
    }

    /// A transaction is to end; whether something has ended it before.
    pub fn ends(&mut self, landing: &Landing) -> bool {
        let this = (landing.incarnation, landing.sequence);
        self.open.take_if(|open| (open.incarnation, open.sequence) == this);
        self.ended_early.take_if(|early| *early == this).is_some()
    }

    /// Makes a transaction stand. What is written goes through the records' wire values, as on a real topic.
    pub fn apply(&mut self, batch: &CommitBatch, epoch: u64, now: Timestamp, random: &mut Random) {
        for record in &batch.records {
            match record {
                Outgoing::Synced(_) | Outgoing::Notice(_) => {}
                Outgoing::Failed(letter) => match &letter.content {
                    DeadContent::Booking(_) => self.letters.push((**letter).clone()),
                    DeadContent::Decision(decision) => {
                        self.refused_decisions.insert(decision.id.clone());
                    }
                    // Workers ended while they read it alone: it was not decoded, and its letter has its bytes (rule K6).
                    DeadContent::Record(_) if letter.reason == FailureReason::CrashSuspect => {
                        self.unread.extend(letter.origin.as_ref().map(|origin| (origin.lane, origin.offset)));
                    }
                    DeadContent::Record(_) | DeadContent::Lost => {}
                },
                Outgoing::Forwarded(_, origin) => {
                    self.forwarded.insert(origin.offset);
                }
                Outgoing::Retry(entry) => {
                    let entry =
                        AppointmentRetry::from(&**entry).into_entry(now).expect("it was possible before");
                    self.retry.append(Arrival::Retry(Box::new(entry)), random);
                }
                Outgoing::Review(case) => {
                    self.reviews.insert(case.booking.key.clone(), (case.booking.version, case.reason));
                    let held = AppointmentReview::from(&**case).into_held(now);
                    self.state.apply_held(held.expect("it was possible before"));
                }
                Outgoing::Released(of) => self.state.release_held(of),
                Outgoing::ReleasedOfOld(key) => self.state.release_old_held(key),
                Outgoing::Forgotten(key) => self.state.bookings.remove(key),
                Outgoing::State(state) => {
                    self.state_records += 1;
                    self.state.apply(through_the_wire(state));
                }
            }
        }
        for &Position { lane, offset } in &batch.offsets {
            self.offsets.insert(lane, offset);
            if let Some(id) = self.topic_of(epoch, lane) {
                self.reached.insert(lane, (id, offset));
            }
        }
    }
}

/// What is only memory must not survive: so state takes the way through its records.
fn through_the_wire(record: &StateRecord) -> StateRecord {
    match record {
        StateRecord::Booking(key, state) => as_read(AppointmentStateRecord::of(key, state)),
        StateRecord::Patient(key, state) => PatientStateRecord::of(key, state).into(),
        StateRecord::Task(positions) => as_read(AppointmentStateRecord::from(positions)),
        StateRecord::Quota(owner, counts) => as_read(AppointmentStateRecord::from((owner, counts))),
    }
}

fn as_read(record: AppointmentStateRecord) -> StateRecord {
    StateRecord::try_from(record).expect("what was written can be read")
}
