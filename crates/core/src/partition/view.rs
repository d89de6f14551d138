//! What is read of a task to decide about a job: the parts that a decision may rest on, and no other. A decision changes none of
//! them.

use crate::partition::drain::Drain;
use crate::partition::intents::Intents;
use crate::partition::jobs::Jobs;
use crate::partition::ledger::Ledger;
use crate::partition::lone_suspect::LoneSuspect;
use crate::partition::progress::Progress;
use crate::partition::recent_creations::RecentCreations;
use crate::partition::slots::Slots;
use crate::partition::task::Task;

/// The parts of a task that decisions read.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// The partition number.
    pub(super) partition: i32,
    /// Whether the task is being given back.
    pub(super) drain: &'a Drain,
    /// How far each lane has come.
    pub(super) progress: &'a Progress,
    /// What is remembered of bookings and patients.
    pub(super) ledger: &'a Ledger,
    /// The jobs at hand.
    pub(super) jobs: &'a Jobs,
    /// Whom this task is creating, or created a moment ago (rule W7).
    pub(super) recent_creations: &'a RecentCreations,
    /// Which booking waits for the slot of which other one (rule K11).
    pub(super) slots: &'a Slots,
    /// What is known of the open intents beyond state.
    pub(super) intents: &'a Intents,
    /// Which suspect runs alone.
    pub(super) alone: &'a LoneSuspect,
}

impl Task {
    /// What decisions read of it.
    pub(super) fn view(&self) -> View<'_> {
        let Task {
            partition, drain, progress, ledger, jobs, recent_creations, slots, intents, alone, ..
        } = self;
        View { partition: *partition, drain, progress, ledger, jobs, recent_creations, slots, intents, alone }
    }
}

impl View<'_> {
    /// Whether the task is being given back.
    pub(super) fn is_draining(&self) -> bool {
        self.drain.until().is_some()
    }
}
