//! Settling doubts once they can no longer land unseen (rule W5): what is asked, and what the answer means. From state,
//! whether or not a record is at hand; without this, a doubt that no record leads to would never end.

use crate::appointment::Slot;
use crate::booking::{BookingKey, PatientKey};
use crate::fact::{DuplicateOf, Fact};
use crate::healthflow::pages::{PAGES_MAX, Pages};
use crate::healthflow::{Answer, AppointmentFound, Operation, Reply, Request, Sought, WrittenAppointment};
use crate::partition::job::{Job, Purpose};
use crate::partition::moves::Move;
use crate::partition::rules;
use crate::partition::subject::Subject;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::patient::digests::PersonDigests;
use crate::patient::{Candidate, Person, UnverifiedCreation};
use crate::retry::schedule::delay_ms;
use crate::state::WriteOperation;
use crate::sync::step::look_up_patient;
use crate::sync::{Outcome, ReviewReason};
use crate::time::Timestamp;

/// How a doubt that is quiet is settled.
pub(super) enum Settling {
    /// By asking this.
    Ask(Box<Request>),
    /// No request is needed: the task writes an update again.
    WriteAgain,
    /// No request would settle it.
    Unclear,
}

/// Which of the appointments that a look-up found is the one that a create in doubt made.
#[derive(Debug, PartialEq, Eq)]
enum Identified {
    /// This one.
    Ours(AppointmentFound),
    /// None: it never happened, and never will.
    Nothing,
    /// Another booking's create of the same slot is under way: its answer will show more.
    Soon,
    /// That cannot be decided.
    Unclear,
}

impl Task {
    /// The doubt about an update is over, and the content in HealthFlow is not certain.
    pub(super) fn write_again(&mut self, key: &BookingKey, turn: &mut Turn<'_>) {
        self.close(&key.into());
        self.forget_content(key);
        turn.facts.push_back(Fact::DoubtSettled { key: Some(key.clone()), found: None });
    }

    /// A creation in doubt is quiet, and HealthFlow cannot be asked for it. From now on every search shows the patient that it
    /// may have created, so no job waits for it any more, and the next record of the patient finds it by a search (rules W5,
    /// W7).
    pub(super) fn creation_is_unverified(&mut self, patient: &PatientKey, turn: &mut Turn<'_>) {
        let state = self.ledger.change_patient(patient);
        if state.link.is_none() {
            let sent = UnverifiedCreation::of(state.intent.as_ref().and_then(|intent| intent.person));
            state.unverified_creation = Some(sent.beside(state.unverified_creation));
        }
        self.close(&patient.into());
        let woken = self.recent_creations.unverified(patient, turn.now, turn.settings.search_lag_ms);
        self.jobs.look_again_all(woken);
        turn.facts.push_back(Fact::DoubtSettled { key: None, found: None });
        self.jobs.wake_holder(patient, true);
    }

    /// Takes in a page of a look-up that settles the doubt about a booking, or its failure.
    pub(super) fn appointment_looked_up(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        self.intents.looked_up(key);
        let pages = match reply {
            Ok(Answer::Appointments { found, next_cursor }) => {
                job.looked_up.take_in(found, next_cursor, PAGES_MAX).ok()
            }
            _ => None,
        };
        let found = match pages {
            Some(Some(found)) => found,
            Some(None) => return,
            None => {
                job.looked_up = Pages::default();
                return self.look_up_failed(key.into(), job, turn);
            }
        };
        let key_refused = self.intents.doubt(key).is_some_and(|doubt| doubt.key_refused);
        let is_ours = match self.identify_own(key, found, turn) {
            Identified::Ours(AppointmentFound { id, patient, revision }) => {
                self.adopt(key, WrittenAppointment { id, revision }, &patient.0);
                true
            }
            Identified::Nothing => {
                self.ledger.change_booking(key).incarnation += u32::from(key_refused);
                false
            }
            Identified::Soon => {
                let again_at = turn.now.plus_ms(turn.settings.retry_backoff_min_ms);
                return self.look_up_again(key.into(), again_at, job, turn);
            }
            Identified::Unclear => return self.leave_to_a_person(key, job, turn),
        };
        turn.facts.push_back(Fact::DoubtSettled { key: Some(key.clone()), found: Some(is_ours) });
        self.close(&key.into());
    }

    /// Which of `found` is what the create in doubt of `key` made. Our reference shows it. Where HealthFlow does not
    /// keep references, the task adopts only what cannot belong to another booking.
    fn identify_own(
        &self,
        key: &BookingKey,
        mut found: Vec<AppointmentFound>,
        turn: &mut Turn<'_>,
    ) -> Identified {
        if turn.settings.guard.has_references() {
            if found.len() > 1 {
                turn.facts.push_back(Fact::DuplicateFound {
                    key: Some(key.clone()),
                    what: DuplicateOf::Appointment,
                });
            }
            return found.into_iter().next().map_or(Identified::Nothing, Identified::Ours);
        }
        if found.is_empty() {
            return Identified::Nothing;
        }
        let slot_of = |key: &BookingKey| -> Option<&Slot> {
            self.ledger.bookings().get_hot(key)?.intent.as_ref()?.slot.as_ref()
        };
        let slot = slot_of(key);
        let (mut has_rival, mut is_rival_under_way) = (false, false);
        let of_practice = self.ledger.bookings().of_practice(&key.practice);
        for (other, state) in of_practice.filter(|(other, _)| other != key) {
            if let Some(placement) = rules::placement_of_other(&state, turn.settings) {
                found.retain(|one| one.id.0 != placement.appointment_id);
            }
            if state.intent.is_some() && slot_of(&other) == slot {
                has_rival = true;
                is_rival_under_way |= self.intents.is_open(&other) && !self.intents.is_in_doubt(&other);
            }
        }
        match (found.len(), has_rival) {
            (0, _) => Identified::Nothing,
            (1, false) => Identified::Ours(found.remove(0)),
            _ if is_rival_under_way => Identified::Soon,
            _ => Identified::Unclear,
        }
    }

    /// Only a person can find out what became of a create in doubt: the newest version at hand goes to review, and with
    /// it the doubt. The intent stays in state until that is decided, for what it may have made may not be taken for
    /// another booking's. With no record at hand the doubt waits for one.
    pub(super) fn leave_to_a_person(&mut self, key: &BookingKey, job: &mut Job, turn: &mut Turn<'_>) {
        let Some(version) = job.newest().map(|newest| newest.booking.version) else {
            self.intents.leave_unclear(key);
            // A version that waits behind another review is such a record.
            let is_held = self.held.note_ended(key);
            // A version that is owed its dead letter need not wait for a record that is gone.
            if is_held || self.lost.owes(key) {
                self.outbox.renew();
            }
            return;
        };
        self.intents.forget(key);
        turn.facts.push_back(Fact::DoubtSettled { key: Some(key.clone()), found: None });
        let outcome = Outcome::Review { reason: ReviewReason::AmbiguousAppointment, evidence: Vec::new() };
        self.conclude(key, job, version, outcome, turn);
    }

    /// Takes in a page of a look-up that settles the doubt about a creation, or its failure.
    pub(super) fn patient_looked_up(
        &mut self,
        patient: &PatientKey,
        job: &mut Job,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        if !self.intents.looked_up(patient) {
            return;
        }
        let pages = match reply {
            Ok(Answer::Patients { found, next_cursor }) => {
                job.pages.take_in(found, next_cursor, PAGES_MAX).ok()
            }
            _ => None,
        };
        let found = match pages {
            Some(Some(found)) => found,
            Some(None) => return,
            None => {
                job.pages = Pages::default();
                return self.look_up_failed(patient.into(), job, turn);
            }
        };
        let reference = self.view().reference_begun(patient);
        // What a person rejected since is no match, whatever leads there (rule W8).
        let ours = |candidate: &Candidate| {
            candidate.external_id.as_deref() == Some(reference.as_str())
                && !candidate.id.as_ref().is_some_and(|id| self.is_somebody_elses(patient, id))
        };
        let digests = |person: &Person| PersonDigests::of(patient, person);
        let with_id = |found: Candidate| found.id.map(|id| (id, digests(&found.person)));
        let mut charts = found.into_iter().filter(ours).filter_map(with_id);
        let chart = charts.next();
        turn.facts.push_back(Fact::DoubtSettled { key: None, found: Some(chart.is_some()) });
        if charts.next().is_some() {
            turn.facts.push_back(Fact::DuplicateFound { key: None, what: DuplicateOf::Patient });
        }
        match chart {
            Some((id, digests)) => self.patient_exists(patient, id, Some(digests), turn),
            None => self.creation_never_happened(patient),
        }
        self.jobs.wake_holder(patient, false);
    }

    /// A creation that is quiet and not found never happened and never will. A key that was refused is not used again.
    fn creation_never_happened(&mut self, patient: &PatientKey) {
        let key_refused = self.intents.doubt(patient).is_some_and(|doubt| doubt.key_refused);
        self.ledger.change_patient(patient).incarnation += u32::from(key_refused);
        self.close(&patient.into());
        let woken = self.recent_creations.never_happened(patient);
        self.jobs.look_again_all(woken);
    }

    /// A settling look-up failed: the doubt stays quiet, and the task asks again after a pause. The pause grows, unless all
    /// such look-ups fail.
    fn look_up_failed(&mut self, subject: Subject, job: &Job, turn: &Turn<'_>) {
        let operation = match &subject {
            Subject::Booking(_) => Operation::FindAppointment,
            Subject::Patient(_) => Operation::SearchPatients,
        };
        let do_all = turn.reads.do_fail(operation) || turn.breaker.is_open();
        let Some(times) = self.intents.look_up_failed(&subject, do_all) else { return };
        let (min_ms, max_ms) = (turn.settings.retry_backoff_min_ms, turn.settings.retry_backoff_max_ms);
        let again_at = turn.now.plus_ms(delay_ms(&subject.clone().settling_job(), 0, times, min_ms, max_ms));
        self.look_up_again(subject, again_at, job, turn);
    }

    /// The doubt stays quiet, and the task asks about it again at `again_at`.
    fn look_up_again(&mut self, subject: Subject, again_at: Timestamp, job: &Job, turn: &Turn<'_>) {
        let asked = job.asked_to_wait.map_or(turn.now, |asked| asked.until);
        let again_at = again_at.max(asked);
        self.intents.ask_again_at(&subject, again_at);
        if let Subject::Patient(patient) = &subject {
            self.jobs.wake_holder(patient, false);
        }
        self.jobs.wake_at(again_at, subject.settling_job());
    }
}

impl View<'_> {
    /// What is done about a booking with no version at hand: only its doubt is left to settle.
    pub(super) fn decide_doubt(&self, key: &BookingKey, job: &Job, turn: &Turn<'_>) -> Move {
        let doubt = self.intents.doubt(key).filter(|doubt| !doubt.unclear);
        let Some(doubt) = doubt else { return Move::Rest(None) };
        // The look-up too may be what kills the workers: it waits for a record to go to a person with (rule K6).
        if self.is_given_up(&key.into(), turn.settings) {
            return Move::Rest(None);
        }
        if turn.now < doubt.settles_at {
            return Move::Rest(Some(doubt.settles_at));
        }
        self.settling_move(key, job, turn)
    }

    /// How the doubt about a booking that is quiet is settled.
    pub(super) fn settling(&self, key: &BookingKey, job: &Job, turn: &Turn<'_>) -> Settling {
        let intent = self.ledger.bookings().get_hot(key).and_then(|state| state.intent.as_ref());
        let Some(intent) = intent.filter(|intent| intent.operation == WriteOperation::Create) else {
            return Settling::WriteAgain;
        };
        let sought = match &intent.slot {
            _ if turn.settings.guard.has_references() => Sought::Reference(key.booking.clone()),
            Some(slot) => Sought::Slot(rules::sought_slot(slot, job, turn.settings)),
            // Written in another guard mode: the intent does not hold what to look for.
            None => return Settling::Unclear,
        };
        let (practice, cursor) = (key.practice.clone(), job.looked_up.cursor().map(str::to_owned));
        Settling::Ask(Box::new(Request::FindAppointment { practice, sought, cursor }))
    }

    /// What is done about a patient whose creation is in doubt.
    pub(super) fn decide_creation(&self, key: &PatientKey, job: &Job, turn: &Turn<'_>) -> Move {
        // A booking that repeats it now sets the next moment itself, if that settles nothing.
        let doubt = self.intents.doubt(key).filter(|_| !self.intents.is_in_flight(key));
        let Some(doubt) = doubt else { return Move::Rest(None) };
        if turn.now < doubt.settles_at {
            return Move::Rest(Some(doubt.settles_at));
        }
        let given_up = self.is_given_up(&key.into(), turn.settings);
        if turn.settings.guard.has_references() && !given_up {
            let request = look_up_patient(&key.practice, self.reference_begun(key), job.pages.cursor());
            return Move::ask(request, Purpose::Settle, None);
        }
        // The next booking of it finds it by searching.
        Move::CreationUnverified(key.clone())
    }
}
