//! What becomes of a worker's effects, on the worker's side: reading lanes, acquiring tasks, sending calls.

use healthflow_core::booking::VersionKey;
use healthflow_core::event::{Arrival, arrival};
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Request, Sought};
use healthflow_core::life::{CallId, Incarnation, TaskLife};
use healthflow_core::partition::read_guard::GuardedRange;
use healthflow_core::partition::start::Acquired;
use healthflow_core::processor::{Effect, Input};
use healthflow_core::state::TaskState;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::shell::Begun;

use crate::deadly;
use crate::defects::Defect;
use crate::faults::FaultKind;
use crate::plan::Killer;
use crate::worker::{Deed, Outbound, Reading, Running};
use crate::world::{Event, World};

impl World {
    pub fn perform(&mut self, worker: usize, effect: Effect) {
        for begun in self.workers[worker].shell.perform(effect) {
            self.begins(worker, begun);
        }
    }

    fn begins(&mut self, worker: usize, begun: Begun) {
        match begun {
            Begun::Acquisition { partition, incarnation, not_before } => {
                let wait_ms = not_before.0.saturating_sub(self.workers[worker].skew_ms + self.now).max(0);
                let wait_ms = wait_ms + self.random.between(0, 20);
                self.worker_does(worker, wait_ms, Deed::InitCalled { partition, incarnation });
            }
            Begun::Call(call) => {
                let queued_ms = if self.strikes(self.plan.faults.queue) {
                    self.strike(worker, FaultKind::LongQueue);
                    self.random.between(500, self.plan.faults.queue_max_ms)
                } else {
                    self.random.between(0, 3)
                };
                self.workers[worker].calls.insert(call.id, call.request.operation());
                if is_of_killer(&call.request) {
                    self.workers[worker].deadly.insert(call.id);
                }
                self.judges.rate_limit.called(self.now);
                if let Some(what) = self.workers[worker].obeys.calls(&call.request, self.now) {
                    self.violate("by hand", format!("w{worker} {what}"));
                }
                self.judge_alone(worker, call.permit_until);
                self.judges.limits.called(&call.request, &self.lives, self.now);
                let states: Vec<&TaskState> = self.partitions.iter().map(|one| &one.state).collect();
                let now = Timestamp(self.now);
                if let Some(what) = self.judges.limits.uncounted(&call.request, &states, &self.plan, now) {
                    self.violate("limits", format!("w{worker} {what}"));
                }
                self.worker_does(
                    worker,
                    queued_ms,
                    Deed::Socket(Outbound { call, begun_at: self.now, epoch: 0 }),
                );
            }
            Begun::Refused(call) => self.refused(worker, call),
            Begun::Asking(ask) => self.counter_is_asked(worker, ask),
            Begun::Commit { partition, incarnation, sequence, batch } => {
                self.commit_begins(worker, TaskLife { partition, incarnation }, sequence, batch);
            }
            Begun::Reading(partition) => {
                self.pauses_outlive(worker, partition);
                self.wake_readers(partition);
            }
            Begun::Resumed(partition) => self.wake_readers(partition),
            Begun::Decoding { partition, incarnation, release } => {
                let ms = self.random.between(0, 5);
                self.worker_does(worker, ms, Deed::Decode { partition, incarnation, release });
            }
            Begun::Contents { partition, incarnation, of } => {
                let ms = self.random.between(1, 500);
                self.worker_does(worker, ms, Deed::ReadContents { partition, incarnation, of });
            }
            Begun::Unread(partition, lanes) => {
                let paused = lanes.into_iter().filter(|(_, reader)| reader.is_paused);
                self.workers[worker].left_paused.extend(paused.map(|(lane, _)| (partition, lane)));
            }
            // What its transactions become of is up to the broker.
            Begun::Dropped(..) => {}
            Begun::GivenBack(partition) => self.released(worker, partition),
            Begun::Stop => {
                self.story.tell(self.now, || format!("w{worker} stopped"));
                self.workers[worker].running = Running::Down;
                let restart_ms = self.random.between(500, 5_000);
                self.after(restart_ms, Event::Fault(crate::faults::FaultEvent::Restart(worker)));
            }
        }
    }

    /// What an earlier life of the task paused stays paused: only where that defect is planted.
    fn pauses_outlive(&mut self, worker: usize, partition: i32) {
        if !self.plan.has(Defect::PauseOutlivesTask) {
            return;
        }
        let one = &mut self.workers[worker];
        let Some(incarnation) = one.shell.task(partition).map(|task| task.incarnation) else { return };
        let left_paused = one.left_paused.clone();
        let Some(task) = one.task(partition, incarnation) else { return };
        for (lane, reader) in &mut task.lanes {
            reader.is_paused |= left_paused.contains(&(partition, *lane));
        }
    }

    fn refused(&mut self, worker: usize, call: CallId) {
        let reply = Err(Fault::NotSent(NotSent::LeaseOver));
        self.workers[worker].calls.remove(&call);
        self.worker_learns(worker, 0, Input::Answered { call, reply });
    }

    pub fn init_called(&mut self, worker: usize, partition: i32, incarnation: Incarnation) {
        let too_early = self.plan.has(Defect::RestoreBeforeFence);
        let early = too_early.then(|| Box::new(self.partitions[partition as usize].state.clone()));
        let one = &mut self.workers[worker];
        let Some(task) = one.task(partition, incarnation) else { return };
        task.producer.early_state = early;
        let life = one.life;
        let ms = self.random.between(1, 300);
        self.after(ms, Event::FenceLands { worker, life, partition, incarnation });
    }

    /// The broker fences whoever had the transactional id, whether or not the caller still listens.
    pub fn fence_lands(
        &mut self,
        (worker, life): (usize, u64),
        TaskLife { partition, incarnation }: TaskLife,
    ) {
        if self.now < self.disk_full_until {
            self.meet(worker, FaultKind::DiskFull);
            let ms = self.random.between(100, 3_000);
            let deed = Deed::Learn(Input::AcquireFailed { partition, incarnation });
            self.after(ms, Event::ForWorker { worker, life, deed: Box::new(deed) });
            return;
        }
        let epoch = self.partitions[partition as usize].epoch + 1;
        self.partitions[partition as usize].epoch = epoch;
        self.partitions[partition as usize].fences.push(self.now);
        self.story.tell(self.now, || format!("w{worker} fences p{partition} (epoch {epoch})"));
        let ms = self.random.between(0, 50);
        let deed = Deed::InitReturned { partition, incarnation, epoch };
        self.after(ms, Event::ForWorker { worker, life, deed: Box::new(deed) });
    }

    pub fn init_returned(
        &mut self,
        worker: usize,
        TaskLife { partition, incarnation }: TaskLife,
        epoch: u64,
    ) {
        let Some(task) = self.workers[worker].task(partition, incarnation) else { return };
        task.producer.epoch = epoch;
        if self.strikes(self.plan.faults.acquire) {
            self.strike(worker, FaultKind::AcquireFails);
            self.story.tell(self.now, || format!("w{worker} cannot acquire p{partition}"));
            self.worker_learns(worker, 0, Input::AcquireFailed { partition, incarnation });
            return;
        }
        let ms = self.random.between(0, 300);
        let deed = Deed::OffsetsRead { partition, incarnation, fenced_at: self.now };
        self.worker_does(worker, ms, deed);
    }

    pub fn offsets_read(
        &mut self,
        worker: usize,
        TaskLife { partition, incarnation }: TaskLife,
        fenced_at: i64,
    ) {
        if self.workers[worker].task(partition, incarnation).is_none() {
            return;
        }
        let kafka = &self.partitions[partition as usize];
        let offsets = Lane::ALL.iter().map(|lane| (*lane, kafka.offsets.get(lane).copied())).collect();
        let ms = self.random.between(0, 2_000);
        let task = self.workers[worker].task(partition, incarnation);
        let stale_state = task.and_then(|task| task.producer.early_state.take()).map(|state| *state);
        let acquired = Box::new(Reading { fenced_at, offsets, stale_state });
        self.worker_does(worker, ms, Deed::StateRead { partition, incarnation, acquired });
    }

    pub fn state_read(
        &mut self,
        worker: usize,
        TaskLife { partition, incarnation }: TaskLife,
        reading: &Reading,
    ) {
        let kafka = &mut self.partitions[partition as usize];
        let mut state = reading.stale_state.clone().unwrap_or_else(|| kafka.state.clone());
        if self.plan.has(Defect::DoubtInRecord) {
            kafka.doubts_in_records.find_again(&mut state);
        }
        let restored_records = kafka.state_records;
        let one = &mut self.workers[worker];
        let fenced_at = one.clock(reading.fenced_at);
        let restored_at: Timestamp = one.clock(self.now);
        let Some(task) = one.task(partition, incarnation) else { return };
        let start = match kafka.start(&reading.offsets, &mut state, self.plan.defect) {
            Ok(start) => start,
            Err(refusal) => {
                self.story.tell(self.now, || format!("w{worker} cannot go on: {refusal}"));
                self.worker_learns(worker, 0, Input::AcquireFailed { partition, incarnation });
                return;
            }
        };
        let topics = Lane::ALL.map(|lane| (lane, kafka.log(lane).id));
        kafka.topics_of.insert(task.producer.epoch, topics.into());
        let acquired = Acquired { fenced_at, start, state, restored_records, restored_at };
        let acquired = Box::new(acquired);
        self.worker_learns(worker, 0, Input::TaskAcquired { partition, incarnation, acquired });
    }

    /// Whoever reads a lane of `partition` and has not read all of it goes on reading.
    pub fn wake_readers(&mut self, partition: i32) {
        for worker in 0..self.workers.len() {
            for lane in Lane::ALL {
                let log = self.partitions[partition as usize].log(lane);
                let (low, end) = (log.low, log.end);
                let Some(task) = self.workers[worker].shell.task(partition) else { continue };
                let (incarnation, fetching) = (task.incarnation, &task.producer.fetching);
                let Some(reader) = task.lanes.get(&lane) else { continue };
                if reader.is_paused || fetching.contains(&lane) || !(low..end).contains(&reader.position) {
                    continue;
                }
                let task = self.workers[worker].task(partition, incarnation);
                task.map(|task| task.producer.fetching.insert(lane));
                let ms = self.random.between(1, 20);
                self.worker_does(worker, ms, Deed::Fetch { partition, incarnation, lane });
            }
        }
    }

    pub fn fetch(&mut self, worker: usize, partition: i32, incarnation: Incarnation, lane: Lane) {
        let most = self.random.between(1, 10) as usize;
        let log = self.partitions[partition as usize].log(lane);
        let Some(task) = self.workers[worker].task(partition, incarnation) else { return };
        let Some(reader) = task.lanes.get_mut(&lane) else { return };
        task.producer.fetching.remove(&lane);
        if reader.position < log.low {
            return;
        }
        let (mut fetched, mut held) = (Vec::new(), Vec::new());
        for (offset, arrival) in log.from(reader.position).iter().take(most) {
            match reader.takes(*offset, arrival) {
                Some(arrival) => fetched.push((*offset, arrival)),
                None => held.push(*offset),
            }
        }
        if log.from(reader.position).is_empty() {
            reader.position = log.end;
        }
        for offset in held {
            let input = Input::Guarded { partition, incarnation, lane, offset, size_bytes: 600 };
            self.workers[worker].inbox.push(input);
        }
        let known = self.wait_for_schema(worker, TaskLife { partition, incarnation }, lane, fetched);
        self.decoded(worker, TaskLife { partition, incarnation }, lane, known);
        self.wake_readers(partition);
    }

    /// Held versions are read from the review topic, as it is now.
    pub fn read_contents(
        &mut self,
        worker: usize,
        TaskLife { partition, incarnation }: TaskLife,
        of: &[VersionKey],
    ) {
        let found = self.partitions[partition as usize].state.contents_of(of);
        self.worker_learns(worker, 0, Input::ContentsRead { partition, incarnation, found });
    }

    /// What was held is decoded, or dead-lettered undecoded.
    pub fn decode(
        &mut self,
        worker: usize,
        TaskLife { partition, incarnation }: TaskLife,
        release: GuardedRange,
    ) {
        let Some(task) = self.workers[worker].task(partition, incarnation) else { return };
        let Some(reader) = task.lanes.get_mut(&release.lane) else { return };
        let mut records = reader.release(&release);
        if let Some(ends) = release.dead_lettered_after {
            for (_, arrival) in &mut records {
                *arrival = arrival::deadly(Some(b"pr-0"), Some(&deadly::VALUE), ends);
            }
            self.story.tell(self.now, || format!("w{worker} dead-letters {release:?} of p{partition}"));
        }
        self.decoded(worker, TaskLife { partition, incarnation }, release.lane, records);
    }

    /// The process looks into records; one of them may be its end.
    pub fn decoded(
        &mut self,
        worker: usize,
        TaskLife { partition, incarnation }: TaskLife,
        lane: Lane,
        records: Vec<(i64, Arrival)>,
    ) {
        for (offset, mut arrival) in records {
            if deadly::kills(&arrival) {
                self.dies(worker);
                return;
            }
            if let (true, Arrival::Misrouted(record)) = (self.plan.has(Defect::MisroutedTakenHere), &arrival)
            {
                arrival = self.real(record);
            }
            let input = Input::Arrived { partition, incarnation, lane, offset, size_bytes: 600, arrival };
            self.workers[worker].inbox.push(input);
        }
        self.turn_by(worker, self.now);
    }

    /// The last moment before the bytes go out: the lease decides (rule W2).
    pub fn socket(&mut self, worker: usize, mut outbound: Outbound) {
        let call = &outbound.call;
        if self.kills(worker, call.id, Killer::AtSocket) {
            self.dies(worker);
            return;
        }
        let one = &self.workers[worker];
        let may_call = one.shell.may_call(call.partition, call.incarnation);
        let task = one.shell.life(call.partition, call.incarnation).filter(|_| may_call);
        let epoch = task.map(|task| task.producer.epoch);
        let margin_ms = self.plan.settings.lease_margin_ms;
        let leased = match self.plan.defect {
            Some(Defect::LeaseCheckedEarly) => true,
            Some(Defect::MarginNotKept) => call.is_leased(one.clock(self.now), 0),
            Some(Defect::LeaseByWallClock) => {
                call.is_leased(Timestamp(self.now + one.machine_skew_ms), margin_ms)
            }
            _ => call.is_leased(one.clock(self.now), margin_ms),
        };
        let permitted = call.is_permitted(one.clock(self.now));
        let Some(epoch) = epoch.filter(|_| leased && permitted) else {
            let call = call.id;
            self.refused(worker, call);
            return;
        };
        outbound.epoch = epoch;
        if outbound.call.lease_until.is_some() && self.strikes(self.plan.faults.nap) {
            self.strike_call(outbound.call.request.operation(), FaultKind::NapAfterGate);
            let ms = self.random.between(1, margin_ms - 1);
            let life = self.workers[worker].life;
            self.after(ms, Event::Sends { worker, life, outbound: Box::new(outbound) });
            return;
        }
        self.sends(worker, outbound);
    }

    /// The bytes are written.
    pub fn sends(&mut self, worker: usize, outbound: Outbound) {
        self.judge_send(worker, &outbound);
        self.send(worker, outbound);
    }
}

/// Whether a request is about the booking that kills workers in some lives.
fn is_of_killer(request: &Request) -> bool {
    let (practice, booking) = match request {
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            (&content.practice, &content.booking)
        }
        Request::FindAppointment { practice, sought: Sought::Reference(booking), .. } => (practice, booking),
        _ => return false,
    };
    practice.as_str() == "pr-0" && booking.as_str() == "b0-0"
}
