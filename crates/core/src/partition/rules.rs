//! The rules that a simulation breaks on purpose, each behind a name: the flow asks a rule, and only here does a planted
//! defect answer for it. With the macro in the middle of the flow it would be hard to read what a shipped build does.

mod trouble;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::appointment::{Placement, Revision, Slot};
use crate::booking::{Booking, BookingKey, PatientKey, Version};
#[cfg(feature = "planted-defects")]
use crate::defects::mistaken;
use crate::defects::planted;
use crate::event::{Outgoing, Schedule};
use crate::healthflow::Request;
use crate::partition::intents::{Doubt, Intents};
use crate::partition::job::{Job, JobKey};
use crate::partition::jobs::Jobs;
use crate::partition::lone_suspect::LoneSuspect;
use crate::partition::outbox::Outbox;
use crate::partition::recent_creations::RecentCreations;
use crate::partition::slots::Slots;
use crate::partition::subject::Subject;
use crate::partition::turn::Turn;
use crate::patient::digests::PersonDigests;
use crate::patient::search::Search;
use crate::patient::{Candidate, HealthFlowPatientId, Link, Person};
use crate::retry::WaitReason;
use crate::retry::deadline::RetryDeadline;
use crate::settings::{GuardMode, Settings};
use crate::state::{BookingState, Hold, PatientState};
use crate::sync::FailureReason;
use crate::time::Timestamp;

pub(super) use trouble::*;

/// What may be asked under an intent is in a commit that is known good (rule W1).
pub(super) fn intent_is_durable(
    intents: &Intents,
    subject: &Subject,
    outbox: &Outbox,
    settings: &Settings,
) -> bool {
    planted!(settings, IntentNotAwaited) || intents.is_durable(subject, outbox)
}

/// What state does not show is in one transaction with the offset that it answers (rule T2).
pub(super) fn goes_with_its_offset(record: &Outgoing, settings: &Settings) -> bool {
    !record.is_shown_by_state() && !planted!(settings, OffsetLeftBehind)
}

/// A version is written only once state records that it, or a newer one, was intended (rule W1).
pub(super) fn is_intended(version: Version, newest: Version, settings: &Settings) -> bool {
    newest >= version || planted!(settings, NewerUnderOlderIntent)
}

/// A write needs the lease; a read does not (rule W2).
pub(super) fn needs_lease(request: &Request, settings: &Settings) -> bool {
    request.operation().is_write() && !planted!(settings, LeaseNotChecked)
}

/// The lease runs from the beginning of a good commit; the fence alone gives none (rule W2).
pub(super) fn lease_from(
    good_commit: Option<Timestamp>,
    fenced_at: Timestamp,
    settings: &Settings,
) -> Option<Timestamp> {
    good_commit.or(planted!(settings, LeaseFromTheFence).then_some(fenced_at))
}

/// How long the old owner may still have written after it was fenced, in milliseconds (rule K1).
pub(super) fn old_lease_ms(settings: &Settings) -> i64 {
    if planted!(settings, QuietTimeWithoutLease) { 0 } else { settings.lease_ms }
}

/// While a write is in doubt, the booking sends nothing but its repeat (rule W5).
pub(super) fn holds_other_writes(settings: &Settings) -> bool {
    !planted!(settings, OtherWriteInDoubt)
}

/// While a write is in doubt, the newest version gets no final result (rule W4).
pub(super) fn defers_result(is_in_doubt: bool, settings: &Settings) -> bool {
    is_in_doubt && !planted!(settings, FinishedInDoubt)
}

/// A doubt is settled whether or not a record of it is at hand (rule W5).
pub(super) fn settles_without_record(is_open: bool, settings: &Settings) -> bool {
    is_open && !planted!(settings, DoubtSettledOnlyByRecord)
}

/// A look-up is believed once what it looks for can no longer land unseen, however safe a repeat is (rule W5).
pub(super) fn is_quiet(doubt: &Doubt, now: Timestamp, settings: &Settings) -> bool {
    let knows_keys = matches!(settings.guard, GuardMode::IdempotencyKey | GuardMode::UniqueReference);
    now >= doubt.settles_at || (knows_keys && planted!(settings, EarlyLookUp))
}

/// A lost create is looked up in the slot that it asked for, whatever a newer version wants (rule W5).
pub(super) fn sought_slot(asked: &Slot, job: &Job, settings: &Settings) -> Slot {
    match job.newest().filter(|_| planted!(settings, NewestSlotLookedUp)) {
        Some(newest) => Slot { start: newest.booking.visit.start, ..asked.clone() },
        None => asked.clone(),
    }
}

/// The appointment that another booking is known to have; it is never adopted (rule W5).
pub(super) fn placement_of_other<'a>(other: &'a BookingState, settings: &Settings) -> Option<&'a Placement> {
    other.placement.as_ref().filter(|_| !planted!(settings, OthersAppointmentsAdopted))
}

/// A read that shows the revision which HealthFlow has just called outdated comes from a replica that lags (rule W5).
pub(super) fn is_stale_read(shown: Option<&Revision>, outdated: &Revision, settings: &Settings) -> bool {
    shown == Some(outdated) && !planted!(settings, StaleReadBelieved)
}

/// A read is sure to be current once the replicas have had the time to catch up (rule W5).
pub(super) fn is_fresh_read(stood_at: Timestamp, now: Timestamp, settings: &Settings) -> bool {
    now >= stood_at.plus_ms(settings.search_lag_ms) || planted!(settings, StaleReadBelieved)
}

/// A 404 is believed at `settled_at`, when no replica can lag behind our own write any more (rule W6).
pub(super) fn absence_believed_at(settled_at: Timestamp, now: Timestamp, settings: &Settings) -> Timestamp {
    if planted!(settings, GoneBelievedAtOnce) { now } else { settled_at }
}

/// A moment of the future comes from a wrong clock and is not believed.
pub(super) fn is_of_our_time(at: Timestamp, now: Timestamp, settings: &Settings) -> bool {
    at <= now || planted!(settings, FutureBelieved)
}

/// A due time is at most the longest possible wait ahead: a later one comes from a wrong clock.
pub(super) fn due_times_are_limited(settings: &Settings) -> bool {
    !planted!(settings, FutureBelieved)
}

/// Before it creates a person, a task looks whether it has just created that person for another booking (rule W7).
pub(super) fn heeds_own_creations(settings: &Settings) -> bool {
    !planted!(settings, OwnCreationsNotSearched)
}

/// A creation counts from its intent on, and not only once it is sent (rule W7).
pub(super) fn counts_from_intent(settings: &Settings) -> bool {
    !planted!(settings, CreationCountsFromSending)
}

/// A creation that was found open may be of anybody in its practice (rule W7).
pub(super) fn waits_for_inherited(
    creations: &RecentCreations,
    patient: &PatientKey,
    settings: &Settings,
) -> bool {
    creations.waits_for_inherited(patient) && !planted!(settings, InheritedCreationsIgnored)
}

/// One booking of a patient is worked on at a time. Takes the lock if it is free.
pub(super) fn takes_lock(jobs: &mut Jobs, patient: &PatientKey, key: &JobKey, settings: &Settings) -> bool {
    jobs.lock_patient(patient, key) || planted!(settings, PatientNotLocked)
}

/// A version waits in one record: the one of the generation that state names (rule K4).
pub(super) fn is_of_generation(found: u32, awaited: u32, settings: &Settings) -> bool {
    found == awaited || planted!(settings, NoGeneration)
}

/// A redrive quotes the generation after that of its version's newest dead letter (rule K10).
pub(super) fn redrives(found: u32, dead_lettered: u32, settings: &Settings) -> bool {
    found == dead_lettered + 1 || planted!(settings, RedriveOfAnyGeneration)
}

/// A version that is redriven waits under the generation of its redrive from now on (rule K10).
pub(super) fn generation_of_redriven(dead_lettered: u32, redrive: u32, settings: &Settings) -> u32 {
    if planted!(settings, RedriveKeepsGeneration) { dead_lettered } else { redrive }
}

/// A version that may have been answered and forgotten is not taken for answered: at worst it is answered twice (rule K5).
pub(super) fn counts_as_answered(may_be_forgotten: bool, settings: &Settings) -> bool {
    may_be_forgotten && planted!(settings, ForgottenTakenForAnswered)
}

/// A version that is older than one that was written or intended is not written any more (rule K5).
pub(super) fn is_outdated(version: Version, newest: Version, settings: &Settings) -> bool {
    version < newest && !planted!(settings, OlderVersionWritten)
}

/// A suspect runs only while no other one does (rule K6).
pub(super) fn may_run(suspect: &JobKey, alone: &LoneSuspect, settings: &Settings) -> bool {
    alone.is_free_for(suspect) || planted!(settings, SuspectsRunTogether)
}

/// From now on this suspect runs, and no other one (rule K6).
pub(super) fn run_alone(suspect: &JobKey, alone: &mut LoneSuspect, settings: &Settings) {
    if planted!(settings, SuspectsRunTogether) {
        *alone = LoneSuspect::default();
    }
    alone.take(suspect);
}

/// A record that ended so many workers is not decoded again (rule K6).
pub(super) fn is_deadly(ends: u32, settings: &Settings) -> bool {
    ends >= settings.crash_review_after && !planted!(settings, DeadlyDecodedForEver)
}

/// A record without identity is dead-lettered only when the committable offset comes to it (rule K7).
pub(super) fn awaits_its_offset(settings: &Settings) -> bool {
    !planted!(settings, UnidentifiedDeadLetteredAtOnce)
}

/// A version is given up after it was tried for long enough, however late it is.
pub(super) fn time_is_up(
    booking: &Booking,
    schedule: &Schedule,
    now: Timestamp,
    settings: &Settings,
) -> Option<FailureReason> {
    if booking.visit.start <= now && planted!(settings, GivenUpAtTheFirstHiccup) {
        return Some(FailureReason::VisitBegun);
    }
    let deadline = RetryDeadline {
        max_age_ms: settings.retry_max_age_ms,
        visit_grace_ms: settings.retry_visit_grace_ms,
    };
    deadline.is_over(booking, schedule, now)
}

/// What failed because HealthFlow does not work at all is not the booking's failure: it spends no attempt, and is not put
/// aside.
pub(super) fn is_outage(why: WaitReason, turn: &Turn<'_>) -> bool {
    turn.breaker.is_open() && why.is_no_answer() && !planted!(turn.settings, OutageSpendsAttempts)
}

/// A search that finds too many is narrowed: to begin it again would find as many.
pub(super) fn is_narrowed(settings: &Settings) -> bool {
    !planted!(settings, WideSearchBegunAgain)
}

/// A slot that another booking may free is waited for (rule K11).
pub(super) fn slot_is_awaited(may_become_free: bool, settings: &Settings) -> bool {
    may_become_free && !planted!(settings, SlotNotAwaited)
}

/// A booking that waits for a slot is woken when the slot may be free (rule K11).
pub(super) fn wakes_slot_waiters(settings: &Settings) -> bool {
    !planted!(settings, SlotWaiterNotWoken)
}

/// The wait for a slot has a limit (rule K11).
pub(super) fn slot_wait_is_over(until: Timestamp, now: Timestamp, settings: &Settings) -> bool {
    now >= until && !planted!(settings, SlotWaiterNotWoken)
}

/// The older versions that free a slot which another booking waits for are written first (rule K11).
pub(super) fn written_first(slots: &Slots, key: &BookingKey, settings: &Settings) -> Vec<Version> {
    if planted!(settings, FreeingVersionSuperseded) { Vec::new() } else { slots.first_of(key) }
}

/// A booking that waits for a slot does not keep its patient meanwhile (rule K11).
pub(super) fn gives_patient_back(settings: &Settings) -> bool {
    !planted!(settings, SlotWaiterKeepsPatient)
}

/// A link is believed only for the person whom it was made for: it is compared as it was remembered.
pub(super) fn link_of<'a>(
    link: Option<&'a Link>,
    booking: &Booking,
    settings: &Settings,
) -> Option<Cow<'a, Link>> {
    let link = link?;
    if !planted!(settings, LinkNotCompared) {
        return Some(Cow::Borrowed(link));
    }
    let digests = PersonDigests::of_booking(booking);
    Some(Cow::Owned(Link { digests: Some(digests), ..link.clone() }))
}

/// The charts that were read, by id.
pub(super) type Charts = BTreeMap<HealthFlowPatientId, Option<Candidate>>;

/// An id that was sent along is believed only once its chart was read.
pub(super) fn charts_of<'a>(job: &'a Job, booking: &Booking, settings: &Settings) -> Cow<'a, Charts> {
    let sent_along = booking.patient.healthflow_patient_id.as_ref();
    let Some(id) = sent_along.filter(|_| planted!(settings, SentAlongBelieved)) else {
        return Cow::Borrowed(&job.charts);
    };
    let id = HealthFlowPatientId(id.clone());
    let person = Person::from(&booking.patient);
    let unread = Candidate { id: Some(id.clone()), external_id: None, person };
    Cow::Owned(std::iter::once((id, Some(unread))).chain(job.charts.clone()).collect())
}

/// A person who was found is compared with the patient letter by letter, and by sex; a placeholder is no birthday.
#[cfg_attr(
    not(feature = "planted-defects"),
    expect(unused_variables, reason = "only a defect asks for them")
)]
pub(super) fn search_of<'a>(job: &'a Job, booking: &Booking, settings: &Settings) -> Option<Cow<'a, Search>> {
    #[cfg(feature = "planted-defects")]
    let search = job.search.as_ref().map(|search| Cow::Owned(mistaken(search, booking, settings.defect)));
    #[cfg(not(feature = "planted-defects"))]
    let search = job.search.as_ref().map(Cow::Borrowed);
    search
}

/// A booking waits for the review that decides who its patient is (rule K4).
pub(super) fn waits_for_the_patient(settings: &Settings) -> bool {
    !planted!(settings, HeldPatientWritten)
}

/// With the end of a review go all that waited behind it (rule K4).
pub(super) fn those_behind_go_on(settings: &Settings) -> bool {
    !planted!(settings, HeldNotLetGo)
}

/// State records that a version was let go, for the next owner must not hold it again (rule K4).
pub(super) fn is_noted_as_let_go(settings: &Settings) -> bool {
    !planted!(settings, LetGoNotNoted)
}

/// A version leaves the review topic with its result (rule K4).
pub(super) fn leaves_review_topic(settings: &Settings) -> bool {
    !planted!(settings, ReviewRecordKept)
}

/// A newer version ends the question about an older one (rule K4).
pub(super) fn newer_ends_question(settings: &Settings) -> bool {
    !planted!(settings, OlderQuestionKept)
}

/// A new owner takes up what the one before held (rule K4).
pub(super) fn is_inherited(hold: Hold, settings: &Settings) -> bool {
    hold != Hold::Behind || !planted!(settings, HeldNotInherited)
}

/// Whose chart was rejected is created under a reference that leads nowhere yet (rule W8).
pub(super) fn next_reference(incarnation: u32, known: u32, settings: &Settings) -> u32 {
    if planted!(settings, RejectedReferenceUsed) { known } else { incarnation }
}

/// A decision is carried out before its offset is committed (rule K14).
pub(super) fn is_carried_out(settings: &Settings) -> bool {
    !planted!(settings, DecisionPassedOver)
}

/// A decision is about the question that it names by its generation (rule K14).
pub(super) fn is_of_question(named: u32, asked: Option<u32>, settings: &Settings) -> bool {
    asked == Some(named) || planted!(settings, DecisionOfAnyGeneration)
}

/// A decision that was carried out is known again by its id (rule K14).
pub(super) fn knows_copies(settings: &Settings) -> bool {
    !planted!(settings, DecisionCopyRefused)
}

/// The charts of which a person said that they are somebody else's: never proposed again (rule K14).
pub(super) fn rejected_charts(
    patient: Option<&PatientState>,
    booking: &Booking,
    settings: &Settings,
) -> Vec<HealthFlowPatientId> {
    let state = patient.filter(|of| !of.rejected.is_empty() && !planted!(settings, RejectedChartsProposed));
    let Some(state) = state else { return Vec::new() };
    let person = PersonDigests::of_booking(booking);
    let of_person = state.rejected.iter().filter(|rejected| rejected.is_of(Some(&person)));
    of_person.map(|rejected| rejected.chart.clone()).collect()
}

/// What a person rejected ends, whatever is asked of others meanwhile (rule K14).
pub(super) fn is_rejected(hold: Option<Hold>, settings: &Settings) -> bool {
    hold == Some(Hold::Rejected) && !planted!(settings, RejectionIgnored)
}

/// What a person took over is no suspect any more (rule K14).
pub(super) fn is_trusted_again(settings: &Settings) -> bool {
    !planted!(settings, RetryLeavesSuspicion)
}

/// Who waited behind a review goes on in the order in which they came (rule K4).
pub(super) fn in_order<T>(mut waiters: Vec<T>, settings: &Settings) -> Vec<T> {
    if planted!(settings, ReleasedInReverse) {
        waiters.reverse();
    }
    waiters
}

/// A call goes out once a good commit has counted it in every long limit.
pub(super) fn awaits_count(settings: &Settings) -> bool {
    !planted!(settings, QuotaSpentUncounted)
}

/// What is kept of a long limit for live bookings is theirs.
pub(super) fn leaves_reserve(settings: &Settings) -> bool {
    !planted!(settings, ReserveIgnored)
}
