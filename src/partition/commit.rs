//! Making it stand: gathers what finished into one batch, and learns what became of it (rules T2, T3). A batch carries
//! the state as it is when it is gathered, and the watermarks that go with exactly that state.

use std::borrow::Cow;

use crate::event::Outgoing;
use crate::event::topics::Lane;
use crate::partition::commit_batch::CommitBatch;
use crate::partition::job::{JobKey, Standing};
use crate::partition::task::{PendingFact, Task, Turn};
use crate::processor::fact::Fact;
use crate::processor::settings::Settings;
use crate::state::{StateRecord, TaskPositions};
use crate::time::Timestamp;

/// How old the copy of the offsets in state may become, and how long what may be forgotten stays, in milliseconds.
const HOURLY_MS: i64 = 3_600_000;

/// A commit under way.
#[derive(Clone, Debug)]
pub struct Committing {
    pub(super) sequence: u64,
    pub(super) offsets: Vec<(Lane, i64)>,
    pub(super) facts: Vec<PendingFact>,
    pub(super) records: u64,
}

impl Task {
    /// Whether there is something to commit and no commit under way.
    pub fn wants_commit(&self) -> bool {
        let pending = &self.pending;
        self.committing.is_none()
            && (self.renewal_wanted
                || !pending.records.is_empty()
                || !pending.bookings.is_empty()
                || !pending.patients.is_empty()
                || self.reading.is_news()
                || self.lanes.values().any(crate::partition::lane::LaneProgress::has_moved))
    }

    /// When the last commit was begun: the next one waits for the interval.
    pub fn commit_started_at(&self) -> Timestamp {
        self.commit_started_at
    }

    /// Gathers the batch and its sequence number; what is gathered from now on goes into the next one.
    pub fn begin_commit(&mut self, now: Timestamp, settings: &Settings) -> (u64, CommitBatch) {
        let hourly = self.positions_written_at.map(|at| now.since_ms(at) >= HOURLY_MS);
        // Not at once: a new owner begins by reading what the last one left unanswered.
        if hourly == Some(true) {
            self.forget_old(now, settings.keep_days);
        }
        self.bury_lost(now, settings);
        let pending = std::mem::take(&mut self.pending);
        let mut records = pending.records;
        for key in pending.patients {
            let state = self.state.patients.get(&key).map(Cow::into_owned).unwrap_or_default();
            self.state.patients.settle(&key);
            records.push(Outgoing::State(Box::new(StateRecord::Patient(key, state))));
        }
        for key in pending.bookings {
            let state = self.state.bookings.get(&key).map(Cow::into_owned);
            // A job at hand looks at it again and again, and ends with a change.
            if !self.jobs.contains_key(&JobKey::Booking(key.clone())) {
                self.state.bookings.settle(&key);
            }
            records.push(match state {
                Some(state) => Outgoing::State(Box::new(StateRecord::Booking(key, state))),
                None => Outgoing::Forgotten(key),
            });
        }
        let mut offsets: Vec<(Lane, i64)> =
            self.lanes.iter().map(|(lane, progress)| (*lane, progress.watermark())).collect();
        offsets.sort_unstable();
        if hourly != Some(false) || self.reading.is_news() {
            self.positions_written_at = Some(now);
            let partition_count = settings.partition_count;
            let (next_offsets, topic_ids) = (offsets.clone(), self.topic_ids.clone());
            let reading = self.reading.state(self.drain_until.is_none());
            let positions = TaskPositions { partition_count, next_offsets, topic_ids, reading };
            records.push(Outgoing::State(Box::new(StateRecord::Task(positions))));
        }
        let sequence = self.sequence;
        self.sequence += 1;
        self.commit_started_at = now;
        self.renewal_wanted = false;
        self.committing = Some(Committing {
            sequence,
            offsets: offsets.clone(),
            facts: pending.facts,
            records: records.len() as u64,
        });
        (sequence, CommitBatch { records, offsets })
    }

    /// The commit `sequence` is known good: its facts are true now, its intents may be sent under, the lease runs from
    /// its start.
    pub fn commit_is_good(
        &mut self,
        sequence: u64,
        (started_at, aborts): (Timestamp, u32),
        turn: &mut Turn<'_>,
    ) {
        let Some(done) = self.committing.take_if(|committing| committing.sequence == sequence) else {
            return;
        };
        self.committed_sequence = sequence;
        self.lease_from = self.lease_from.max(started_at);
        for (lane, offset) in done.offsets {
            if let Some(progress) = self.lanes.get_mut(&lane) {
                progress.committed = Some(offset);
            }
        }
        turn.facts.push_back(Fact::TransactionCommitted {
            partition: self.partition,
            records: done.records,
            aborts,
            elapsed_ms: turn.now.since_ms(started_at).max(0).unsigned_abs(),
        });
        for fact in done.facts {
            turn.facts.push_back(at_commit(fact, turn.now));
        }
        while self.awaits_commit.front().is_some_and(|(awaited, _)| *awaited <= sequence) {
            let Some((_, key)) = self.awaits_commit.pop_front() else { break };
            self.ready_after_commit(&key, turn.now);
        }
    }

    fn ready_after_commit(&mut self, key: &JobKey, now: Timestamp) {
        let Some(mut job) = self.jobs.remove(key) else { return };
        if job.standing == Standing::AwaitsCommit {
            self.stand(key, &mut job, Standing::Ready, now);
        }
        self.jobs.insert(key.clone(), job);
    }

    /// The partition is wanted back: nothing new is sent, calls in flight may finish until `until` (rule K2).
    pub fn begin_drain(&mut self, until: Timestamp) {
        if self.drain_until.is_some() {
            return;
        }
        self.drain_until = Some(until);
        self.reading.tell();
        let unsent = |open: &crate::partition::open_write::OpenWrite| open.is_unsent();
        let writes: Vec<_> =
            self.writes.iter().filter(|(_, open)| unsent(open)).map(|(key, _)| key.clone()).collect();
        for key in writes {
            self.close_write(&key);
        }
        let creations: Vec<_> =
            self.creations.iter().filter(|(_, open)| unsent(open)).map(|(key, _)| key.clone()).collect();
        for key in creations {
            self.close_creation(&key);
        }
    }

    /// Whether everything of a draining task is answered, or its time is up, and committed.
    pub fn is_drained(&self, now: Timestamp) -> bool {
        let Some(until) = self.drain_until else { return false };
        let answered = self.calls_in_flight() == 0 || now >= until;
        answered && self.committing.is_none() && !self.wants_commit()
    }
}

fn at_commit(fact: PendingFact, now: Timestamp) -> Fact {
    match fact {
        PendingFact::Plain(fact) => fact,
        PendingFact::Synced { mut fact, requested_at } => {
            if let Fact::BookingSynced { end_to_end_ms, .. } = &mut fact {
                *end_to_end_ms = now.since_ms(requested_at);
            }
            fact
        }
    }
}
