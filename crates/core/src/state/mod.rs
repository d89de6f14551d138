//! What a task remembers of its practices: one value per booking and one per patient, each committed to a compacted topic in
//! the transaction of the result it belongs to. Everything that must survive a crash is here; everything else may be
//! forgotten at any time.

pub mod fleet;
pub mod held;
pub mod join;
pub mod reading;
pub mod packed_map;
pub mod quota;
pub mod told;
pub mod topic_ids;
pub mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::appointment::{PlacedIds, Placement, Revision, Slot, Span};
use crate::booking::{Booking, BookingId, BookingKey, PatientKey, PracticeId, Version, VersionKey};
use crate::patient::digests::PersonDigests;
use crate::patient::{Link, Rejected, UnverifiedCreation};
use crate::time::Timestamp;
use crate::topics::Position;

pub use fleet::{FleetRecord, Owner, Refusal};
pub use held::{Asks, Held, HeldByKey};
pub use join::LeftOver;
pub use packed_map::{Packable, PackedMap};
pub use quota::{QuotaCount, QuotaOwner, join_counts};
pub use reading::{ReadMark, ReadingState};
pub use told::{OpenOutage, ToldDelay};
pub use topic_ids::{TopicId, TopicIds};
pub use versions::{ANSWERED_BYTES_MAX, NotRuns, VersionSet};

/// The state of one booking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BookingState {
    /// The later of the days of its last visit and its last answer, from which the booking is kept (rule K9). 0, and kept for
    /// ever, while nothing is answered. The first field, so that it can be read without unpacking the booking.
    pub last_day: i32,
    /// What exists in HealthFlow; none if nothing was ever created, or it is gone.
    pub placement: Option<Placement>,
    /// The incarnation that the next creation is made under (rule W6).
    pub incarnation: u32,
    /// The versions that have their final result.
    pub answered: VersionSet,
    /// The newest version that was answered, also as superseded, or that ever had an intent (rule K5); an invalid one does
    /// not count.
    pub newest: Version,
    /// The generation of the result of `newest`, unless that is a dead letter: a result after it has a higher one (rule K10).
    pub newest_generation: u32,
    /// "This write may be sent": open from before the first byte until its outcome is known (rule W1).
    /// Boxed, because few bookings have one and every booking has this field.
    pub intent: Option<Box<WriteIntent>>,
    /// Set while it may be what kills the workers, until one of its versions is answered (rule K6).
    pub suspicion: Suspicion,
    /// Every version seen and not yet answered that waits in another topic (rule K4), and the dead letters that can still
    /// be redriven (rule K10).
    pub parked: Vec<Parked>,
    /// Versions that were parked in `appointments.retry` and whose record is gone: each gets its dead letter once no write
    /// of the booking is in doubt (rule K9).
    pub lost: Vec<Version>,
    /// The id of the last decision about it that was carried out: a copy of that is passed over.
    pub last_decision: Option<Arc<str>>,
    /// What its last notice of a delay promised; boxed, because few bookings are late.
    pub told_delay: Option<Box<ToldDelay>>,
    /// When this process last sent a write for it that may exist; none if it sent none (rule W6). In memory only: never written to a topic.
    pub last_write_at: Option<Timestamp>,
}

/// A durable statement that a write of an appointment may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WriteIntent {
    /// What may be sent.
    pub operation: WriteOperation,
    /// Under which incarnation.
    pub incarnation: u32,
    /// The oldest version whose bytes may have been sent under it.
    pub first_version: Version,
    /// When it was opened; used for the retention of idempotency keys only.
    pub since: Timestamp,
    /// The slot that a create asks for, to look it up by; in guard mode `search` only (rule W5).
    pub slot: Option<Slot>,
    /// The revision that every PUT under it names; none if they name none (rule W5).
    pub if_match: Option<Revision>,
    /// The spans that the writes which may have been sent under it ask for, each once.
    pub asked: Vec<Span>,
}

/// How often a worker ended uncleanly while an intent was open (rule K6). It outlives the intent: a doubt that is settled
/// closes one, and the next write of the same booking opens another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Suspicion {
    /// Unclean ends that count against it.
    pub unclean_ends: u32,
    /// Whether it runs alone now: if the worker ends, no other booking can be the reason.
    pub alone: bool,
}

impl Suspicion {
    /// After one more end of a worker. Until there are `suspect_after` ends each counts; then only those while it ran alone.
    pub fn after_unclean_end(self, suspect_after: u32) -> Suspicion {
        let counts = self.alone || self.unclean_ends < suspect_after;
        Suspicion { unclean_ends: self.unclean_ends.saturating_add(u32::from(counts)), alone: false }
    }
}

/// The writes of an appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WriteOperation {
    /// POST.
    Create,
    /// PUT.
    Update,
}

/// Where the record of a parked version is; only the record with this lane and generation is valid (rule K4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Parked {
    /// The version that waits.
    pub version: Version,
    /// Where.
    pub place: ParkingPlace,
    /// Which of its records is the valid one; rises with every re-parking.
    pub generation: u32,
    /// The slot that it wants, while it waits in the retry topic; none if an earlier worker parked it.
    /// Boxed, because few bookings have one, and dead letters often have none.
    pub wish: Option<Box<Wish>>,
}

/// The slot that a waiting version wants: enough to know which slot it will free without its record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wish {
    /// When it came, as its offset in `appointments.requested`: desks publish their steps in order.
    pub order: i64,
    /// What it wants to occupy; none if it is cancelled.
    pub span: Option<Span>,
}

/// The topics a version can wait in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ParkingPlace {
    /// `appointments.retry`: for time, a doubt, or another booking.
    Retry,
    /// `appointments.review`: for a person.
    Review(Hold),
    /// `appointments.failed`: for a redrive. It has its result, so it waits for nothing (rule K10).
    Failed,
}

/// What a version in `appointments.review` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Hold {
    /// A person's decision about this version.
    Question,
    /// A decision about another version.
    Behind,
    /// For nobody any more: it goes on.
    Released,
    /// For nobody any more: a person decided that it ends.
    Rejected,
}

/// The state of one patient of a practice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PatientState {
    /// HealthFlow's patient, once known.
    pub link: Option<Link>,
    /// The incarnation that the next creation is made under (rule W6).
    pub incarnation: u32,
    /// The number that our reference of the patient carries; 0 if none (rule W8).
    pub reference: u32,
    /// The open creation; there may also be a link that was learnt elsewhere meanwhile.
    pub intent: Option<Box<PatientIntent>>,
    /// Set while its creation may be what kills the workers, until the patient exists (rule K6).
    pub suspicion: Suspicion,
    /// The booking whose review decides who this patient is; until then all others of the patient wait.
    pub held_by: Option<BookingId>,
    /// Set if a creation that may have happened could not be looked up (guard mode `search`): whom it may have created. Until the
    /// patient has a link, no other description is created.
    pub unverified_creation: Option<UnverifiedCreation>,
    /// Patients of HealthFlow of which a person decided that they are somebody else.
    pub rejected: Vec<Rejected>,
    /// Whether a person decided that HealthFlow does not have this patient; until there is a link.
    pub is_new: bool,
    /// Whether a person undid the link; until there is another one, whoever the patient is found to be is asked about.
    pub is_unlinked: bool,
    /// When this process last sent a creation for it that may exist; none if it sent none (rule W6). In memory only: never written
    /// to a topic.
    pub last_write_at: Option<Timestamp>,
}

/// A durable statement that the creation of a patient may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PatientIntent {
    /// Under which incarnation.
    pub incarnation: u32,
    /// Under a reference with which number; 0 if with none (rule W8).
    pub reference: u32,
    /// When it was opened; used for the retention of idempotency keys only.
    pub since: Timestamp,
    /// The fingerprint of the person that it creates; in guard mode `search` only (rule W5).
    pub person: Option<i64>,
    /// Whom it creates: the link will be made for this person, whichever booking repeats the creation.
    pub digests: Option<PersonDigests>,
}

/// Everything a task remembers.
#[derive(Clone, Debug, Default, Hash)]
pub struct TaskState {
    /// By booking.
    pub bookings: PackedMap<BookingState>,
    /// By patient.
    pub patients: PackedMap<PatientState>,
    /// The versions whose records lie in `appointments.review`.
    pub held: HeldByKey,
    /// How far the task had come; none if it never committed.
    pub positions: Option<TaskPositions>,
    /// What was counted of long limits.
    pub quotas: BTreeMap<QuotaOwner, Vec<QuotaCount>>,
}

/// How far a task had come at its last copy: a second copy of the group's offsets, which brokers may lose (rule K9), and the
/// partition count that state was written with (rule K8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TaskPositions {
    /// Partitions of every topic.
    pub partition_count: u32,
    /// The next offset to be read, of every lane.
    pub next_offsets: Vec<Position>,
    /// The topics of these positions, and those of the state.
    pub topic_ids: TopicIds,
    /// How the owner reads (rule K6).
    pub reading: ReadingState,
    /// The outage that was reported and has not ended.
    pub open_outage: Option<OpenOutage>,
}

/// One record of a state topic, as written in a commit or read in a restore.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StateRecord {
    /// A booking's newest state.
    Booking(BookingKey, BookingState),
    /// A patient's newest state.
    Patient(PatientKey, PatientState),
    /// How far the task had come.
    Task(TaskPositions),
    /// What was counted of the long limits of the account, or of a practice.
    Quota(QuotaOwner, Vec<QuotaCount>),
}

impl TaskState {
    /// Adds one restored record; a later one of the same key replaces an earlier one.
    pub fn apply(&mut self, record: StateRecord) {
        match record {
            StateRecord::Booking(key, state) => self.bookings.insert(key, state),
            StateRecord::Patient(key, state) => self.patients.insert(key, state),
            StateRecord::Task(positions) => self.positions = Some(positions),
            StateRecord::Quota(owner, counts) => drop(self.quotas.insert(owner, counts)),
        }
    }

    /// Adds what a restored record of `appointments.review` holds.
    pub fn apply_held(&mut self, held: Held) {
        self.held.insert(held.version_key(), held);
    }

    /// The record of this version was taken out of `appointments.review`.
    pub fn release_held(&mut self, of: &VersionKey) {
        self.held.remove(of);
    }

    /// The contents of these held versions, as the topic has them.
    pub fn contents_of(&self, of: &[VersionKey]) -> Vec<Arc<Booking>> {
        of.iter().filter_map(|one| self.held.get(one)?.content.clone()).collect()
    }

    /// The record that an earlier worker wrote for this booking was taken out of `appointments.review`.
    pub fn release_old_held(&mut self, key: &BookingKey) {
        self.held.retain(|_, held| held.key != *key || !held.is_of_old);
    }

    /// How many bookings and patients it has.
    pub fn len(&self) -> usize {
        self.bookings.len() + self.patients.len()
    }

    /// Whether it has nothing: no owner ever committed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.positions.is_none()
    }
}

impl Packable for BookingState {
    type Key = BookingKey;

    fn parts(key: &BookingKey) -> (&PracticeId, &str) {
        (&key.practice, key.booking.as_str())
    }

    fn key(practice: &PracticeId, id: &str) -> BookingKey {
        BookingKey { practice: practice.clone(), booking: id.into() }
    }

    fn may_be_packed(&self) -> bool {
        let waits = self.parked.iter().any(|parked| parked.place != ParkingPlace::Failed);
        self.intent.is_none() && self.suspicion == Suspicion::default() && !waits
    }
}

impl Packable for PatientState {
    type Key = PatientKey;

    fn parts(key: &PatientKey) -> (&PracticeId, &str) {
        (&key.practice, key.patient.as_str())
    }

    fn key(practice: &PracticeId, id: &str) -> PatientKey {
        PatientKey { practice: practice.clone(), patient: id.into() }
    }

    fn may_be_packed(&self) -> bool {
        self.intent.is_none() && self.suspicion == Suspicion::default() && self.held_by.is_none()
    }
}

impl BookingState {
    /// Where `version` waits, if it does.
    pub fn parked(&self, version: Version) -> Option<&Parked> {
        self.parked.iter().find(|parked| parked.version == version)
    }

    /// Whether `version` waits: seen, and without its final result.
    pub fn waits(&self, version: Version) -> bool {
        self.parked(version).is_some_and(|parked| parked.place != ParkingPlace::Failed)
    }

    /// Whether `version` has its final result; not one that a redrive has re-opened (rule K10).
    pub fn is_answered(&self, version: Version) -> bool {
        self.answered.contains(version) && !self.waits(version)
    }

    /// Whether `version` may have been answered and forgotten; false if it waits.
    pub fn may_be_forgotten(&self, version: Version) -> bool {
        self.answered.may_have_forgotten(version) && !self.waits(version)
    }

    /// The newest version that a person must decide about.
    pub fn question(&self) -> Option<Version> {
        let is_one = |parked: &&Parked| parked.place == ParkingPlace::Review(Hold::Question);
        self.parked.iter().filter(is_one).map(|parked| parked.version).max()
    }

    /// What `version` waits for in `appointments.review`, if its record lies there.
    pub fn hold(&self, version: Version) -> Option<Hold> {
        match self.parked(version)?.place {
            ParkingPlace::Review(hold) => Some(hold),
            ParkingPlace::Retry | ParkingPlace::Failed => None,
        }
    }

    /// Whether a person must find out what became of the open write. An intent that was opened later, to cancel what exists,
    /// is our own doubt.
    pub fn leaves_write_to_a_person(&self) -> bool {
        let question = self.question();
        self.intent.as_ref().is_some_and(|intent| question.is_some_and(|asked| intent.first_version <= asked))
    }

    /// What was promised to `version` if it was told of a delay; it has its result now.
    pub fn take_promise(&mut self, version: Version) -> Option<ToldDelay> {
        self.told_delay.take_if(|told| told.version == version).map(|told| *told)
    }

    /// The HealthFlow ids to put into a result.
    pub fn placed_ids(&self) -> PlacedIds {
        let placement = self.placement.as_ref();
        PlacedIds {
            patient_id: placement.map(|placement| placement.patient_id.clone()),
            appointment_id: placement.map(|placement| placement.appointment_id.clone()),
        }
    }
}
