//! One worker process with its one task: the shipped processor, and what the process around it holds.

use healthflow_core::booking::Version;
use healthflow_core::healthflow::{Reply, Request};
use healthflow_core::life::{Incarnation, TaskLife};
use healthflow_core::limits::Controls;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::processor::{CommitEnded, Effect, Processor};
use healthflow_core::settings::Settings;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::shell::{Begun, Call, Shell};

use crate::world::PARTITION;

#[derive(Clone, Debug, Hash)]
pub struct Owner {
    pub processor: Processor,
    /// Stopped like by SIGSTOP: it does nothing, notices nothing and does not know it.
    pub is_paused: bool,
    /// When the processor wants to be asked again.
    pub wakeup: Option<Timestamp>,
    /// What the process holds of the task.
    pub shell: Shell<Stage>,
    /// Calls between dispatch and answer, oldest first.
    pub calls: Vec<UnderWay>,
    pub commit: Option<Commit>,
    /// The task went to somebody else, and nobody has told it yet.
    pub loses: bool,
}

/// What has become of the task's producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// To be fenced, not before this.
    Wanted(Timestamp),
    /// Fenced, to be restored.
    Fenced {
        at: Timestamp,
        epoch: u64,
    },
    Live {
        epoch: u64,
    },
}

impl Default for Stage {
    fn default() -> Self {
        Stage::Wanted(Timestamp(0))
    }
}

#[derive(Clone, Debug, Hash)]
pub struct UnderWay {
    pub call: Call,
    pub stage: CallStage,
}

#[derive(Clone, Debug, Hash)]
pub enum CallStage {
    /// Waits for a connection; a slow one perhaps until then.
    Queued { slow_until: Option<Timestamp> },
    /// Went out; the process hears this, not before that moment.
    Sent { reply: Reply, not_before: Timestamp },
}

#[derive(Clone, Debug, Hash)]
pub struct Commit {
    pub incarnation: Incarnation,
    pub epoch: u64,
    pub sequence: u64,
    pub started_at: Timestamp,
    pub batch: CommitBatch,
    pub stage: CommitStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitStage {
    /// On its way; a slow one for as long as a transaction may last.
    UnderWay { is_slow: bool, aborts: u32 },
    /// It ended; the process hears this.
    Ended(CommitEnded),
}

impl std::hash::Hash for CommitStage {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        match self {
            CommitStage::UnderWay { is_slow, aborts } => (0_u8, *is_slow, *aborts).hash(hasher),
            CommitStage::Ended(CommitEnded::Good { started_at, aborts }) => {
                (1_u8, started_at, *aborts).hash(hasher);
            }
            CommitStage::Ended(CommitEnded::TaskLost) => 2_u8.hash(hasher),
        }
    }
}

impl UnderWay {
    pub fn is_slow(&self) -> bool {
        matches!(self.stage, CallStage::Queued { slow_until: Some(_) })
    }

    pub fn is_queued(&self) -> bool {
        matches!(self.stage, CallStage::Queued { .. })
    }
}

impl Owner {
    /// A fresh process.
    pub fn new(settings: &Settings, now: i64) -> Self {
        Owner {
            processor: Processor::new(settings.clone(), Controls::default(), Timestamp(now)),
            is_paused: false,
            wakeup: None,
            shell: Shell::default(),
            calls: Vec::new(),
            commit: None,
            loses: false,
        }
    }

    /// Whether its end would make a difference.
    pub fn has_something(&self) -> bool {
        !self.shell.is_empty() || !self.calls.is_empty()
    }

    /// Takes in what the processor wants done; whether the task is given back.
    pub fn perform(&mut self, effect: Effect, now: i64) -> bool {
        let begun = self.shell.perform(effect);
        let is_given_back = begun.iter().any(|one| matches!(one, Begun::GivenBack(_)));
        begun.into_iter().for_each(|one| self.begins(one, now));
        is_given_back
    }

    fn begins(&mut self, begun: Begun, now: i64) {
        match begun {
            Begun::Acquisition { incarnation, not_before, .. } => {
                if let Some(task) = self.shell.life_mut(PARTITION, incarnation) {
                    task.producer = Stage::Wanted(not_before.max(Timestamp(now)));
                }
            }
            Begun::Call(call) => {
                self.calls.push(UnderWay { call, stage: CallStage::Queued { slow_until: None } });
            }
            Begun::Refused(call) => panic!("{call:?} is of a life that was over before it was asked for"),
            Begun::Commit { incarnation, sequence, batch, .. } => {
                if let Some(epoch) = self.epoch(incarnation) {
                    self.commit = Some(Commit {
                        incarnation,
                        epoch,
                        sequence,
                        started_at: Timestamp(now),
                        batch,
                        stage: CommitStage::UnderWay { is_slow: false, aborts: 0 },
                    });
                }
            }
            // A commit under way ends with its producer: had it stood, that would have been before.
            Begun::Dropped(TaskLife { incarnation, .. }) => {
                self.commit.take_if(|commit| commit.incarnation == incarnation);
            }
            Begun::Asking(ask) => panic!("{ask:?}: a small world shares no counter"),
            Begun::Decoding { release, .. } => panic!("{release:?}: a small world holds no record back"),
            Begun::Contents { of, .. } => panic!("{of:?}: a small world has room for what it holds"),
            // Where it reads is asked at every step; whether it gives back, above; it stops in no small world.
            Begun::Reading(_) | Begun::Resumed(_) | Begun::Unread(..) => {}
            Begun::GivenBack(_) | Begun::Stop => {}
        }
    }

    /// What has become of the task's producer.
    pub fn stage(&self) -> Option<Stage> {
        self.shell.task(PARTITION).map(|task| task.producer)
    }

    /// The life of the task that is here.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.shell.task(PARTITION).map(|task| task.incarnation)
    }

    /// The producer of the task is this from now on.
    pub fn comes_to(&mut self, stage: Stage) -> Option<Incarnation> {
        let incarnation = self.incarnation()?;
        self.shell.life_mut(PARTITION, incarnation)?.producer = stage;
        Some(incarnation)
    }

    /// The epoch of a life of the task that is live.
    pub fn epoch(&self, incarnation: Incarnation) -> Option<u64> {
        match self.shell.life(PARTITION, incarnation)?.producer {
            Stage::Live { epoch } => Some(epoch),
            _ => None,
        }
    }

    /// Where it goes on reading a lane, if it does.
    pub fn position(&self, lane: Lane) -> Option<i64> {
        let reader = self.shell.reader(PARTITION, lane).filter(|reader| !reader.is_paused)?;
        Some(reader.position)
    }
}

/// A request in short.
pub fn told(request: &Request) -> String {
    let version = |visit| -> Version { crate::bookings::content_of(visit) };
    match request {
        Request::SearchPatients { pass, .. } => {
            format!("a search {}", format!("{pass:?}").split('(').next().unwrap_or_default())
        }
        Request::CreatePatient { .. } => "the creation of a patient".to_owned(),
        Request::FindAppointment { sought, .. } => format!("a look-up of {sought:?}"),
        Request::CreateAppointment { content, .. } => {
            format!("the creation of {} as of v{}", content.booking, version(&content.visit))
        }
        Request::ReadAppointment { id } => format!("a read of {id}"),
        Request::ReadPatient { id, .. } => format!("a read of the chart {id}"),
        Request::UpdateAppointment { id, content, .. } => {
            format!(
                "the change of {} ({id}) to v{} {:?}",
                content.booking,
                version(&content.visit),
                content.status
            )
        }
    }
}
