//! Ways to break the processor on purpose, one rule of the protocol at a time: a simulation that does not notice them proves
//! nothing. Compiled only with the feature `planted-defects`; a shipped build has none of them.

#[cfg(feature = "planted-defects")]
use crate::booking::Booking;
#[cfg(feature = "planted-defects")]
use crate::patient::{Person, search::Search};

/// One way to break the processor; each names what is left out or done wrong.
#[cfg(feature = "planted-defects")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A write goes out before its intent is known to be committed (W1).
    IntentNotAwaited,
    /// A newer version goes out under the intent of an older one (W1).
    NewerUnderOlderIntent,
    /// A write goes out whether or not its task still has the lease (W2).
    LeaseNotChecked,
    /// If a create may be repeated at once, its look-up is believed at once too (W5).
    EarlyLookUp,
    /// A 429 of a repeat is taken for the end of the doubt (W3).
    ThrottledRepeatClosesDoubt,
    /// A refusal of a repeat is taken for an answer to the first request (W3).
    RefusedRepeatClosesDoubt,
    /// An error in other words than the contract's is taken for HealthFlow's refusal (W3).
    ForeignRefusalBelieved,
    /// A 503 with `Retry-After` is taken for a 429: as if nothing had been done (W4).
    UnavailableTakenForThrottled,
    /// The newest version gets its result while a write is in doubt (W4).
    FinishedInDoubt,
    /// Another write of the booking goes out while one is in doubt (W5).
    OtherWriteInDoubt,
    /// The old owner's lease is left out of the quiet time (K1).
    QuietTimeWithoutLease,
    /// A doubt waits until a record of its booking or patient is at hand (W5).
    DoubtSettledOnlyByRecord,
    /// A 404 is believed at once (W6).
    GoneBelievedAtOnce,
    /// People created a moment ago do not count as found (W7).
    OwnCreationsNotSearched,
    /// A creation counts only once it is sent (W7).
    CreationCountsFromSending,
    /// Creations found open concern only their own patient (W7).
    InheritedCreationsIgnored,
    /// People are compared by the key that only searches: letters are dropped first.
    LettersDropped,
    /// People of another sex are taken for the same.
    SexNotCompared,
    /// Two bookings of one patient are worked on at once.
    PatientNotLocked,
    /// Any record of a parked version is taken, whatever its generation (K4).
    NoGeneration,
    /// A redrive re-opens its version whichever of its dead letters it was made from (K10).
    RedriveOfAnyGeneration,
    /// A version that is redriven keeps the generation of its dead letter (K10).
    RedriveKeepsGeneration,
    /// A version that may have been answered and forgotten is skipped as if it were (K5).
    ForgottenTakenForAnswered,
    /// An older version than one already written or intended is written (K5).
    OlderVersionWritten,
    /// Without references a lost create is looked up in the slot that the newest version wants (W5).
    NewestSlotLookedUp,
    /// Without references another booking's appointment is taken for our own (W5).
    OthersAppointmentsAdopted,
    /// What is read after a 412 is believed, however old the replica may be (W5).
    StaleReadBelieved,
    /// All suspects run at once, each of them marked (K6).
    SuspectsRunTogether,
    /// The lease runs from the fence, before any commit was good (W2).
    LeaseFromTheFence,
    /// A link is believed for anybody who comes under its patient id.
    LinkNotCompared,
    /// An id that was sent along is believed unread.
    SentAlongBelieved,
    /// A slot that another booking is about to free is not waited for (K11).
    SlotNotAwaited,
    /// An older version that frees a slot which another booking waits for is superseded unwritten (K11).
    FreeingVersionSuperseded,
    /// A booking that waits for a slot keeps its patient meanwhile (K11).
    SlotWaiterKeepsPatient,
    /// A booking that waits for a slot is not woken when the slot is free, and waits for ever (K11).
    SlotWaiterNotWoken,
    /// A record without identity is dead-lettered before the committable offset comes to it (K7).
    UnidentifiedDeadLetteredAtOnce,
    /// What state does not show is committed before the offset that it answers (T2).
    OffsetLeftBehind,
    /// A placeholder is taken for a birthday.
    PlaceholderBelieved,
    /// A search that finds too many is begun again, and again.
    WideSearchBegunAgain,
    /// A version whose visit has begun is given up when an attempt fails, however short it was tried.
    GivenUpAtTheFirstHiccup,
    /// A due time further ahead than any possible wait, written by a wrong clock, is believed.
    FutureBelieved,
    /// A record that ended worker after worker is decoded once more (K6).
    DeadlyDecodedForEver,
    /// A task that is ours again before it was given back is not acquired again (K2).
    ReassignmentIgnored,
    /// A booking is written although another booking's review decides who its patient is (K4).
    HeldPatientWritten,
    /// What waits behind a review is not let go with its end (K4).
    HeldNotLetGo,
    /// State does not say that a version was let go, so the next owner holds it again (K4).
    LetGoNotNoted,
    /// The record of a version stays in the review topic after its result (K4).
    ReviewRecordKept,
    /// A newer version leaves the question about an older one open (K4).
    OlderQuestionKept,
    /// A new owner does not take up what waits behind a review (K4).
    HeldNotInherited,
    /// Whose chart was rejected is created under the reference that the chart has (W8).
    RejectedReferenceUsed,
    /// A decision is read and not carried out (K14).
    DecisionPassedOver,
    /// A decision is carried out about whatever is asked now, whichever question it names (K14).
    DecisionOfAnyGeneration,
    /// A copy of a decision that was carried out is judged like another one (K14).
    DecisionCopyRefused,
    /// What fails while HealthFlow does not work spends attempts.
    OutageSpendsAttempts,
    /// A refusal is final although nearly everything is refused.
    StormRefusalsFinal,
    /// Everybody asks on although nearly everything is refused.
    StormTriesAll,
    /// The storm of one practice holds the bookings of all.
    StormOfOneHoldsAll,
    /// What is written again at the tail of the retry topic has no attempts any more (K4).
    ReparkingForgetsAttempts,
    /// What was about to be sent when its practice was paused goes out all the same.
    PauseLetsReadyGo,
    /// A start does not know what was paused before it.
    PauseForgottenAtStart,
    /// A pause spends attempts.
    PauseSpendsAttempts,
    /// Time in which a practice was paused counts for deadlines.
    PauseCountsForDeadlines,
    /// A practice that an operator limited sends as fast as any.
    PracticeLimitIgnored,
    /// A call goes out before a commit has counted it in a long limit.
    QuotaSpentUncounted,
    /// Whoever takes a partition over counts long limits from zero.
    QuotaForgotten,
    /// Backfill uses what is kept of long limits for live bookings.
    ReserveIgnored,
    /// Whoever was told of a delay is told again.
    DelayToldAgain,
    /// A new owner does not know that an outage was told of.
    OutageForgotten,
    /// A permit of the shared counter may be used at any time.
    PermitsNeverExpire,
    /// A worker that the shared counter does not answer takes all of its share.
    FullShareAlone,
    /// A worker whose ask was not answered does not ask again.
    AskNotRepeated,
    /// Charts of which a person said that they are somebody else's are proposed again (K14).
    RejectedChartsProposed,
    /// What a person rejected goes on like anything that was let go (K14).
    RejectionIgnored,
    /// A person who says "try again" changes nothing about the suspicion (K14).
    RetryLeavesSuspicion,
    /// Who waited behind a review goes on in reverse order (K4).
    ReleasedInReverse,
}

#[cfg(feature = "planted-defects")]
impl Defect {
    /// Every defect.
    pub const ALL: [Defect; 75] = [
        Defect::IntentNotAwaited,
        Defect::NewerUnderOlderIntent,
        Defect::LeaseNotChecked,
        Defect::EarlyLookUp,
        Defect::ThrottledRepeatClosesDoubt,
        Defect::RefusedRepeatClosesDoubt,
        Defect::ForeignRefusalBelieved,
        Defect::UnavailableTakenForThrottled,
        Defect::FinishedInDoubt,
        Defect::OtherWriteInDoubt,
        Defect::QuietTimeWithoutLease,
        Defect::DoubtSettledOnlyByRecord,
        Defect::GoneBelievedAtOnce,
        Defect::OwnCreationsNotSearched,
        Defect::CreationCountsFromSending,
        Defect::InheritedCreationsIgnored,
        Defect::LettersDropped,
        Defect::SexNotCompared,
        Defect::PatientNotLocked,
        Defect::NoGeneration,
        Defect::RedriveOfAnyGeneration,
        Defect::RedriveKeepsGeneration,
        Defect::ForgottenTakenForAnswered,
        Defect::OlderVersionWritten,
        Defect::NewestSlotLookedUp,
        Defect::OthersAppointmentsAdopted,
        Defect::StaleReadBelieved,
        Defect::SuspectsRunTogether,
        Defect::LeaseFromTheFence,
        Defect::LinkNotCompared,
        Defect::SentAlongBelieved,
        Defect::UnidentifiedDeadLetteredAtOnce,
        Defect::OffsetLeftBehind,
        Defect::PlaceholderBelieved,
        Defect::WideSearchBegunAgain,
        Defect::SlotNotAwaited,
        Defect::FreeingVersionSuperseded,
        Defect::SlotWaiterKeepsPatient,
        Defect::SlotWaiterNotWoken,
        Defect::GivenUpAtTheFirstHiccup,
        Defect::FutureBelieved,
        Defect::DeadlyDecodedForEver,
        Defect::ReassignmentIgnored,
        Defect::HeldPatientWritten,
        Defect::HeldNotLetGo,
        Defect::LetGoNotNoted,
        Defect::ReviewRecordKept,
        Defect::OlderQuestionKept,
        Defect::HeldNotInherited,
        Defect::RejectedReferenceUsed,
        Defect::DecisionPassedOver,
        Defect::DecisionOfAnyGeneration,
        Defect::DecisionCopyRefused,
        Defect::PauseLetsReadyGo,
        Defect::PauseForgottenAtStart,
        Defect::PauseSpendsAttempts,
        Defect::PauseCountsForDeadlines,
        Defect::PracticeLimitIgnored,
        Defect::QuotaSpentUncounted,
        Defect::QuotaForgotten,
        Defect::ReserveIgnored,
        Defect::DelayToldAgain,
        Defect::OutageForgotten,
        Defect::PermitsNeverExpire,
        Defect::FullShareAlone,
        Defect::AskNotRepeated,
        Defect::RejectedChartsProposed,
        Defect::RejectionIgnored,
        Defect::OutageSpendsAttempts,
        Defect::StormRefusalsFinal,
        Defect::StormTriesAll,
        Defect::StormOfOneHoldsAll,
        Defect::ReparkingForgetsAttempts,
        Defect::RetryLeavesSuspicion,
        Defect::ReleasedInReverse,
    ];
}

/// The result of a search as changed by the planted defects of comparing people.
#[cfg(feature = "planted-defects")]
pub fn mistaken(search: &Search, booking: &Booking, defect: Option<Defect>) -> Search {
    let person = Person::from(&booking.patient);
    let mut search = search.clone();
    if defect == Some(Defect::PlaceholderBelieved) && person.date_of_birth.is_none() {
        let is_alike = |other: &Person| {
            other.given_name == person.given_name
                && other.family_name == person.family_name
                && other.date_of_birth.is_none()
        };
        // As one whose birthday is equal too would be decided: for this patient's own.
        for alike in search.candidates.iter_mut().filter(|candidate| is_alike(&candidate.person)) {
            alike.external_id = Some(booking.patient.id.as_str().into());
        }
    }
    for found in search.candidates.iter_mut().map(|candidate| &mut candidate.person) {
        let names = [
            (&mut found.given_name, person.given_name.clone()),
            (&mut found.family_name, person.family_name.clone()),
        ];
        for (theirs, ours) in names {
            if defect == Some(Defect::LettersDropped) && theirs.plain() == ours.plain() {
                *theirs = ours;
            }
        }
        found.sex.take_if(|_| defect == Some(Defect::SexNotCompared));
    }
    search
}

/// The content of a record that no process survives, as if the decoder had a defect: in a build with planted defects.
pub const DEADLY: &str = "deadly to whoever decodes it";

/// Ends the process if it is about to decode a record that contains [`DEADLY`], in a build with planted defects.
pub fn die_of(value: Option<&[u8]>) {
    let holds = |value: &[u8]| value.windows(DEADLY.len()).any(|bytes| bytes == DEADLY.as_bytes());
    if cfg!(feature = "planted-defects") && value.is_some_and(holds) {
        std::process::abort();
    }
}

/// Whether a defect is planted; `false` at compile time in a shipped build.
macro_rules! planted {
    ($settings:expr, $defect:ident) => {{
        #[cfg(feature = "planted-defects")]
        let planted = $settings.defect == Some($crate::defects::Defect::$defect);
        #[cfg(not(feature = "planted-defects"))]
        let planted = {
            let _ = $settings;
            false
        };
        planted
    }};
}
pub(crate) use planted;
