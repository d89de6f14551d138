//! Opening intents and closing them, in state and in memory together (rules W1, K1): what may be sent is in both, and
//! what is closed in neither. What memory alone knows of them is in `intents.rs`.

use crate::appointment::Span;
use crate::booking::{Booking, BookingKey, PatientKey};
use crate::healthflow::Request;
use crate::partition::job::{Job, JobKey, Purpose};
use crate::partition::moves::CoveredWrite;
use crate::partition::rules;
use crate::partition::slot_waits::may_occupy_too;
use crate::partition::subject::Subject;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::patient::digests::PersonDigests;
use crate::patient::{Person, description};
use crate::settings::Settings;
use crate::state::{PatientIntent, PatientState, WriteIntent};

/// How many places one intent remembers: a create that is repeated for newer and newer versions asks for one each.
const ASKED_MAX: usize = 8;

impl Task {
    /// Every intent found open is a doubt until it can no longer land unseen (rule K1).
    pub(super) fn inherit_doubts(&mut self, settings: &Settings) {
        let settles_at = self.intents.inherited_settles_at(settings);
        let suspect_after = settings.crash_suspect_after;
        let Task { ledger, intents, jobs, recent_creations, .. } = self;
        ledger.change_hot_bookings(|key, state| {
            // What is in review is a person's doubt, not ours.
            let is_ours = state.intent.is_some() && !state.leaves_write_to_a_person();
            if is_ours {
                state.suspicion = state.suspicion.after_unclean_end(suspect_after);
                intents.inherit(key.into(), settles_at);
                jobs.wake_at(settles_at, JobKey::Booking(key.clone()));
            }
            is_ours
        });
        ledger.change_hot_patients(|key, state| {
            let is_open = state.intent.is_some();
            if is_open {
                state.suspicion = state.suspicion.after_unclean_end(suspect_after);
                intents.inherit(key.into(), settles_at);
                recent_creations.inherit(key.clone());
                jobs.wake_at(settles_at, JobKey::Patient(key.clone()));
            }
            is_open
        });
    }

    /// Makes sure that an intent covers this write: opens one, or raises the newest intended version (rule W1).
    pub(super) fn cover_write(
        &mut self,
        key: &BookingKey,
        write: &CoveredWrite,
        booking: &Booking,
        turn: &Turn<'_>,
    ) {
        let CoveredWrite { operation, slot, if_match } = write.clone();
        let sequence = self.outbox.next_sequence();
        let version = booking.version;
        let unsent = !self.intents.may_have_effect(key);
        if !self.intents.is_open(key) {
            self.intents.open(key, sequence);
        }
        let known = self.ledger.bookings().get(key);
        let (incarnation, newest) = known.as_ref().map_or((0, 0), |state| (state.incarnation, state.newest));
        let open = known.as_ref().and_then(|state| state.intent.as_deref());
        let same = open.filter(|intent| intent.operation == operation && intent.incarnation == incarnation);
        let covered = same.is_some_and(|intent| {
            (!unsent || intent.first_version == version) && intent.slot == slot && intent.if_match == if_match
        });
        if covered && rules::is_intended(version, newest, turn.settings) {
            return;
        }
        let asked = asked(same.filter(|_| !unsent), Span::wanted(booking));
        let (first_version, since) = match same {
            Some(intent) if !unsent => (intent.first_version, intent.since),
            _ => (version, turn.now),
        };
        let intent = WriteIntent { operation, incarnation, first_version, since, slot, if_match, asked };
        let state = self.ledger.change_booking(key);
        state.intent = Some(Box::new(intent));
        state.newest = state.newest.max(version);
        self.intents.open(key, sequence);
    }

    /// Makes sure that an intent covers the creation of a patient. From here on it counts as begun (rule W7): another
    /// owner may take the intent for a creation that was sent.
    pub(super) fn cover_creation(&mut self, key: &PatientKey, booking: &Booking, turn: &Turn<'_>) {
        let person = Person::from(&booking.patient);
        let description =
            (!turn.settings.guard.has_references()).then(|| description::fingerprint(&booking.patient));
        let digests = Some(PersonDigests::of(key, &person));
        if self.intents.may_have_effect(key) {
            return;
        }
        if rules::counts_from_intent(turn.settings) {
            let woken = self.recent_creations.begin(key, person);
            self.jobs.look_again_all(woken);
        }
        let is_same = |state: &PatientState| {
            state.intent.as_ref().is_some_and(|intent| {
                intent.person == description
                    && intent.digests == digests
                    && (intent.incarnation, intent.reference) == (state.incarnation, state.reference)
            })
        };
        if self.intents.is_open(key) && self.ledger.patients().get_hot(key).is_some_and(is_same) {
            return;
        }
        self.intents.open(key, self.outbox.next_sequence());
        let state = self.ledger.change_patient(key);
        state.unverified_creation = None;
        state.intent = Some(Box::new(PatientIntent {
            incarnation: state.incarnation,
            reference: state.reference,
            since: turn.now,
            person: description,
            digests,
        }));
    }

    /// The creation of a patient goes out. It counts from its intent on (rule W7), so there is nothing left to note.
    pub(super) fn creation_sent(&mut self, job: &Job, request: &Request, turn: &Turn<'_>) {
        if let (Some(patient), Request::CreatePatient { content, .. }) = (&job.patient, request)
            && !rules::counts_from_intent(turn.settings)
        {
            let woken = self.recent_creations.begin(patient, Person::from(&content.patient));
            self.jobs.look_again_all(woken);
        }
    }

    /// Whether `request` may go out: a transaction that is known good carries its intent in its present form. True of reads
    /// that settle nothing.
    pub(super) fn may_be_sent(
        &self,
        key: &JobKey,
        job: &Job,
        request: &Request,
        purpose: Purpose,
        turn: &Turn<'_>,
    ) -> bool {
        let Some(subject) = subject(key, job, request, purpose) else { return true };
        rules::intent_is_durable(&self.intents, &subject, &self.outbox, turn.settings)
    }

    /// The intent of `subject` is closed: its outcome is known, or it was never sent.
    pub(super) fn close(&mut self, subject: &Subject) {
        let was_in_doubt = self.intents.forget(subject).is_some();
        match subject {
            Subject::Booking(key) => {
                let state = self.ledger.change_booking(key);
                let intent = state.intent.take();
                if was_in_doubt {
                    may_occupy_too(state, intent.map_or_else(Vec::new, |intent| intent.asked));
                }
            }
            Subject::Patient(key) => self.ledger.change_patient(key).intent = None,
        }
    }

    /// Closes the intent of `subject` if nothing was sent under it: none is left behind that may never be (rule W1).
    pub(super) fn withdraw(&mut self, subject: &Subject) {
        if !self.intents.is_unsent(subject) {
            return;
        }
        self.close(subject);
        if let Subject::Patient(patient) = subject {
            let woken = self.recent_creations.never_happened(patient);
            self.jobs.look_again_all(woken);
        }
    }
}

/// Whose intent `request` goes out under, or settles; none for the reads of the flow.
pub(super) fn subject(key: &JobKey, job: &Job, request: &Request, purpose: Purpose) -> Option<Subject> {
    match (request, key) {
        (_, JobKey::Patient(patient)) => Some(Subject::Patient(patient.clone())),
        (Request::CreatePatient { .. }, JobKey::Booking(_)) => job.patient.clone().map(Subject::Patient),
        (_, JobKey::Booking(booking)) if purpose == Purpose::Settle || request.operation().is_write() => {
            Some(Subject::Booking(booking.clone()))
        }
        _ => None,
    }
}

/// What the writes under an intent ask to occupy when one more is covered.
fn asked(sent: Option<&WriteIntent>, wanted: Option<Span>) -> Vec<Span> {
    let mut asked = sent.map_or(Vec::new(), |intent| intent.asked.clone());
    if let Some(wanted) = wanted.filter(|wanted| !asked.contains(wanted) && asked.len() < ASKED_MAX) {
        asked.push(wanted);
    }
    asked
}
