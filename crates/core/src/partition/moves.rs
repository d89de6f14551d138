//! What may be done about a job, as a value: `decide.rs` gives it, `apply.rs` carries it out.

use std::sync::Arc;

use crate::appointment::{Revision, Slot};
use crate::booking::{BookingKey, PatientKey, PracticeId, Version};
use crate::healthflow::Request;
use crate::partition::job::Purpose;
use crate::partition::slot_waits::SlotWait;
use crate::partition::subject::Subject;
use crate::patient::Link;
use crate::retry::WaitReason;
use crate::state::WriteOperation;
use crate::sync::Outcome;
use crate::time::Timestamp;

/// What is done about a job: something that changes what is known, after which it is decided again, or where the job is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// From now on this version is written before the newest, or none is (rule K11).
    WriteFirst(Option<Version>),
    /// A copy of an answered version is dropped.
    Drop(Version),
    /// A version gives way to a newer one; what was searched for its patient counts only if that is the same person.
    Supersede { version: Version, forgets_search: bool },
    /// Every version at hand waits behind the review of this booking.
    HoldBehind(BookingKey),
    /// The newest version at hand goes to a person, and the doubt about the booking with it.
    LeaveToAPerson,
    /// The booking kills workers: this version goes to a person (rule K6).
    GiveUp(Version),
    /// A version ends that could not end while a write of it was in doubt.
    EndLate(Version, Outcome),
    /// The doubt about an update is over: it is simply written again.
    WriteAgain,
    /// A creation in doubt is quiet, and HealthFlow cannot be asked for it.
    CreationUnverified(PatientKey),
    /// The job needs this patient for itself.
    Lock(PatientKey),
    /// Who the patient is.
    Remember(Link),
    /// The link leads nowhere, or to somebody else.
    ForgetLink,
    /// The content in HealthFlow is not certain any more.
    ForgetContent,
    /// The version at work has come to its end.
    Finish(Finish),
    /// What was searched is dropped, and the search begins anew; `outlived`: because it took too long.
    SearchAnew { outlived: bool },

    /// The job is left ready to ask.
    Ask(Box<Asked>),
    /// It would ask, and nothing may be asked now: it is held back, before anything is opened for it. A crash must not find an
    /// intent that nobody was about to send.
    HoldBack,
    /// It is left until a moment.
    Wait(Timestamp, WaitReason),
    /// The search is dropped, and the job waits until the moment at which a search shows what we created since.
    SearchAnewAt(Timestamp),
    /// It is left until the next commit, which counts its call in a long limit.
    AwaitCount,
    /// It is left until it is woken.
    Await(Awaited),
    /// It is left until another booking frees the slot.
    AwaitSlot(SlotWait),
    /// Nothing more can be done about it before this moment, if ever.
    Rest(Option<Timestamp>),
}

/// How the version at work ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finish {
    /// With which result.
    pub outcome: Outcome,
    /// Whether what exists is as this version wants it, without a write for it.
    pub exists_as_wanted: bool,
    /// Whether what exists may be our own write of it whose answer was lost: then it counts as written.
    pub is_own_write: bool,
}

/// A request that is decided, with what must be so before it may go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// What to ask.
    pub request: Arc<Request>,
    /// Why.
    pub purpose: Purpose,
    /// The intent that must cover it.
    pub intent: Option<IntentFor>,
    /// The suspect on whose behalf it is asked, which runs alone (rule K6).
    pub suspect: Option<Subject>,
}

/// What an intent is opened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IntentFor {
    /// The creation of a patient.
    Creation(PatientKey),
    /// The creation of a patient is repeated under the intent that is open.
    RepeatedCreation(PatientKey),
    /// A write of the appointment.
    Write(CoveredWrite),
}

/// The write of an appointment that an intent covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoveredWrite {
    /// Create or update.
    pub operation: WriteOperation,
    /// Where it will be looked for, if HealthFlow keeps no references.
    pub slot: Option<Slot>,
    /// The revision that it names.
    pub if_match: Option<Revision>,
}

/// What wakes a job that waits for no moment of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Another booking gives the patient back.
    Patient(PatientKey),
    /// The doubt about the patient's creation is settled, or cannot be settled now.
    Settling(PatientKey),
    /// A creation of somebody else in the practice has its outcome (rule W7).
    Creations(PracticeId),
    /// Another suspect has run (rule K6).
    Alone,
}

impl Move {
    /// The job is left ready to ask this.
    pub fn ask(request: Request, purpose: Purpose, intent: Option<IntentFor>) -> Self {
        Move::Ask(Box::new(Asked { request: Arc::new(request), purpose, intent, suspect: None }))
    }
}

impl Awaited {
    /// The name of the wait.
    pub fn reason(&self) -> WaitReason {
        match self {
            Awaited::Patient(_) => WaitReason::PatientBusy,
            Awaited::Settling(_) => WaitReason::PatientInDoubt,
            Awaited::Creations(_) => WaitReason::RecentCreations,
            Awaited::Alone => WaitReason::CrashSuspect,
        }
    }
}
