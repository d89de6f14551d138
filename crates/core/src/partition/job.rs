//! One booking in memory: the versions at hand and how far the newest of them has come. A job has at most one call
//! under way, so everything about one booking happens one thing after the other.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::appointment::{Revision, Span};
use crate::booking::{Booking, BookingKey, PatientKey, PracticeId, Source, Version};
use crate::event::Schedule;
use crate::healthflow::pages::Pages;
use crate::healthflow::{AppointmentFound, Operation};
use crate::limits::Asking;
use crate::partition::kept_request::KeptRequest;
use crate::partition::slots::MadeFrom;
use crate::partition::turn::Turn;
use crate::patient::search::Search;
use crate::patient::{Candidate, HealthFlowPatientId};
use crate::retry::WaitReason;
use crate::retry::deadline::leave_out;
use crate::settings::Settings;
use crate::state::Wish;
use crate::time::Timestamp;
use crate::topics::Position;

/// How old a search may be at first, in milliseconds.
const SEARCH_LIFE_MS: i64 = 60_000;
/// How often that doubles: up to 17 hours.
const SEARCH_LIFE_DOUBLINGS_MAX: u32 = 10;

/// A visit that begins within this is served beside what is fresh, though it was moved aside, in milliseconds: two hours.
const SOON_MS: i64 = 2 * 3_600_000;

/// So long a booking that is late when it is read may wait for its first try before it goes behind fresh ones, in milliseconds:
/// a worker that has nothing else to do tries it at once.
const LATE_GRACE_MS: i64 = 1_000;

/// What a job is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobKey {
    /// A booking: its versions, and the doubt about its appointment.
    Booking(BookingKey),
    /// The doubt about a patient's creation, settled from state whether or not a booking is at hand (rule W5).
    Patient(PatientKey),
}

impl JobKey {
    /// A call of it, as the limits see that.
    pub fn asking(&self, partition: i32, operation: Operation) -> Asking<'_> {
        let booking = if let JobKey::Booking(key) = self { Some(key) } else { None };
        Asking { partition, practice: self.practice(), booking, operation }
    }

    /// Whose practice.
    pub fn practice(&self) -> &PracticeId {
        match self {
            JobKey::Booking(key) => &key.practice,
            JobKey::Patient(key) => &key.practice,
        }
    }
}

/// A version at hand.
#[derive(Clone, Debug, Hash)]
pub struct InHand {
    /// The booking as asked for.
    pub booking: Arc<Booking>,
    /// Where its record is in a lane; finished when the version ends or is parked. None if it comes from the review topic.
    pub position: Option<Position>,
    /// Its retries so far.
    pub schedule: Schedule,
    /// When it was taken up; outages until then are left out of its schedule.
    pub taken_up_at: Timestamp,
    /// When it came, as its offset in `appointments.requested`; of one that was redriven, when that came.
    pub order: i64,
    /// Whether it can no longer be confirmed in time: then it goes behind those that can.
    pub is_late: bool,
}

impl InHand {
    /// A version from the review topic, taken in hand now.
    pub fn from_review(booking: Arc<Booking>, schedule: Schedule, order: i64, now: Timestamp) -> Self {
        InHand { booking, position: None, schedule, taken_up_at: now, order, is_late: false }
    }

    /// What it wants of the book.
    pub fn wish(&self) -> Wish {
        Wish { order: self.order, span: Span::wanted(&self.booking) }
    }

    /// Whether it came in as a live booking and was never put aside.
    pub fn is_fresh(&self) -> bool {
        let came_in = self.position.is_some_and(|position| position.lane.brings_requests());
        came_in && self.booking.source == Source::Live
    }

    /// When it goes behind fresh ones unless it was tried: `after_ms` after it was requested. What was late already when it was
    /// read has a moment, and nothing waits longer than `after_ms` here: the publisher's clock may be wrong.
    pub fn overdue_at(&self, after_ms: i64) -> Timestamp {
        let earliest = self.taken_up_at.plus_ms(LATE_GRACE_MS.min(after_ms));
        self.booking.requested_at.plus_ms(after_ms).clamp(earliest, self.taken_up_at.plus_ms(after_ms))
    }

    /// The same of one that comes back: none of them is fresh again, whatever it waited for last.
    pub fn comes_back_late(&self, settings: &Settings) -> bool {
        let after_ms = settings.overdue_after_ms;
        after_ms > 0 && self.taken_up_at >= self.booking.requested_at.plus_ms(after_ms)
    }

    /// What it was parked for; none if it was not, or the record names no reason that we know.
    pub fn waited_for(&self) -> Option<WaitReason> {
        WaitReason::of(&self.schedule.last_error)
    }

    /// From which share it is served.
    fn share(&self) -> Share {
        let begins_in_ms = self.booking.visit.start.since_ms(self.taken_up_at);
        let was_put_aside = self.is_late
            || matches!(self.waited_for(), Some(WaitReason::Overdue | WaitReason::RejectionStorm));
        if self.booking.source == Source::Backfill {
            Share::History
        } else if self.schedule.attempts > 0 {
            Share::Again
        } else if !was_put_aside {
            Share::First
        } else if (0..=SOON_MS).contains(&begins_in_ms) {
            Share::Soon
        } else {
            Share::Again
        }
    }

    /// Leaves the time in which its practice could not be served out of its age: it counts for no deadline.
    pub fn leave_out_outages(&mut self, turn: &Turn<'_>) {
        let stopped_ms = turn.stopped_ms_since(&self.booking.key.practice, self.taken_up_at);
        leave_out(&mut self.schedule, stopped_ms);
        self.taken_up_at = turn.now;
    }

    /// Whether its time was up when its last attempt failed: where a write is in doubt it ends only later.
    pub fn is_over(&self, settings: &Settings) -> bool {
        let Schedule { first_failed_at, last_failed_at, .. } = &self.schedule;
        let tried_ms = first_failed_at.zip(*last_failed_at).map(|(first, last)| last.since_ms(first));
        tried_ms.is_some_and(|tried_ms| tried_ms >= settings.retry_max_age_ms)
    }
}

/// The call under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flight {
    /// What was asked.
    pub operation: Operation,
    /// Why.
    pub purpose: Purpose,
    /// For which version; none where none is at hand.
    pub version: Option<Version>,
    /// The HealthFlow patient it names, for a write of an appointment or the read of a chart.
    pub patient_id: Option<Arc<str>>,
    /// The revision it names, for an update.
    pub if_match: Option<Revision>,
    /// Whether an appointment of its practice had an unknown slot when it was sent (rule K11).
    pub near_unknown: bool,
}

/// A revision that is not the current one any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outdated {
    /// Which.
    pub revision: Revision,
    /// At the latest then it was the current one: what is read before every reader sees that may be older still.
    pub stood_at: Timestamp,
    /// Whether the current revision may be our own write: an update of ours was in doubt.
    pub may_be_ours: bool,
}

/// HealthFlow answered that a booking should wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskedToWait {
    /// In which of the account's pauses HealthFlow asked it first.
    pub in_pause: u32,
    /// Until when it does not ask.
    pub until: Timestamp,
    /// Whether it waits for longer than the others, and so is put aside.
    pub by_itself: bool,
}

/// Why a call is made: the same question can be part of the flow or settle a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The flow of a booking asks.
    Flow,
    /// A doubt is to be settled (rule W5).
    Settle,
}

/// From which share of places and permits a job is served. What failed before must not hold up what was never tried, and history
/// neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Share {
    /// It was not tried yet, so it holds nothing up.
    #[default]
    First,
    /// It was moved aside, and its visit begins soon: it goes beside what was never tried, with up to half of the calls.
    Soon,
    /// It failed before, was moved aside, or settles a doubt.
    Again,
    /// It is of a practice's history: nobody waits for it.
    History,
}

/// A number of each share, by [`Share::index`].
pub type Shares = [usize; Share::ALL.len()];

impl Share {
    /// All, in the order in which they are served.
    pub const ALL: [Share; 4] = [Share::First, Share::Soon, Share::Again, Share::History];

    /// Which one a job belongs to that asks for this purpose.
    pub fn of(job: &Job, purpose: Purpose) -> Share {
        match job.newest() {
            // A doubt may hold up somebody who waits.
            _ if purpose == Purpose::Settle => Share::Again,
            newest => newest.map_or(Share::Again, InHand::share),
        }
    }

    /// The name of the class on the status page and in metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Share::First => "fresh",
            Share::Soon => "soon",
            Share::Again => "again",
            Share::History => "history",
        }
    }

    /// Its place in [`Shares`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The stage of a job between two calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum JobStage {
    /// Not looked at yet: waits for a place in the ready queue.
    #[default]
    Arrived,
    /// Its intent is in a batch that is not known good yet.
    AwaitsCommit,
    /// May be sent.
    Ready,
    /// A call is under way. Boxed, for few jobs have one.
    InFlight(Box<Flight>),
    /// Another booking of its patient is under way.
    AwaitsPatient(PatientKey),
    /// Is looked at again at this moment at the latest; may be woken before.
    AwaitsTime(Timestamp),
}

impl JobStage {
    /// Whether the job asks as soon as its intent is committed and it has a permit.
    pub fn is_about_to_ask(&self) -> bool {
        matches!(self, JobStage::AwaitsCommit | JobStage::Ready)
    }

    /// Whether the job takes up one of the `ready_queue_max` places.
    pub fn takes_place(&self) -> bool {
        matches!(self, JobStage::AwaitsCommit | JobStage::Ready | JobStage::InFlight(_))
    }
}

/// For what a job waits that waits for a moment. It is shown and decides nothing, so it does not make two jobs differ.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitsFor(Option<WaitReason>);

impl WaitsFor {
    /// The reason.
    pub fn reason(self) -> WaitReason {
        self.0.unwrap_or(WaitReason::Undecided)
    }
}

impl From<WaitReason> for WaitsFor {
    fn from(reason: WaitReason) -> Self {
        WaitsFor(Some(reason))
    }
}

impl Hash for WaitsFor {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// One booking, or one patient's doubt, in memory.
#[derive(Clone, Debug, Default, Hash)]
pub struct Job {
    /// The versions at hand; none while only a doubt is settled.
    pub versions: BTreeMap<Version, InHand>,
    /// Its stage.
    pub stage: JobStage,
    /// From which share it is served.
    pub share: Share,
    /// The patient whose lock it holds.
    pub patient: Option<PatientKey>,
    /// The version that the last call was made for; none before the first call, or where none was at hand.
    pub asked_version: Option<Version>,
    /// The search for the patient.
    pub search: Option<Search>,
    /// Pages of the search pass under way.
    pub pages: Pages<Candidate>,
    /// Pages of the look-up under way that settles a doubt.
    pub looked_up: Pages<AppointmentFound>,
    /// The charts that were read before an id was believed; none if HealthFlow has no such patient.
    pub charts: BTreeMap<HealthFlowPatientId, Option<Candidate>>,
    /// How many searches took so long that they were begun again.
    pub outlived_searches: u32,
    /// A HealthFlow patient that turned out to be gone.
    pub gone_patient: Option<HealthFlowPatientId>,
    /// For what, while its stage is `AwaitsTime`.
    pub waits_for: WaitsFor,
    /// Since when it waits in memory without a call.
    pub waiting_since: Option<Timestamp>,
    /// How often a doubtful write was repeated at once.
    pub repeats: u32,
    /// Set if the last answer asked the booking to wait.
    pub asked_to_wait: Option<AskedToWait>,
    /// An older version that is written before the newest, for another booking waits for what it frees (rule K11).
    pub first: Option<Version>,
    /// The version whose slot HealthFlow reported as taken.
    pub slot_refused: Option<Version>,
    /// The request that goes out next, if it is decided already.
    pub kept_request: Option<KeptRequest>,
    /// What its footprint was last made from, if it was not changed since.
    pub footprint: Option<MadeFrom>,
    /// The revision that HealthFlow reported as outdated: the task reads the appointment before it writes it.
    pub outdated: Option<Outdated>,
}

impl Job {
    /// The newest version at hand.
    pub fn newest(&self) -> Option<&InHand> {
        self.versions.last_key_value().map(|(_, in_hand)| in_hand)
    }

    /// How old a search may be that somebody is created upon, in milliseconds: an office may have entered the patient by
    /// hand meanwhile. Twice as old each time that was not enough, so that a search ends however slow HealthFlow is.
    pub fn search_life_ms(&self) -> i64 {
        SEARCH_LIFE_MS << self.outlived_searches.min(SEARCH_LIFE_DOUBLINGS_MAX)
    }

    /// The version that is written next: the newest, but for one that must be written first.
    pub fn at_work(&self) -> Option<&InHand> {
        self.first.and_then(|version| self.versions.get(&version)).or_else(|| self.newest())
    }

    /// The version that a call was made for, if it is still at hand.
    pub fn asked_by(&self, flight: &Flight) -> Option<&InHand> {
        self.versions.get(&flight.version?)
    }

    /// Starts the search for the patient all over again.
    pub fn forget_search(&mut self) {
        self.search = None;
        self.pages = Pages::default();
        self.kept_request = None;
    }
}
