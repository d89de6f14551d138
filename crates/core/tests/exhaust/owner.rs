//! One worker process with its one task: the shipped processor, and what the process around it holds.

use healthflow_core::booking::Version;
use healthflow_core::healthflow::{Reply, Request};
use healthflow_core::life::{CallId, Incarnation};
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::processor::{CommitEnded, Effect, Processor};
use healthflow_core::settings::Settings;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

#[derive(Clone, Debug, Hash)]
pub struct Owner {
    pub processor: Processor,
    /// Stopped like by SIGSTOP: it does nothing, notices nothing and does not know it.
    pub is_paused: bool,
    /// When the processor wants to be asked again.
    pub wakeup: Option<Timestamp>,
    pub shell: Option<Shell>,
    /// Calls between dispatch and answer, oldest first.
    pub calls: Vec<Call>,
    pub commit: Option<Commit>,
    /// The task went to somebody else, and nobody has told it yet.
    pub loses: bool,
}

/// What the process holds of the task: its producer and its readers.
#[derive(Clone, Debug, Hash)]
pub struct Shell {
    pub incarnation: Incarnation,
    pub stage: Stage,
    /// The next offset to read, by lane.
    pub positions: [i64; 2],
}

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

#[derive(Clone, Debug, Hash)]
pub struct Call {
    pub id: CallId,
    pub incarnation: Incarnation,
    pub lease_until: Option<Timestamp>,
    pub request: Request,
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

impl Call {
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
            processor: Processor::new(settings.clone(), Timestamp(now)),
            is_paused: false,
            wakeup: None,
            shell: None,
            calls: Vec::new(),
            commit: None,
            loses: false,
        }
    }

    /// Whether its end would make a difference.
    pub fn has_something(&self) -> bool {
        self.shell.is_some() || !self.calls.is_empty()
    }

    /// Takes in what the processor wants done; whether the task is given back.
    pub fn perform(&mut self, effect: Effect, now: i64) -> bool {
        match effect {
            Effect::Acquire { incarnation, not_before, .. } => {
                let stage = Stage::Wanted(not_before.max(Timestamp(now)));
                self.shell = Some(Shell { incarnation, stage, positions: [0, 0] });
            }
            Effect::Call { call, incarnation, lease_until, request, .. } => self.calls.push(Call {
                id: call,
                incarnation,
                lease_until,
                request: *request,
                stage: CallStage::Queued { slow_until: None },
            }),
            Effect::Commit { incarnation, sequence, batch, .. } => {
                if let Some(epoch) = self.epoch(incarnation) {
                    self.commit = Some(Commit {
                        incarnation,
                        epoch,
                        sequence,
                        started_at: Timestamp(now),
                        batch: *batch,
                        stage: CommitStage::UnderWay { is_slow: false, aborts: 0 },
                    });
                }
            }
            Effect::Release { incarnation, .. } => {
                self.forget(incarnation);
                return true;
            }
            Effect::Drop { incarnation, .. } => self.forget(incarnation),
            Effect::Fetch { incarnation, next_offsets, .. } => {
                if let Some(shell) = self.shell.as_mut().filter(|shell| shell.incarnation == incarnation) {
                    shell.positions = Lane::ALL.map(|lane| lane.offset_in(&next_offsets).unwrap_or(0));
                }
            }
            Effect::Decode { .. } | Effect::Pause { .. } | Effect::Resume { .. } | Effect::Stop => {}
        }
        false
    }

    /// Throws the producer away. A commit under way ends with it: had it stood, that would have been before.
    fn forget(&mut self, incarnation: Incarnation) {
        self.shell.take_if(|shell| shell.incarnation == incarnation);
        self.commit.take_if(|commit| commit.incarnation == incarnation);
    }

    /// The epoch of a life of the task that is live.
    pub fn epoch(&self, incarnation: Incarnation) -> Option<u64> {
        match self.shell.as_ref()? {
            Shell { incarnation: of, stage: Stage::Live { epoch }, .. } if *of == incarnation => Some(*epoch),
            _ => None,
        }
    }

    /// Where it goes on reading a lane, if it does.
    pub fn position(&self, lane: Lane) -> Option<i64> {
        let shell = self.shell.as_ref().filter(|shell| matches!(shell.stage, Stage::Live { .. }))?;
        Some(shell.positions[lane as usize])
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
