//! Topics that somebody deletes and makes anew, records that are deleted, and offsets that the group forgets; and what a task
//! finds then. What was deleted before it was read is excused; everything else must end as ever.

use std::collections::HashSet;

use healthflow_core::event::Arrival;
use healthflow_core::life::LaneEnd;
use healthflow_core::partition::start::{InRetry, Known, KnownLane, Refusal, Start, mark_lost};
use healthflow_core::processor::Input;
use healthflow_core::state::{TaskState, TopicId, TopicIds};
use healthflow_core::topics::{APPOINTMENT_STATE, Lane, PATIENT_STATE};

use crate::coverage::Phase;
use crate::defects::Defect;
use crate::faults::FaultKind;
use crate::kafka::{Log, Partition};
use crate::plan::Faults;
use crate::world::World;
use healthflow_proof::random::Random;

/// How late a worker may notice what became of a topic, in milliseconds.
const NOTICED_WITHIN_MS: i64 = 6_000;

impl Partition {
    fn log_mut(&mut self, lane: Lane) -> &mut Log {
        match lane {
            Lane::Requested => &mut self.requested,
            Lane::Retry => &mut self.retry,
            Lane::Decisions => &mut self.decisions,
        }
    }

    /// Which topics these are.
    pub fn topic_ids(&self) -> TopicIds {
        let mut ids = TopicIds::default();
        for lane in Lane::ALL {
            ids.note(lane.topic(), TopicId(format!("{}", self.log(lane).id).into()));
        }
        for topic in [PATIENT_STATE, APPOINTMENT_STATE] {
            ids.note(topic, TopicId("1".into()));
        }
        ids
    }

    /// Every record of the retry lane whose version `state` says waits there.
    fn in_retry(&self) -> HashSet<InRetry> {
        let found = self.retry.records.iter().filter_map(|(_, arrival)| match arrival {
            Arrival::Retry(entry) => Some((entry.booking.version_key(), entry.generation)),
            _ => None,
        });
        found.collect()
    }

    /// Where a task goes on that reads this now; marks in `state` what is lost.
    pub fn start(
        &self,
        committed: &[(Lane, Option<i64>)],
        state: &mut TaskState,
        defect: Option<Defect>,
    ) -> Result<Start, Refusal> {
        let known = |&(lane, committed): &(Lane, Option<i64>)| {
            let log = self.log(lane);
            KnownLane { lane, committed, low: log.low, high: log.end }
        };
        let blind = defect == Some(Defect::PositionOfAnyTopic);
        let topic_ids = if blind { TopicIds::default() } else { self.topic_ids() };
        let lanes = committed.iter().map(known).collect();
        let start = Start::decide(&Known { partition: 0, topic_ids, lanes, begins_at_end: false }, state)?;
        if start.is_retry_cut && defect != Some(Defect::LostRecordsPassedOver) {
            mark_lost(state, &self.in_retry());
        }
        Ok(start)
    }
}

impl World {
    /// Something happens to a topic or to the group's offsets.
    pub fn somebody_breaks_a_topic(&mut self) {
        let partition = self.random.below(self.partitions.len());
        let lane = *self.random.pick(&Lane::ALL);
        let kinds = [FaultKind::TopicRecreated, FaultKind::TopicRecreated, FaultKind::RecordsDeleted];
        let kind = *self.random.pick(&[&kinds[..], &[FaultKind::OffsetsForgotten]].concat());
        self.coverage.strikes(kind);
        self.coverage.meets(kind, Phase::Any);
        self.story.tell(self.now, || format!("{kind:?} p{partition} {lane:?}"));
        match kind {
            FaultKind::TopicRecreated => self.recreate(partition, lane),
            FaultKind::RecordsDeleted => self.delete_records(partition, lane),
            _ => self.partitions[partition].offsets.clear(),
        }
    }

    /// A topic is deleted and recreated. Kafka then forgets the group's offsets in it, mostly.
    fn recreate(&mut self, partition: usize, lane: Lane) {
        let id = self.partitions[partition].log(lane).id + 1;
        let old = std::mem::replace(self.partitions[partition].log_mut(lane), Log { id, ..Log::default() });
        if self.random.chance(0.7) {
            self.partitions[partition].offsets.remove(&lane);
        }
        self.are_gone(partition, lane, &old.records);
        // DentScheduler may publish again what it had published, with or without what was read of it.
        if lane == Lane::Requested && self.random.chance(0.5) {
            for (_, arrival) in old.records {
                self.partitions[partition].requested.append(arrival, &mut self.random);
            }
        }
        self.lane_ends(partition, lane, LaneEnd::TopicRecreated);
        self.wake_readers(partition as i32);
    }

    /// Records up to somewhere are deleted, be they read or not.
    fn delete_records(&mut self, partition: usize, lane: Lane) {
        let log = self.partitions[partition].log_mut(lane);
        let low = log.low + self.random.between(0, (log.end - log.low).max(0));
        let kept = log.records.partition_point(|(offset, _)| *offset < low);
        let gone: Vec<(i64, Arrival)> = log.records.drain(..kept).collect();
        log.low = low;
        self.are_gone(partition, lane, &gone);
        self.lane_ends(partition, lane, LaneEnd::ReadingEnded);
    }

    /// What nobody can read any more is asked of nobody.
    fn are_gone(&mut self, partition: usize, lane: Lane, records: &[(i64, Arrival)]) {
        if lane == Lane::Retry {
            let low = self.partitions[partition].retry.low;
            let is_whole = self.partitions[partition].retry.records.is_empty();
            self.partitions[partition].redrives.retain(|offset| !is_whole && *offset >= low);
        }
        for (_, arrival) in records {
            match arrival {
                Arrival::Requested(booking) => drop(self.gone.insert(booking.version_key())),
                Arrival::Retry(entry) => self.judges.retry_grows.forget(&entry.booking),
                Arrival::Unusable(_) | Arrival::Decided(_) | Arrival::Misrouted(_) => {}
            }
        }
    }

    /// Whoever reads the lane notices, some time later: of deleted records only one that stands before them.
    fn lane_ends(&mut self, partition: usize, lane: Lane, why: LaneEnd) {
        if self.plan.has(Defect::EndedLaneUnnoticed) {
            return;
        }
        let low = self.partitions[partition].log(lane).low;
        for worker in 0..self.workers.len() {
            let partition = partition as i32;
            let Some(task) = self.workers[worker].shell.task(partition) else { continue };
            let incarnation = task.incarnation;
            let Some(reader) = task.lanes.get(&lane) else { continue };
            if why == LaneEnd::ReadingEnded && reader.position >= low {
                continue;
            }
            let ms = self.random.between(0, NOTICED_WITHIN_MS);
            self.worker_learns(
                worker,
                ms,
                Input::LaneEnded { partition, incarnation, topic: lane.topic(), why },
            );
        }
    }
}

/// How a life goes wrong that is about topics.
pub fn faults(random: &mut Random) -> Faults {
    Faults {
        call: *random.pick(&[0.2, 0.5]),
        calls: vec![
            FaultKind::Connect,
            FaultKind::ErrorBefore,
            FaultKind::ErrorAfter,
            FaultKind::TimeoutAfter,
            FaultKind::LateLanding,
        ],
        commit: *random.pick(&[0.0, 0.1]),
        commits: FaultKind::COMMITS.to_vec(),
        workers: vec![FaultKind::Kill, FaultKind::Migrate, FaultKind::Stop, FaultKind::Pause],
        worker_every_ms: *random.pick(&[0, 10_000]),
        pause_max_ms: 25_000,
        redrive_every_ms: *random.pick(&[0, 10_000]),
        decide_every_ms: *random.pick(&[0, 10_000]),
        topic_every_ms: *random.pick(&[5_000, 20_000]),
        ..Faults::default()
    }
}
