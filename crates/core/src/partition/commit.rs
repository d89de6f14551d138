//! Making it durable: puts the state and the committable offsets that belong together into the batch of `outbox.rs`, and
//! does what follows once that is known good (rules T2, T3). A batch carries the state as it is when it is gathered, and, if they go along,
//! the committable offsets that go with exactly that state.

use crate::event::Outgoing;
use crate::fact::Fact;
use crate::partition::commit_batch::CommitBatch;
use crate::partition::job::{JobKey, JobStage};
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::settings::Settings;
use crate::state::StateRecord;
use crate::time::Timestamp;

/// A commit that would carry nothing but notices waits this long after the last one, in milliseconds.
const NOTICES_APART_MS: i64 = 1_000;

impl Task {
    /// Whether there is something to commit and no commit under way.
    pub fn wants_commit(&self) -> bool {
        self.outbox.wants_commit(self.has_news() || self.has_notices())
    }

    /// Whether there is more to commit than notices.
    fn has_news(&self) -> bool {
        self.has_changed() || self.progress.has_moved()
    }

    /// Whether there is more to commit than notices and offsets.
    fn has_changed(&self) -> bool {
        self.ledger.has_changed() || self.reading.is_news()
    }

    /// Until when the task gathers for a commit that nobody waits for, if the last one was begun at `last`.
    pub fn gathers_until(&self, last: Timestamp, settings: &Settings) -> Timestamp {
        let at = last.plus_ms(settings.commit_interval_ms);
        if self.has_changed() {
            return at;
        }
        let offsets_at = self.progress.has_moved().then(|| self.outbox.offsets_due_at().unwrap_or(at));
        let notices_at = self.has_notices().then(|| last.plus_ms(NOTICES_APART_MS));
        at.max(offsets_at.into_iter().chain(notices_at).min().unwrap_or(at))
    }

    /// Whether somebody waits for the next commit.
    pub fn is_commit_awaited(&self) -> bool {
        self.outbox.is_awaited()
    }

    /// When the last commit was begun; none before the first.
    pub fn last_commit_at(&self) -> Option<Timestamp> {
        self.outbox.started_at()
    }

    /// How long whoever waited longest for the commit under way has waited, in milliseconds; none if nobody does.
    pub fn longest_wait_for_commit_ms(&self, now: Timestamp) -> Option<i64> {
        self.outbox.awaited_since().map(|since| now.since_ms(since))
    }

    /// Gathers the batch and its sequence number; what is gathered from now on goes into the next one.
    pub fn begin_commit(&mut self, turn: &Turn<'_>) -> (u64, CommitBatch) {
        let (now, settings) = (turn.now, turn.settings);
        let hourly = self.progress.is_copy_old(now);
        // Not at once: a new owner begins by reading what the last one left unanswered.
        if hourly == Some(true) {
            self.forget_old(now, settings.keep_days);
        }
        self.dead_letter_lost(now, settings);
        // Whom an answer lets go is let go with it: the next owner would not know that it is due.
        self.end_holds(turn);
        let offsets = self.progress.committable_offsets();
        let is_news = self.outages.take_news() || self.reading.is_news();
        let positions = (hourly != Some(false) || is_news).then(|| {
            let reading = self.reading.state(!self.is_draining());
            let mut positions = self.progress.copy(now, &offsets, settings.partition_count, reading);
            positions.open_outage = self.outages.open();
            Outgoing::State(Box::new(StateRecord::Task(positions)))
        });
        let due = positions.is_some() || self.are_offsets_due(now, settings);
        let Task { outbox, ledger, jobs, .. } = self;
        let states = ledger.take_changed(|key| jobs.is_at_hand(&JobKey::Booking(key.clone())));
        outbox.begin(now, offsets, due, states.into_iter().chain(positions))
    }

    /// Whether a commit that begins now carries the offsets for their own sake.
    fn are_offsets_due(&self, now: Timestamp, settings: &Settings) -> bool {
        let have_waited = || self.outbox.offsets_due_at().is_none_or(|at| now >= at);
        self.is_draining()
            || self.progress.has_moved() && have_waited()
            || self.outbox.writes_any(|record| rules::goes_with_its_offset(record, settings))
    }

    /// The commit `sequence` is known good: its facts are true now, its intents may be sent under, the lease runs from
    /// its start.
    pub fn commit_is_good(&mut self, sequence: u64, started_at: Timestamp, aborts: u32, turn: &mut Turn<'_>) {
        let Some(good) = self.outbox.take_good(sequence, turn.now) else { return };
        self.intents.renew_lease(started_at);
        self.progress.committed(&good.offsets);
        self.held.committed(sequence, turn.settings.review_contents_max);
        turn.facts.push_back(Fact::TransactionCommitted {
            partition: self.partition,
            records: good.records,
            aborts,
            elapsed_ms: turn.now.since_ms(started_at).max(0).unsigned_abs(),
        });
        turn.facts.extend(good.facts);
        for key in good.awaited_by {
            self.ready_after_commit(&key, turn.now);
        }
    }

    fn ready_after_commit(&mut self, key: &JobKey, now: Timestamp) {
        let Some(mut job) = self.jobs.take(key) else { return };
        if job.stage == JobStage::AwaitsCommit {
            self.set_stage(key, &mut job, JobStage::Ready, now);
        }
        self.jobs.put_back(key, job);
    }
}
