//! Kafka as a worker sees it: the logs of lanes, the offsets and states that were committed, and what a good transaction makes visible.

use std::collections::BTreeMap;

use healthflow_core::booking::BookingKey;
use healthflow_core::event::retry::AppointmentRetry;
use healthflow_core::event::{Arrival, Outgoing};
use healthflow_core::life::TaskLife;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::processor::Input;
use healthflow_core::state::TaskState;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

use super::{Ended, World};

/// So many records are fetched at once.
const FETCH: usize = 200;

#[derive(Default)]
pub(super) struct Partition {
    pub logs: BTreeMap<Lane, Vec<Arrival>>,
    pub offsets: BTreeMap<Lane, i64>,
    pub state: TaskState,
    pub owner: Option<usize>,
}

impl World {
    pub(super) fn append(&mut self, partition: i32, lane: Lane, arrival: Arrival) {
        let kafka = &mut self.partitions[partition as usize];
        kafka.logs.entry(lane).or_default().push(arrival);
        if let Some(owner) = kafka.owner {
            self.turn_by(owner, self.now);
        }
    }

    /// Hands a worker what it has not read of its lanes.
    pub(super) fn fetch(&mut self, worker: usize, partition: i32) {
        let one = &mut self.workers[worker];
        let Some(incarnation) = one.shell.task(partition).map(|task| task.incarnation) else { return };
        let mut inputs = Vec::new();
        for lane in Lane::ALL {
            let task = one.shell.life_mut(partition, incarnation);
            let Some(reader) = task.and_then(|task| task.lanes.get_mut(&lane)) else { continue };
            let log = self.partitions[partition as usize].logs.get(&lane).map_or(&[][..], Vec::as_slice);
            let from = (reader.position as usize).min(log.len());
            for arrival in log[from..].iter().take(if reader.is_paused { 0 } else { FETCH }) {
                let offset = reader.position;
                let of = TaskLife { partition, incarnation };
                inputs.push(match reader.takes(offset, arrival) {
                    Some(arrival) => arrived(of, lane, offset, arrival),
                    None => Input::Guarded { partition, incarnation, lane, offset, size_bytes: 600 },
                });
            }
        }
        if !inputs.is_empty() {
            self.learn(worker, inputs);
        }
    }

    pub(super) fn stands(&mut self, partition: i32, batch: CommitBatch) {
        for record in batch.records {
            match record {
                Outgoing::Synced(finished) => self.ends(&finished.identity.key, finished.attempts, false),
                Outgoing::Failed(letter) => {
                    let identity = letter.identity.as_ref().expect("everything here can be read");
                    self.ends(&identity.key, letter.attempts, true);
                }
                Outgoing::Retry(entry) => {
                    let entry = AppointmentRetry::from(&*entry).into_entry(Timestamp(self.now));
                    let entry = Box::new(entry.expect("it was possible before"));
                    self.append(partition, Lane::Retry, Arrival::Retry(entry));
                }
                Outgoing::State(state) => self.partitions[partition as usize].state.apply(*state),
                Outgoing::Notice(_) => {}
                other => panic!("nothing else was to be expected: {other:?}"),
            }
        }
        let offsets = batch.offsets.iter().map(|position| (position.lane, position.offset));
        self.partitions[partition as usize].offsets.extend(offsets);
    }

    fn ends(&mut self, key: &BookingKey, attempts: u32, is_dead_letter: bool) {
        let Some((asked_at, source)) = self.asked_for.remove(key) else {
            self.results_again += 1;
            return;
        };
        self.ended.push(Ended { source, asked_at, at: self.now, attempts, is_dead_letter });
    }
}

pub(super) fn arrived(of: TaskLife, lane: Lane, offset: i64, arrival: Arrival) -> Input {
    let TaskLife { partition, incarnation } = of;
    Input::Arrived { partition, incarnation, lane, offset, size_bytes: 600, arrival }
}
