//! What the next commit of a task will carry, and which of the commits before it are known good. One commit at a time:
//! what comes about while one is under way goes into the next one, and a part that needs it to be durable asks here whether
//! it is (rules W1, T2). Without it a request could go out under an intent that an aborted transaction took along.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::booking::Booking;
use crate::event::{DeadLetter, Outgoing};
use crate::fact::Fact;
use crate::partition::commit_batch::CommitBatch;
use crate::partition::job::JobKey;
use crate::sync::SyncedOutcome;
use crate::time::{DAY_MS, Timestamp};
use crate::topics::Position;

/// So many records a commit gathers before the task leaves what can wait to the next one: a commit of thousands takes a second or
/// two, and whoever waits for its result in the same partition waits as long.
const GATHERED_MAX: usize = 200;

/// Offsets that moved go along with a commit if the last ones are this old, in milliseconds. They cost as much as the rest of a
/// small transaction; and what lies between them and the results state shows, so a restart reads it again and skips it (rule K3).
const OFFSETS_APART_MS: i64 = 1_000;

/// How old the offsets of an idle task may become before it commits them again, in milliseconds: a day.
const OFFSETS_AGAIN_MS: i64 = DAY_MS;

/// What is gathered for the next commit of a task, the commit under way, and how far commits are known good.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    /// Results, retry records, reviews and dead letters for the next commit, in the order in which they came about.
    records: Vec<Outgoing>,
    /// Facts that are true once the next commit is good.
    facts: Vec<PendingFact>,
    /// Whether the offsets are to be committed again although nothing changed: that renews the lease (rule W2).
    renewal_wanted: bool,
    /// The number of the next commit. The first is 1, so that everything is after 0.
    sequence: u64,
    /// The commit under way.
    committing: Option<Committing>,
    /// The number of the last commit that is known good; 0 before the first.
    committed_sequence: u64,
    /// When the last commit was begun; none before the first.
    started_at: Option<Timestamp>,
    /// When the last commit was begun that carries offsets; none before the first.
    offsets_at: Option<Timestamp>,
    /// Since when somebody waits for the next commit.
    awaited_since: Option<Timestamp>,
    /// Jobs that go on once the commit with this number is good, in the order in which they began to wait.
    awaits_commit: VecDeque<(u64, JobKey)>,
}

/// A commit under way.
#[derive(Clone, Debug)]
struct Committing {
    /// Its number.
    sequence: u64,
    /// The offsets that it carries.
    offsets: Vec<Position>,
    /// Since when somebody waits for it.
    awaited_since: Option<Timestamp>,
    /// Facts that are true once it is good.
    facts: Vec<PendingFact>,
    /// How many records it writes.
    records: u64,
}

/// A fact that is true once its commit is good.
#[derive(Clone, Debug)]
enum PendingFact {
    /// Reported as it is.
    Plain(Fact),
    /// A version got its good end: how long that took is known when the commit is good.
    Synced(Arc<Booking>, SyncedOutcome),
}

/// What follows from a commit that is known good.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Good {
    /// The offsets that are committed now.
    pub offsets: Vec<Position>,
    /// How many records were written.
    pub records: u64,
    /// What is true now.
    pub facts: Vec<Fact>,
    /// Jobs that waited for it.
    pub awaited_by: Vec<JobKey>,
}

impl Outbox {
    /// The outbox of a task that was just acquired: its first commit is wanted at once, whatever it carries (rule T2).
    pub fn new() -> Self {
        Outbox {
            records: Vec::new(),
            facts: Vec::new(),
            renewal_wanted: true,
            sequence: 1,
            committing: None,
            committed_sequence: 0,
            started_at: None,
            offsets_at: None,
            awaited_since: None,
            awaits_commit: VecDeque::new(),
        }
    }

    /// The next commit writes `record`.
    pub fn write(&mut self, record: Outgoing) {
        self.records.push(record);
    }

    /// The next commit writes `letter`; that is reported once the commit is good.
    pub fn dead_letter(&mut self, letter: DeadLetter) {
        self.tell(Fact::BookingFailed {
            key: letter.booking().cloned(),
            origin: letter.origin,
            reason: letter.reason,
            disposition: letter.disposition,
            detail: letter.detail.clone(),
        });
        self.write(Outgoing::Failed(Box::new(letter)));
    }

    /// Whether the next commit may grow by what can as well be in a later one.
    pub fn has_room(&self) -> bool {
        self.records.len() < GATHERED_MAX
    }

    /// Reports `fact` once the next commit is good.
    pub fn tell(&mut self, fact: Fact) {
        self.facts.push(PendingFact::Plain(fact));
    }

    /// Reports once the next commit is good that this version ended well.
    pub fn tell_synced(&mut self, booking: Arc<Booking>, outcome: SyncedOutcome) {
        self.facts.push(PendingFact::Synced(booking, outcome));
    }

    /// A commit is wanted although it may carry nothing but offsets.
    pub fn renew(&mut self) {
        self.renewal_wanted = true;
    }

    /// The same, if the committed offsets are a day old: brokers expire the offsets of topics that an active group does not
    /// subscribe to (rule T2).
    pub fn renew_if_old(&mut self, now: Timestamp) {
        self.renewal_wanted |= self.offsets_at.is_none_or(|at| now.since_ms(at) >= OFFSETS_AGAIN_MS);
    }

    /// From when on offsets that moved go along with a commit; none if they do at once.
    pub fn offsets_due_at(&self) -> Option<Timestamp> {
        self.offsets_at.map(|at| at.plus_ms(OFFSETS_APART_MS))
    }

    /// Whether the next commit writes a record for which this holds.
    pub fn writes_any(&self, is_meant: impl Fn(&Outgoing) -> bool) -> bool {
        self.records.iter().any(is_meant)
    }

    /// The number of the commit that will carry what comes about now.
    pub fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether the commit with this number is known good.
    pub fn is_good(&self, sequence: u64) -> bool {
        sequence <= self.committed_sequence
    }

    /// Whether a commit is under way.
    pub fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// Whether a commit should begin: none is under way, and there is something to commit, here or elsewhere.
    pub fn wants_commit(&self, is_news_elsewhere: bool) -> bool {
        self.committing.is_none() && (self.renewal_wanted || !self.records.is_empty() || is_news_elsewhere)
    }

    /// Whether somebody waits for the next commit: for a result, for an intent, or for the lease.
    pub fn is_awaited(&self) -> bool {
        let awaits_it = self.awaits_commit.back().is_some_and(|(sequence, _)| *sequence == self.sequence);
        self.renewal_wanted || !self.records.is_empty() || awaits_it
    }

    /// Since when somebody waits for the commit under way.
    pub fn awaited_since(&self) -> Option<Timestamp> {
        self.committing.as_ref()?.awaited_since
    }

    /// When the last commit was begun; none before the first.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// The job goes on once what has come about until now is durable.
    pub fn await_commit(&mut self, key: JobKey, now: Timestamp) {
        self.awaited_since.get_or_insert(now);
        self.awaits_commit.push_back((self.sequence, key));
    }

    /// The jobs that wait for a commit, in the order in which they began to wait; some may have moved on.
    pub fn awaited_by(&self) -> impl Iterator<Item = &JobKey> {
        self.awaits_commit.iter().map(|(_, key)| key)
    }

    /// Begins a commit with everything that came about: the records, then `states`, and `offsets` if they are due, or
    /// nothing else is there: librdkafka sends nothing for an empty transaction, so that would not renew the lease (rule W2).
    pub fn begin(
        &mut self,
        now: Timestamp,
        offsets: Vec<Position>,
        due: bool,
        states: impl IntoIterator<Item = Outgoing>,
    ) -> (u64, CommitBatch) {
        let mut records = std::mem::take(&mut self.records);
        records.extend(states);
        let carries = due || self.renewal_wanted || records.is_empty();
        let offsets = if carries { offsets } else { Vec::new() };
        if carries {
            self.offsets_at = Some(now);
        }
        let sequence = self.sequence;
        self.sequence += 1;
        self.started_at = Some(now);
        self.renewal_wanted = false;
        self.committing = Some(Committing {
            sequence,
            offsets: offsets.clone(),
            awaited_since: self.awaited_since.take(),
            facts: std::mem::take(&mut self.facts),
            records: records.len() as u64,
        });
        (sequence, CommitBatch { records, offsets })
    }

    /// The commit with this number is known good: takes out what follows from that; none if it is not the one under way.
    pub fn take_good(&mut self, sequence: u64, now: Timestamp) -> Option<Good> {
        let Committing { offsets, facts, records, .. } =
            self.committing.take_if(|committing| committing.sequence == sequence)?;
        self.committed_sequence = sequence;
        let later = self.awaits_commit.partition_point(|(awaited, _)| *awaited <= sequence);
        let awaited_by = self.awaits_commit.drain(..later).map(|(_, key)| key).collect();
        let facts = facts.into_iter().map(|fact| fact.at(now)).collect();
        Some(Good { offsets, records, facts, awaited_by })
    }
}

impl PendingFact {
    /// The fact, as its commit is known good.
    fn at(self, now: Timestamp) -> Fact {
        match self {
            PendingFact::Plain(fact) => fact,
            PendingFact::Synced(booking, outcome) => Fact::BookingSynced {
                key: booking.key.clone(),
                version: booking.version,
                outcome,
                source: booking.source,
                end_to_end_ms: now.since_ms(booking.requested_at),
            },
        }
    }
}

impl Hash for Outbox {
    /// Facts decide nothing, and how long somebody waits is a measure.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Outbox {
            records,
            facts: _,
            renewal_wanted,
            sequence,
            committing,
            committed_sequence,
            started_at,
            offsets_at,
            // A measure, for those who are told.
            awaited_since: _,
            awaits_commit,
        } = self;
        (records, renewal_wanted, sequence, committing).hash(hasher);
        (committed_sequence, started_at, offsets_at, awaits_commit).hash(hasher);
    }
}

impl Hash for Committing {
    /// Facts decide nothing.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Committing { sequence, offsets, awaited_since: _, facts: _, records: _ } = self;
        (sequence, offsets).hash(hasher);
    }
}

#[cfg(test)]
mod tests;
