//! Transactions: when one lands, whether it is committed, and what its worker learns of it (rule T3).

use healthflow_core::event::Outgoing;
use healthflow_core::life::{Incarnation, TaskLife};
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::processor::{CommitEnded, Input};
use healthflow_core::time::Timestamp;

use crate::defects::Defect;
use crate::faults::FaultKind;
use crate::plan::TRANSACTION_TIMEOUT_MS;
use crate::worker::Deed;
use crate::world::{Event, World};

/// How often a worker begins the same transaction again.
const ABORTS_MAX: u32 = 10;

/// A transaction under way.
#[derive(Clone, Debug)]
pub struct Landing {
    pub worker: usize,
    pub life: u64,
    pub partition: i32,
    pub incarnation: Incarnation,
    pub sequence: u64,
    pub epoch: u64,
    pub began_at: i64,
    pub started_at: Timestamp,
    pub batch: CommitBatch,
    pub ending: CommitEnding,
    pub aborts: u32,
}

/// How it ends if nobody fences it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitEnding {
    Good,
    /// It is never good, and the worker cannot know.
    LostUnknown,
    /// It is good, and the worker cannot know; perhaps long after the worker gave up.
    GoodUnknown,
    /// It is good, over a connection that broke: a copy of its EndTxn is still to come.
    GoodTorn,
}

/// How a transaction goes.
struct Course {
    ending: CommitEnding,
    /// The attempt that counts begins so long after the first one.
    restarted_ms: i64,
    lands_ms: i64,
    aborts: u32,
}

impl World {
    pub fn commit_begins(
        &mut self,
        worker: usize,
        TaskLife { partition, incarnation }: TaskLife,
        sequence: u64,
        mut batch: CommitBatch,
    ) {
        if let Some(defect) = self.plan.defect {
            defect.spoil(&mut batch);
        }
        if self.plan.has(Defect::DoubtInRecord) {
            self.partitions[partition as usize].doubts_in_records.move_into_records(&mut batch);
        }
        let offsets = &self.partitions[partition as usize].offsets;
        let moves = batch.offsets.iter().any(|at| offsets.get(&at.lane) != Some(&at.offset));
        if self.plan.has(Defect::EmptyRenewal) && batch.records.is_empty() && !moves {
            let started_at = self.workers[worker].clock(self.now);
            let ended = CommitEnded::Good { started_at, aborts: 0 };
            self.worker_learns(worker, 1, Input::CommitEnded { partition, incarnation, sequence, ended });
            return;
        }
        let Course { ending, restarted_ms, lands_ms, aborts } = self.course(worker, partition, &batch);
        if let Some(defect) = self.plan.defect.filter(|_| aborts > 0) {
            defect.spoil_again(&mut batch);
        }
        let one = &mut self.workers[worker];
        let Some(task) = one.task(partition, incarnation) else { return };
        let epoch = task.producer.epoch;
        one.commits += 1;
        let life = one.life;
        // A transaction that was aborted is begun again: the lease runs from the one that is good.
        let started_at = one.clock(self.now + restarted_ms);
        let landing = Landing {
            worker,
            life,
            partition,
            incarnation,
            sequence,
            epoch,
            began_at: self.now + restarted_ms,
            started_at,
            batch,
            ending,
            aborts,
        };
        self.partitions[partition as usize].begins(&landing);
        if ending == CommitEnding::GoodUnknown && !self.takes_it_for_known() {
            // The worker gives up at some time before or after it lands.
            let gives_up_ms = self.random.between(1, 12_000);
            self.worker_learns(worker, gives_up_ms, ended(&landing, CommitEnded::TaskLost));
        }
        if self.random.chance(0.5) {
            // Its last request is still to be sent: a killed process never does, a paused one late.
            self.worker_does(worker, lands_ms, Deed::CommitSent(Box::new(landing)));
        } else {
            self.after(lands_ms, Event::CommitLands(Box::new(landing)));
        }
    }

    /// What goes wrong with a transaction, and how long it takes.
    fn course(&mut self, worker: usize, partition: i32, batch: &CommitBatch) -> Course {
        let mut course = Course {
            ending: CommitEnding::Good,
            restarted_ms: 0,
            lands_ms: self.random.between(1, 40),
            aborts: 0,
        };
        if self.now < self.disk_full_until {
            self.meet(worker, FaultKind::DiskFull);
            self.wait_for_disk(&mut course);
        } else if self.strikes(self.plan.faults.commit) {
            let kind = *self.random.pick(&self.plan.faults.commits);
            self.strike(worker, kind);
            self.story.tell(self.now, || format!("w{worker} commit of p{partition}: {kind:?}"));
            match kind {
                FaultKind::CommitAborts => {
                    course.restarted_ms = self.random.between(5, 3_000);
                    course.lands_ms += course.restarted_ms;
                    course.aborts = 1;
                    if self.plan.has(Defect::RecommitCallsAgain) {
                        self.calls_again(worker, batch);
                    }
                }
                FaultKind::CommitSlow => course.lands_ms = self.random.between(500, 12_000),
                FaultKind::CommitLost => course.ending = CommitEnding::LostUnknown,
                FaultKind::EndTxnTwice => course.ending = CommitEnding::GoodTorn,
                _ => {
                    course.ending = CommitEnding::GoodUnknown;
                    course.lands_ms = self.random.between(1, 12_000);
                }
            }
        }
        course
    }

    /// The broker's disk is full for a while, whatever each worker is at.
    pub fn the_disk_fills(&mut self) {
        let ms = self.random.between(500, 20_000);
        self.coverage.strikes(FaultKind::DiskFull);
        (0..self.workers.len()).for_each(|worker| self.meet(worker, FaultKind::DiskFull));
        self.disk_full_until = (self.now + ms).min(self.plan.faults_until);
        self.story.tell(self.now, || format!("the broker's disk is full for {ms} ms"));
    }

    /// Every attempt aborts until the disk has room again; after too many the worker gives the task up.
    fn wait_for_disk(&mut self, course: &mut Course) {
        let wait_ms = self.disk_full_until - self.now;
        while course.restarted_ms < wait_ms {
            if course.aborts == ABORTS_MAX {
                course.ending = CommitEnding::LostUnknown;
                break;
            }
            course.aborts += 1;
            course.restarted_ms += self.random.between(20, 2_500);
        }
        course.lands_ms += course.restarted_ms;
    }

    pub fn commit_lands(&mut self, landing: Landing) {
        if self.now < self.disk_full_until && landing.ending != CommitEnding::LostUnknown {
            // No marker can be written: the coordinator answers once it can.
            let ms = self.disk_full_until - self.now + self.random.between(1, 200);
            self.after(ms, Event::CommitLands(Box::new(landing)));
            return;
        }
        let (worker, partition) = (landing.worker, landing.partition);
        if self.workers[worker].life == landing.life {
            let commits = &mut self.workers[worker].commits;
            *commits = commits.saturating_sub(1);
        }
        let ended_early = self.partitions[partition as usize].ends(&landing);
        let in_time = self.now - landing.began_at < TRANSACTION_TIMEOUT_MS;
        let is_owner = landing.epoch == self.partitions[partition as usize].epoch;
        let is_good = is_owner && landing.ending != CommitEnding::LostUnknown && in_time && !ended_early;
        let told = self.told(&landing, is_good);
        if is_good {
            self.commit_is_good(&landing);
        } else {
            let epoch = landing.epoch;
            self.story
                .tell(self.now, || format!("commit of w{worker} p{partition} is refused (epoch {epoch})"));
        }
        if told == CommitEnded::TaskLost && self.plan.has(Defect::MemorySurvivesInit) {
            self.goes_on_from_memory(landing, is_good);
            return;
        }
        if is_good
            && landing.ending == CommitEnding::GoodUnknown
            && self.plan.has(Defect::UnknownTakenForFailed)
        {
            self.after(100, Event::CommitLands(Box::new(Landing { ending: CommitEnding::Good, ..landing })));
            return;
        }
        if landing.ending == CommitEnding::LostUnknown && self.plan.has(Defect::ResultsApart) {
            self.judge_results(&landing.batch);
        }
        if landing.ending != CommitEnding::GoodUnknown || self.takes_it_for_known() {
            let ms = self.random.between(0, 20);
            let input = ended(&landing, told);
            self.after(
                ms,
                Event::ForWorker { worker, life: landing.life, deed: Box::new(Deed::Learn(input)) },
            );
        }
    }

    /// What the worker learns of a transaction of which `stands` is true.
    fn told(&mut self, landing: &Landing, is_good: bool) -> CommitEnded {
        let taken_for_good = match landing.ending {
            CommitEnding::LostUnknown => self.plan.has(Defect::UnknownTakenForGood),
            CommitEnding::GoodTorn => is_good && self.plan.has(Defect::BrokenConnectionTakenForGood),
            CommitEnding::Good | CommitEnding::GoodUnknown => is_good,
        };
        if is_good && landing.ending == CommitEnding::GoodTorn {
            self.partitions[landing.partition as usize].copies += 1;
            let ms = self.random.between(1, 8_000);
            self.after(ms, Event::EndTxnCopy { partition: landing.partition, epoch: landing.epoch });
        }
        if taken_for_good {
            CommitEnded::Good { started_at: landing.started_at, aborts: landing.aborts }
        } else {
            CommitEnded::TaskLost
        }
    }

    /// A second EndTxn with the epoch of the open transaction ends that one, as far as it has come (rule T3).
    pub fn copy_lands(&mut self, partition: i32, epoch: u64) {
        let kafka = &mut self.partitions[partition as usize];
        kafka.copies -= 1;
        let Some(open) = kafka.open.take_if(|open| open.epoch == epoch && kafka.epoch == epoch) else {
            return;
        };
        let (sent, worker) = (open.batch.records.len(), open.worker);
        kafka.ended_early = Some((open.incarnation, open.sequence));
        let so_far = self.random.below(sent + 1);
        self.story.tell(self.now, || {
            format!("a copy of an EndTxn ends the open transaction of w{worker} p{partition} after {so_far} of {sent}")
        });
        let mut part = *open;
        part.batch.records.truncate(so_far);
        part.batch.offsets.clear();
        self.commit_is_good(&part);
    }

    /// Whether a worker with a planted defect does not give up where the end is unknown.
    fn takes_it_for_known(&self) -> bool {
        let defects =
            [Defect::UnknownTakenForGood, Defect::UnknownTakenForFailed, Defect::MemorySurvivesInit];
        defects.into_iter().any(|defect| self.plan.has(defect))
    }

    fn commit_is_good(&mut self, landing: &Landing) {
        let partition = landing.partition as usize;
        let before = self.partitions[partition].offsets_of_these_topics();
        self.judges.steps_aside.commit(&landing.batch, &self.partitions[partition].state);
        self.partitions[partition].newest_committed = landing.epoch;
        self.partitions[partition].apply(
            &landing.batch,
            landing.epoch,
            Timestamp(self.now),
            &mut self.random,
        );
        self.story.tell(self.now, || told(landing));
        for record in &landing.batch.records {
            if let Outgoing::Forwarded(record, _) = record {
                self.comes_home(record);
            }
        }
        self.judge_commit((landing.partition, landing.epoch), &landing.batch, &before);
        self.wake_readers(landing.partition);
    }
}

pub fn ended(landing: &Landing, ended: CommitEnded) -> Input {
    let Landing { partition, incarnation, sequence, .. } = *landing;
    Input::CommitEnded { partition, incarnation, sequence, ended }
}

fn told(landing: &Landing) -> String {
    use healthflow_core::state::StateRecord;
    let mut text = format!(
        "committed w{} p{} #{} to {:?}:",
        landing.worker, landing.partition, landing.sequence, landing.batch.offsets
    );
    for record in &landing.batch.records {
        let part = match record {
            Outgoing::Synced(done) => {
                format!(" {} v{} {:?}", done.identity.key, done.identity.version, done.outcome)
            }
            Outgoing::Failed(letter) => format!(
                " failed {:?} {:?}",
                letter.identity.as_ref().map(|i| (i.key.to_string(), i.version)),
                letter.reason
            ),
            Outgoing::Review(case) => format!(" review {} v{}", case.booking.key, case.booking.version),
            Outgoing::Retry(entry) => {
                format!(" parked {} v{} g{}", entry.booking.key, entry.booking.version, entry.generation)
            }
            Outgoing::Notice(notice) => format!(" {}", notice.kind().code()),
            Outgoing::Forgotten(key) => format!(" {key} forgotten"),
            Outgoing::Released(of) => format!(" {of} released"),
            Outgoing::ReleasedOfOld(key) => format!(" {key} released, of old"),
            Outgoing::Forwarded(record, origin) => format!(" @{} goes to p{}", origin.offset, record.home),
            Outgoing::State(state) => match &**state {
                StateRecord::Booking(key, state) => format!(
                    " [{key} newest {} intent {} placed {:?}]",
                    state.newest,
                    state.intent.as_ref().map_or("-".to_owned(), |i| format!("{:?}", i.operation)),
                    state.placement.as_ref().map(|p| (p.appointment_id.to_string(), p.version))
                ),
                StateRecord::Task(positions) => format!(" [{:?}]", positions.next_offsets),
                StateRecord::Quota(owner, counts) => format!(" [{owner:?} {counts:?}]"),
                StateRecord::Patient(key, state) => format!(
                    " [{} link {:?} intent {} held {:?}]",
                    key.patient,
                    state.link.as_ref().map(|l| l.healthflow_patient_id.to_string()),
                    state.intent.is_some(),
                    state.held_by
                ),
            },
        };
        text.push_str(&part);
    }
    text
}
