//! What a worker with a planted defect does where more than a spoilt batch is needed: it calls again, keeps its memory,
//! or keeps its doubts in the wrong place. In a life without that defect none of this happens.

use std::collections::BTreeMap;

use healthflow_core::booking::{BookingKey, Version, VersionKey};
use healthflow_core::event::Outgoing;
use healthflow_core::healthflow::Request;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::processor::CommitEnded;
use healthflow_core::state::{ParkingPlace, StateRecord, TaskState, WriteIntent};

use crate::commits::{CommitEnding, Landing, ended};
use crate::defects::Defect;
use crate::world::{Event, World};

/// Open intents that stand in retry records instead of in the state of their bookings.
#[derive(Clone, Debug, Default)]
pub struct DoubtsInRecords {
    records: BTreeMap<(VersionKey, u32), Box<WriteIntent>>,
    newest: BTreeMap<BookingKey, Box<WriteIntent>>,
}

impl DoubtsInRecords {
    /// What a batch parks takes the open intent of its booking along.
    pub fn move_into_records(&mut self, batch: &mut CommitBatch) {
        let mut parked: BTreeMap<BookingKey, Vec<(Version, u32)>> = BTreeMap::new();
        for record in &batch.records {
            if let Outgoing::Retry(entry) = record {
                let versions = parked.entry(entry.booking.key.clone()).or_default();
                versions.push((entry.booking.version, entry.generation));
            }
        }
        for record in &mut batch.records {
            let Outgoing::State(record) = record else { continue };
            let StateRecord::Booking(key, state) = &mut **record else { continue };
            let Some(intent) = state.intent.clone() else { continue };
            let versions = parked.remove(key).unwrap_or_default();
            if versions.is_empty() && self.newest.get(key) != Some(&intent) {
                continue;
            }
            for (version, generation) in versions {
                self.records.insert((key.version(version), generation), intent.clone());
            }
            self.newest.insert(key.clone(), intent);
            state.intent = None;
        }
    }

    /// What a restore would find if it read the retry records that still count.
    pub fn find_again(&self, state: &mut TaskState) {
        for (key, booking) in state.bookings.hot_iter_mut() {
            let mut parked = booking.parked.iter().filter(|parked| parked.place == ParkingPlace::Retry);
            let intent = parked.find_map(|parked| {
                self.records.get(&(key.version(parked.version), parked.generation)).cloned()
            });
            booking.intent = booking.intent.take().or(intent);
        }
    }
}

impl World {
    /// Remembers what was asked for a booking, for a worker that repeats it with its transaction.
    pub fn remember_write(&mut self, request: &Request) {
        if !self.plan.has(Defect::RecommitCallsAgain) {
            return;
        }
        if let Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } =
            request
        {
            let key = BookingKey { practice: content.practice.clone(), booking: content.booking.clone() };
            self.last_writes.insert(key, request.clone());
        }
    }

    /// A transaction was aborted: what its results tell of is asked for again.
    pub fn calls_again(&mut self, worker: usize, batch: &CommitBatch) {
        for record in &batch.records {
            let Outgoing::Synced(done) = record else { continue };
            if let Some(request) = self.last_writes.get(&done.identity.key).cloned() {
                self.repeats_unasked(worker, request);
            }
        }
    }

    /// A transaction that is lost is begun again from memory, with a producer that was initialised anew.
    pub fn goes_on_from_memory(&mut self, landing: Landing, is_good: bool) {
        let (worker, partition) = (landing.worker, landing.partition);
        if self.workers[worker].life != landing.life {
            return;
        }
        let Some(task) = self.workers[worker].task(partition, landing.incarnation) else { return };
        let kafka = &mut self.partitions[partition as usize];
        kafka.epoch += 1;
        kafka.fences.push(self.now);
        task.producer.epoch = kafka.epoch;
        let epoch = kafka.epoch;
        self.story
            .tell(self.now, || format!("w{worker} fences p{partition} (epoch {epoch}), with its memory"));
        if is_good {
            let good = CommitEnded::Good { started_at: landing.started_at, aborts: 0 };
            self.worker_learns(worker, 1, ended(&landing, good));
            return;
        }
        let started_at = self.workers[worker].clock(self.now);
        let again = Landing { epoch, started_at, began_at: self.now, ending: CommitEnding::Good, ..landing };
        self.after(20, Event::CommitLands(Box::new(again)));
    }
}
