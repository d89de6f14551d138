//! What arrives and what leaves: one file per topic, each the exact shape of its Avro schema in `schemas/`. `Arrival`
//! is a record of an input lane after decoding and checking; `Outgoing` is a record for a commit. [`avro`] turns bytes
//! into values given a schema; nothing here talks to a broker or a registry.

pub mod home_partition;
pub mod size;
mod shrunk_record;
pub mod unusable_names;
pub mod readable_bytes;

pub mod avro;

pub mod requested;
pub mod retry;
pub mod synced;
pub mod review;
pub mod audit;
pub mod notice;
pub mod decision;
pub mod control;
pub mod failed;
pub mod result;
pub mod state;
pub mod fleet;
mod positions;
mod quota;
mod remembered_notices;

pub mod key;
pub mod headers;
pub mod arrival;
pub mod codec;

use std::sync::Arc;

use crate::booking::{Booking, BookingKey, Version, VersionKey};
use crate::state::StateRecord;
use crate::sync::FailureReason;
use crate::time::Timestamp;

pub use control::{Control, ControlId, ControlKind, Setting};
pub use decision::{Decision, Verdict};
pub use failed::DeadLetter;
pub use notice::{Notice, NoticeKind};
pub use result::Finished;
pub use review::ReviewCase;

/// One record of an input lane, decoded and checked.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Arrival {
    /// A valid booking.
    Requested(Arc<Booking>),
    /// A booking that comes back (`appointments.retry`).
    Retry(Box<RetryEntry>),
    /// What a person decided (`appointments.decisions`).
    Decided(Box<Decision>),
    /// A record that cannot be used: it is dead-lettered at its offset (rule K7).
    Unusable(Box<Unusable>),
    /// A record whose key belongs to another partition: it is forwarded there as it is (rule K8).
    Misrouted(Box<Misrouted>),
}

/// A booking on its way through `appointments.retry`.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct RetryEntry {
    /// The booking.
    pub booking: Arc<Booking>,
    /// Its schedule.
    pub schedule: Schedule,
    /// Which of the records of this version is the valid one (rule K4).
    pub generation: u32,
}

/// How far a booking has come with its retries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Attempts that failed so far; waiting for a doubt, a person or another booking is not an attempt.
    pub attempts: u32,
    /// Not to be tried before this.
    pub not_before: Timestamp,
    /// When the first attempt failed; none while none has.
    pub first_failed_at: Option<Timestamp>,
    /// When the last attempt failed; none while none has, and in a record of an earlier worker.
    pub last_failed_at: Option<Timestamp>,
    /// What went wrong last, or what it waits for: a code, never a value.
    pub last_error: Arc<str>,
    /// Since when it waits for a slot that another booking will free, as if it had waited for nothing else meanwhile; none if it
    /// never did.
    pub slot_since: Option<Timestamp>,
}

/// A record that cannot be used, with everything needed to find out why.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Unusable {
    /// The key as it arrived; the beginning of one that is too large.
    pub raw_key: Option<Vec<u8>>,
    /// The value as it arrived; the beginning of one that is too large.
    pub raw_value: Option<Vec<u8>>,
    /// `UNDECODABLE`, `NO_IDENTITY`, `IMPOSSIBLE` or `TOO_LARGE`.
    pub reason: FailureReason,
    /// Field and rule, or the decoder's complaint; never a value.
    pub detail: Arc<str>,
    /// Which version it would have been, if that much can be read.
    pub identity: Option<Identity>,
    /// What it says of itself; empty if `identity` is known.
    pub named: unusable_names::Named,
    /// Which decision it would have been, if that much can be read.
    pub decision_id: Option<Arc<str>>,
}

/// A record in the wrong partition for its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Misrouted {
    /// The partition it belongs to.
    pub home: i32,
    /// The key as it arrived.
    pub key: Vec<u8>,
    /// The value as it arrived.
    pub value: Vec<u8>,
}

/// Which version of which booking a record is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The booking.
    pub key: BookingKey,
    /// The version.
    pub version: Version,
    /// DentScheduler's event id; empty if it is unknown or invalid.
    pub event_id: Arc<str>,
    /// When it was requested.
    pub requested_at: Timestamp,
}

impl Identity {
    /// The identity of a version whose record is gone: only its ids are known, and its dead letter leaves out the rest.
    pub fn of_lost(key: BookingKey, version: Version) -> Self {
        Identity { key, version, event_id: Arc::from(""), requested_at: Timestamp(0) }
    }

    /// Which version of which booking it is.
    pub fn version_key(&self) -> VersionKey {
        self.key.version(self.version)
    }
}

impl From<&Booking> for Identity {
    fn from(booking: &Booking) -> Self {
        Identity {
            key: booking.key.clone(),
            version: booking.version,
            event_id: booking.event_id.clone(),
            requested_at: booking.requested_at,
        }
    }
}

/// One record to be written in a commit, to the task's partition of its topic; a forwarded one to its own.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Outgoing {
    /// `appointments.synced`.
    Synced(Finished),
    /// `appointments.retry`.
    Retry(Box<RetryEntry>),
    /// `appointments.review`.
    Review(Box<ReviewCase>),
    /// A record without a value, to `appointments.review`: this version is held no more.
    Released(VersionKey),
    /// The same for the one record that an earlier worker wrote for a booking, whatever its version.
    ReleasedOfOld(BookingKey),
    /// `appointments.failed`.
    Failed(Box<DeadLetter>),
    /// `appointments.notices`.
    Notice(Box<Notice>),
    /// `appointments.state` or `patients.state`.
    State(Box<StateRecord>),
    /// A booking that is forgotten: a record without a value, to `appointments.state` (rule K9).
    Forgotten(BookingKey),
    /// A misrouted record, to the same topic, and where it was (rule K8).
    Forwarded(Box<Misrouted>, Origin),
}

impl Outgoing {
    /// Whether state shows that this was written. If it does not, only the committed offset keeps the next owner from writing
    /// it again, so both belong in one transaction (rule T2).
    pub fn is_shown_by_state(&self) -> bool {
        match self {
            Outgoing::Synced(_) | Outgoing::Retry(_) | Outgoing::State(_) => true,
            Outgoing::Review(_)
            | Outgoing::Released(..)
            | Outgoing::ReleasedOfOld(_)
            | Outgoing::Failed(_)
            | Outgoing::Notice(_)
            | Outgoing::Forgotten(_)
            | Outgoing::Forwarded(..) => false,
        }
    }
}

/// Where a record came from: the headers of a dead letter name it (KIP-1191).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The lane, hence the topic.
    pub lane: crate::topics::Lane,
    /// The partition, which is the task.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl Origin {
    /// Of the record at `position` of a task.
    pub fn of(partition: i32, position: crate::topics::Position) -> Self {
        Origin { lane: position.lane, partition, offset: position.offset }
    }
}

#[cfg(any(test, feature = "for-tests"))]
pub mod sample;
#[cfg(test)]
mod tests;
