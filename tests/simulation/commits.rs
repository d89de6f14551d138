//! Transactions: when one lands, whether it stands, and what its worker is told of it (rule T3).

use healthflow_sync::partition::commit_batch::CommitBatch;
use healthflow_sync::processor::{CommitEnded, Incarnation, Input};
use healthflow_sync::time::Timestamp;

use crate::defects::Defect;
use crate::faults::FaultKind;
use crate::plan::TRANSACTION_TIMEOUT_MS;
use crate::worker::Deed;
use crate::world::{Event, World};

/// A transaction under way.
#[derive(Debug)]
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
    pub fate: Fate,
}

/// How it ends if nobody fences it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Good,
    /// It never stands, and the worker cannot know.
    LostUnknown,
    /// It stands, and the worker cannot know; perhaps long after the worker gave up.
    GoodUnknown,
}

impl World {
    pub fn commit_begins(
        &mut self,
        worker: usize,
        (partition, incarnation): (i32, Incarnation),
        sequence: u64,
        mut batch: CommitBatch,
    ) {
        if let Some(defect) = self.plan.defect {
            defect.spoil(&mut batch);
        }
        let offsets = &self.partitions[partition as usize].offsets;
        let moves = batch.offsets.iter().any(|(lane, offset)| offsets.get(lane) != Some(offset));
        if self.plan.has(Defect::EmptyRenewal) && batch.records.is_empty() && !moves {
            let started_at = self.workers[worker].clock(self.now);
            let ended = CommitEnded::Good { started_at, aborts: 0 };
            self.worker_learns(worker, 1, Input::CommitEnded { partition, incarnation, sequence, ended });
            return;
        }
        let mut fate = Fate::Good;
        let mut ms = self.random.between(1, 40);
        let mut restarted_ms = 0;
        if self.strikes(self.plan.faults.commit) {
            let kind = *self.random.pick(&self.plan.faults.commits);
            self.meet(worker, kind);
            self.story.tell(self.now, || format!("w{worker} commit of p{partition}: {kind:?}"));
            match kind {
                FaultKind::CommitAborts => {
                    restarted_ms = self.random.between(5, 3_000);
                    ms += restarted_ms;
                }
                FaultKind::CommitSlow => ms = self.random.between(500, 12_000),
                FaultKind::CommitLost => fate = Fate::LostUnknown,
                _ => {
                    fate = Fate::GoodUnknown;
                    ms = self.random.between(1, 12_000);
                }
            }
        }
        let one = &mut self.workers[worker];
        let Some(shell) = one.shell(partition, incarnation) else { return };
        let epoch = shell.epoch;
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
            fate,
        };
        if fate == Fate::GoodUnknown && !self.takes_it_for_known() {
            // The worker gives up at some time before or after it lands.
            let gives_up_ms = self.random.between(1, 12_000);
            self.worker_learns(worker, gives_up_ms, ended(&landing, CommitEnded::TaskLost));
        }
        if self.random.chance(0.5) {
            // Its last request is still to be sent: a killed process never does, a paused one late.
            self.worker_does(worker, ms, Deed::CommitSent(Box::new(landing)));
        } else {
            self.after(ms, Event::CommitLands(Box::new(landing)));
        }
    }

    pub fn commit_sent(&mut self, landing: Landing) {
        self.commit_lands(landing);
    }

    pub fn commit_lands(&mut self, landing: Landing) {
        let (worker, partition) = (landing.worker, landing.partition);
        if self.workers[worker].life == landing.life {
            let commits = &mut self.workers[worker].commits;
            *commits = commits.saturating_sub(1);
        }
        let kafka = &self.partitions[partition as usize];
        let in_time = self.now - landing.began_at < TRANSACTION_TIMEOUT_MS;
        let stands = landing.epoch == kafka.epoch && landing.fate != Fate::LostUnknown && in_time;
        let taken_for_good = landing.fate == Fate::LostUnknown && self.plan.has(Defect::UnknownTakenForGood);
        let told = if stands || taken_for_good {
            CommitEnded::Good { started_at: landing.started_at, aborts: 0 }
        } else {
            CommitEnded::TaskLost
        };
        if stands {
            self.commit_stands(&landing);
        } else {
            let epoch = landing.epoch;
            self.story
                .tell(self.now, || format!("commit of w{worker} p{partition} is refused (epoch {epoch})"));
        }
        if stands && landing.fate == Fate::GoodUnknown && self.plan.has(Defect::UnknownTakenForFailed) {
            self.after(100, Event::CommitLands(Box::new(Landing { fate: Fate::Good, ..landing })));
            return;
        }
        if landing.fate == Fate::LostUnknown && self.plan.has(Defect::ResultsApart) {
            self.judge_results(&landing.batch);
        }
        if landing.fate != Fate::GoodUnknown || self.takes_it_for_known() {
            let ms = self.random.between(0, 20);
            let input = ended(&landing, told);
            self.after(
                ms,
                Event::ForWorker { worker, life: landing.life, deed: Box::new(Deed::Learn(input)) },
            );
        }
    }

    /// Whether a worker with a planted defect does not give up where the end is unknown.
    fn takes_it_for_known(&self) -> bool {
        self.plan.has(Defect::UnknownTakenForGood) || self.plan.has(Defect::UnknownTakenForFailed)
    }

    fn commit_stands(&mut self, landing: &Landing) {
        let partition = landing.partition as usize;
        let before = self.partitions[partition].offsets.clone();
        self.partitions[partition].apply(&landing.batch, Timestamp(self.now), &mut self.random);
        self.story.tell(self.now, || told(landing));
        self.judge_commit(landing.partition, &landing.batch, &before);
        self.wake_readers(landing.partition);
    }
}

fn ended(landing: &Landing, ended: CommitEnded) -> Input {
    let Landing { partition, incarnation, sequence, .. } = *landing;
    Input::CommitEnded { partition, incarnation, sequence, ended }
}

fn told(landing: &Landing) -> String {
    use healthflow_sync::event::Outgoing;
    use healthflow_sync::state::StateRecord;
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
            Outgoing::Forwarded(..) => unreachable!("no life misroutes a record"),
            Outgoing::State(state) => match &**state {
                StateRecord::Booking(key, state) => format!(
                    " [{key} newest {} intent {} placed {:?}]",
                    state.newest,
                    state.intent.as_ref().map_or("-".to_owned(), |i| format!("{:?}", i.operation)),
                    state.placement.as_ref().map(|p| (p.appointment_id.to_string(), p.version))
                ),
                StateRecord::Task(positions) => format!(" [{:?}]", positions.next_offsets),
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
