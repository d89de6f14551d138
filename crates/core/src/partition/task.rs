//! The parts of a task, how it begins and how it is. A part keeps its fields to itself.

use std::collections::BTreeSet;

use crate::booking::PracticeId;
use crate::fact::Fact;
use crate::life::Incarnation;
use crate::partition::drain::Drain;
use crate::partition::held_versions::HeldVersions;
use crate::partition::intents::Intents;
use crate::partition::job::{Job, JobKey, JobStage, Shares};
use crate::partition::jobs::Jobs;
use crate::partition::ledger::Ledger;
use crate::partition::lone_suspect::LoneSuspect;
use crate::partition::lost_versions::LostVersions;
use crate::partition::misrouted_keys::MisroutedKeys;
use crate::partition::notices::Notices;
use crate::partition::outage_notices::OutageNotices;
use crate::partition::outbox::Outbox;
use crate::partition::progress::Progress;
use crate::partition::read_guard::ReadGuard;
use crate::partition::recent_creations::RecentCreations;
use crate::partition::slots::Slots;
use crate::partition::start::Acquired;
use crate::partition::turn::{Shared, Turn};
use crate::retry::WaitingRoom;
use crate::status::{TaskPhase, TaskStatus};
use crate::time::Timestamp;

/// One task that is live.
#[derive(Clone, Debug)]
pub struct Task {
    /// The partition number.
    pub(super) partition: i32,
    /// Which life of it in this process.
    pub(super) incarnation: Incarnation,
    /// Whether it is being given back.
    pub(super) drain: Drain,
    /// How far each lane has come.
    pub(super) progress: Progress,
    /// What is remembered of bookings and patients, and whose state the next commit will carry.
    pub(super) ledger: Ledger,
    /// The jobs at hand, and who of them waits for what.
    pub(super) jobs: Jobs,
    /// Records that came back from the retry topic before their time.
    pub(super) waiting_room: WaitingRoom,
    /// Whom this task is creating, or created a moment ago (rule W7).
    pub(super) recent_creations: RecentCreations,
    /// Which booking waits for the slot of which other one (rule K11).
    pub(super) slots: Slots,
    /// What is known of the open intents beyond state, and the lease.
    pub(super) intents: Intents,
    /// Which suspect runs alone.
    pub(super) alone: LoneSuspect,
    /// What the next commit will carry, and which commits are known good.
    pub(super) outbox: Outbox,
    /// Which bookings get a notice that they are late.
    pub(super) notices: Notices,
    /// What was reported of outages.
    pub(super) outages: OutageNotices,
    /// What waits for a person.
    pub(super) held: HeldVersions,
    /// Versions that are owed a dead letter, for their record is gone.
    pub(super) lost: LostVersions,
    /// Which records are read with care after an unclean end (rule K6).
    pub(super) reading: ReadGuard,
    /// Whose records come into foreign partitions.
    pub(super) misrouted_keys: MisroutedKeys,
    /// Practices whose calls the next commit is to count in long limits.
    pub(super) uncounted: BTreeSet<PracticeId>,
}

impl Task {
    /// A task that was just acquired. Its first commit carries the start positions as real offsets (rule T2).
    pub fn new(
        partition: i32,
        incarnation: Incarnation,
        mut acquired: Acquired,
        process: Timestamp,
        turn: &mut Turn<'_>,
    ) -> Task {
        let found = acquired.state.positions.as_ref().map(|positions| &positions.reading);
        let open_outage = acquired.state.positions.as_ref().and_then(|known| known.open_outage.clone());
        let held = std::mem::take(&mut acquired.state.held);
        let reading = ReadGuard::new(found, &acquired.start, process);
        let mut task = Task {
            partition,
            incarnation,
            drain: Drain::default(),
            progress: Progress::new(&acquired.start),
            ledger: Ledger::new(acquired.state),
            jobs: Jobs::default(),
            waiting_room: WaitingRoom::default(),
            recent_creations: RecentCreations::default(),
            slots: Slots::default(),
            intents: Intents::new(acquired.fenced_at),
            alone: LoneSuspect::default(),
            outbox: Outbox::new(),
            notices: Notices::default(),
            outages: OutageNotices::new(open_outage, turn.now, turn.settings),
            held: HeldVersions::default(),
            lost: LostVersions::default(),
            reading,
            misrouted_keys: MisroutedKeys::default(),
            uncounted: BTreeSet::new(),
        };
        task.inherit_doubts(turn.settings);
        task.inherit_lost();
        task.inherit_held(held, turn);
        task.inherit_slots();
        turn.facts.push_back(Fact::TaskAcquired {
            partition,
            incarnation,
            restored_records: acquired.restored_records,
            restore_ms: acquired.restored_at.since_ms(acquired.fenced_at).max(0).unsigned_abs(),
            open_intents: task.intents.len() as u64,
        });
        let lost = acquired.start.lost.into_iter();
        turn.facts.extend(lost.map(|position| Fact::PositionLost { partition, position }));
        task
    }

    /// Sets the stage of a job that is taken out.
    pub(super) fn set_stage(&mut self, key: &JobKey, job: &mut Job, stage: JobStage, now: Timestamp) {
        if stage == JobStage::AwaitsCommit {
            self.outbox.await_commit(key.clone(), now);
        }
        self.jobs.set_stage(key, job, stage, now);
    }

    /// Which life of the task this is.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether the task is being given back.
    pub fn is_draining(&self) -> bool {
        self.drain.until().is_some()
    }

    /// Places of the ready queue that this task takes up, by share.
    pub fn places(&self) -> Shares {
        self.jobs.places()
    }

    /// Whether a job of this practice is about to ask.
    pub fn is_about_to_ask(&self, practice: &PracticeId) -> bool {
        self.jobs.about_to_ask(practice) > 0
    }

    /// Calls under way.
    pub fn calls_in_flight(&self) -> usize {
        self.jobs.calls_in_flight()
    }

    /// Bookings that wait here, as far as they were read.
    pub fn bookings_waiting(&self) -> usize {
        self.jobs.len() + self.waiting_room.len() + self.notices.away()
    }

    /// The status of the task.
    pub fn status(&self) -> TaskStatus {
        TaskStatus {
            partition: self.partition,
            phase: if self.is_draining() { TaskPhase::Draining } else { TaskPhase::Live },
            incarnation: self.incarnation,
            lanes: self.progress.status(&self.waiting_room.iter().map(|waiting| waiting.offset).collect()),
            jobs: self.jobs.len(),
            waiting_room: self.waiting_room.len(),
            oldest_due: self.waiting_room.next_due(),
        }
    }

    /// Since when each open doubt is open.
    pub fn doubts(&self) -> impl Iterator<Item = Timestamp> {
        self.intents.doubts().map(|doubt| doubt.since)
    }

    /// The earliest moment at which the task has something to do without an event.
    pub fn next_wakeup(&self, shared: &Shared) -> Option<Timestamp> {
        let timer = self.jobs.next_due();
        let overdue = self.jobs.next_overdue();
        // Otherwise the end of the commit that is under way, or about to begin, goes on with it.
        let late = self.jobs.next_late().filter(|_| self.outbox.has_room());
        let review = self.held.next_due().filter(|_| !self.is_draining());
        // While a commit is under way only its end lets a drained task go; the clock would only be asked again and again.
        let drained_at = self.drain.until().filter(|_| !self.outbox.is_committing());
        let outage = self.outages.next_look().filter(|_| !self.is_draining());
        let reparking = self.next_reparking(shared);
        let waiting = self.waiting_room.next_due();
        [timer, overdue, late, waiting, review, drained_at, outage, reparking].into_iter().flatten().min()
    }
}
