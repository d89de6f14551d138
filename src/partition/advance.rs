//! What a job does next, and why it may have to wait. Asked when a job is admitted, after every answer, when a wait is
//! over, and once more right before a request goes out, so that nothing is sent on yesterday's knowledge.

use std::sync::Arc;

use crate::booking::{Booking, BookingKey, PatientKey};
use crate::caught::caught;
use crate::healthflow::Request;
use crate::partition::gates::{DoubtVerdict, HELD_BY_REVIEW};
use crate::partition::job::{Job, JobKey, Purpose, Standing};
use crate::partition::open_write::OpenWrite;
use crate::partition::suspects::{Subject, subject};
use crate::partition::task::{Task, Turn};
use crate::patient::Person;
use crate::processor::defects::planted;
use crate::processor::fact::Fact;
use crate::state::{PatientIntent, Suspicion, WriteIntent, WriteOperation};
use crate::sync::step::{create_patient, look_up_patient};
use crate::sync::{Knowledge, Outcome, Reason, Step, next_step};
use crate::time::Timestamp;

/// What a job does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Ask HealthFlow, as soon as there is a permit and, for a write, its intent stands.
    Ask(Request, Purpose),
    /// Nothing before this moment; the text says what is waited for.
    Wait(Timestamp, &'static str),
    /// Another booking of this patient is under way.
    AwaitPatient(PatientKey),
    /// Nothing more: every version has ended or is parked.
    Rest,
}

/// How old the last commit of an idle task may be before it commits its offsets again, in milliseconds: a day.
const OFFSETS_AGAIN_MS: i64 = 86_400_000;

/// How long until a booking looks again whether its patient's doubt is settled, and a patient's job whether the repeat
/// under way settled it, in milliseconds.
const SETTLE_AGAIN_MS: i64 = 1_000;

impl Task {
    /// Looks at a job again and moves it to where it stands now.
    pub(super) fn advance(&mut self, key: &JobKey, turn: &mut Turn<'_>) {
        let Some(mut job) = self.jobs.remove(key) else { return };
        if job.flight.is_some() || matches!(job.standing, Standing::Ready | Standing::AwaitsCommit) {
            self.jobs.insert(key.clone(), job);
            return;
        }
        let next = self.next_of(key, &mut job, turn);
        if let Next::Ask(request, purpose) = &next {
            let standing = if self.may_be_sent(key, &job, (request, *purpose), turn) {
                Standing::Ready
            } else {
                Standing::AwaitsCommit
            };
            self.stand(key, &mut job, standing, turn.now);
            self.jobs.insert(key.clone(), job);
        } else {
            self.rest(key, job, next, turn);
        }
    }

    /// Takes the next job that waits for a place, if there is one.
    pub fn admit(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(key) = self.arrivals.pop_front() else { return false };
        self.advance(&key, turn);
        true
    }

    /// Wakes every job whose moment has come; a doubt that is quiet gets a job of its own if it has none (rule W5).
    pub fn wake(&mut self, turn: &mut Turn<'_>) {
        while let Some((at, _)) = self.timers.first() {
            if *at > turn.now {
                break;
            }
            let Some((_, key)) = self.timers.pop_first() else { break };
            if !self.jobs.contains_key(&key) {
                let doubtful = match &key {
                    JobKey::Booking(booking) => self.writes.contains_key(booking),
                    JobKey::Patient(patient) => self.creations.contains_key(patient),
                };
                if !doubtful {
                    continue;
                }
                if planted!(turn.settings, DoubtSettledOnlyByRecord) {
                    continue;
                }
                self.jobs.insert(key.clone(), Job::default());
            }
            self.advance(&key, turn);
        }
        self.newcomers.prune(turn.now, turn.settings.search_lag_ms);
        // Brokers expire the offsets of topics that an active group does not subscribe to (rule T2).
        self.renewal_wanted |= turn.now.since_ms(self.commit_started_at()) >= OFFSETS_AGAIN_MS;
    }

    /// What the job does next.
    pub(super) fn next_of(&mut self, key: &JobKey, job: &mut Job, turn: &mut Turn<'_>) -> Next {
        if self.is_draining() {
            return Next::Rest;
        }
        let next = match key {
            JobKey::Booking(booking) => self.next_of_booking(booking, job, turn),
            JobKey::Patient(patient) => self.next_of_patient(patient, turn),
        };
        match next {
            Next::Ask(request, purpose) => self.one_suspect_at_a_time(key, job, (request, purpose), turn),
            other => other,
        }
    }

    fn next_of_booking(&mut self, key: &BookingKey, job: &mut Job, turn: &mut Turn<'_>) -> Next {
        loop {
            let Some(booking) = job.newest().map(|newest| Arc::clone(&newest.booking)) else {
                return self.next_of_doubt(key, turn);
            };
            let (answered, newest_known) = self
                .state
                .bookings
                .get(key)
                .map_or((false, 0), |state| (state.answered.contains(booking.version), state.newest));
            if answered {
                self.drop_version(job, booking.version);
                continue;
            }
            if let Some(older) = job.versions.keys().next().copied().filter(|v| *v < booking.version) {
                self.supersede(key, job, older, turn);
                continue;
            }
            if self.is_held(&booking) {
                let not_before = turn.now.plus_ms(turn.settings.retry_backoff_max_ms);
                self.park_all(key, job, not_before, HELD_BY_REVIEW, turn);
                continue;
            }
            if booking.version < newest_known && !planted!(turn.settings, OlderVersionWritten) {
                self.supersede(key, job, booking.version, turn);
                continue;
            }
            if self.kills_workers(&booking, turn.settings) {
                self.give_up(key, job, &booking, turn);
                continue;
            }
            let doubt = self.write_verdict(key, turn.now, turn.settings);
            match doubt {
                DoubtVerdict::Wait(at) if !planted!(turn.settings, OtherWriteInDoubt) => {
                    return Next::Wait(at, "in_doubt");
                }
                DoubtVerdict::Settle => match self.settle(key, turn) {
                    Some(request) => return Next::Ask(request, Purpose::Settle),
                    None => continue,
                },
                DoubtVerdict::Wait(_) | DoubtVerdict::Repeat | DoubtVerdict::None => {}
            }
            if !self.lock_patient(key, job, &booking.patient_key())
                && !planted!(turn.settings, PatientNotLocked)
            {
                return Next::AwaitPatient(booking.patient_key());
            }
            if let Some(next) = self.next_in_flow(key, job, &booking, doubt, turn) {
                return next;
            }
        }
    }

    /// The next step of the flow proper, with the gates that the protocol puts before it; none to look again.
    fn next_in_flow(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        booking: &Booking,
        doubt: DoubtVerdict,
        turn: &mut Turn<'_>,
    ) -> Option<Next> {
        let patient = booking.patient_key();
        if self.state.patients.get(&patient).is_none_or(|state| state.link.is_none()) {
            match self.creation_verdict(&patient, turn.now, turn.settings) {
                DoubtVerdict::None => {}
                DoubtVerdict::Repeat => {
                    self.newcomers.begin(&patient, Person::from(&booking.patient));
                    let incarnation = self.state.patients.get(&patient).map_or(0, |state| state.incarnation);
                    return Some(Next::Ask(create_patient(booking, incarnation), Purpose::Flow));
                }
                // The patient's own job settles it.
                DoubtVerdict::Settle => {
                    self.timers.insert((turn.now, JobKey::Patient(patient)));
                    return Some(Next::Wait(turn.now.plus_ms(SETTLE_AGAIN_MS), "patient_in_doubt"));
                }
                DoubtVerdict::Wait(at) => return Some(Next::Wait(at, "patient_in_doubt")),
            }
        }
        let step = caught(|| next_step(booking, &self.knowledge(key, &patient, job)));
        let request = match step.unwrap_or_else(a_defect) {
            Step::Remember(link) => {
                self.change_patient(&patient).link = Some(link);
                return None;
            }
            // While a write is in doubt the newest version gets no final result (rule W4).
            Step::Finish(_) if doubt != DoubtVerdict::None && !planted!(turn.settings, FinishedInDoubt) => {
                let at = self.writes.get(key).and_then(|open| open.doubt).map(|doubt| doubt.quiet_at);
                return Some(Next::Wait(at.unwrap_or(turn.now), "in_doubt"));
            }
            Step::Finish(outcome) => {
                self.conclude(key, job, booking.version, outcome, turn);
                return None;
            }
            Step::Ask(request) => request,
        };
        let opens_at = match &request {
            Request::SearchPatients { .. } if job.search.is_none() => {
                self.search_opens_at(&patient, turn.now, turn.settings)
            }
            Request::CreatePatient { .. } => self.creation_opens_at(booking, job, turn.now, turn.settings),
            _ => None,
        };
        match opens_at {
            Some(at) if at > turn.now => return Some(Next::Wait(at, "newcomers")),
            Some(_) => return None,
            None => {}
        }
        match &request {
            Request::CreatePatient { .. } => self.cover_creation(&patient, booking, turn),
            Request::CreateAppointment { .. } => self.cover_write(key, WriteOperation::Create, booking, turn),
            Request::UpdateAppointment { .. } => self.cover_write(key, WriteOperation::Update, booking, turn),
            _ => {}
        }
        Some(Next::Ask(request, Purpose::Flow))
    }

    fn knowledge<'a>(&'a self, key: &BookingKey, patient: &PatientKey, job: &'a Job) -> Knowledge<'a> {
        let booking_state = self.state.bookings.get(key);
        let patient_state = self.state.patients.get(patient);
        Knowledge {
            link: patient_state.and_then(|state| state.link.as_ref()),
            gone_patient: job.gone_patient.as_ref(),
            search: job.search.as_ref(),
            cursor: job.page.1.as_deref(),
            patient_incarnation: patient_state.map_or(0, |state| state.incarnation),
            placement: booking_state.and_then(|state| state.placement.as_ref()),
            incarnation: booking_state.map_or(0, |state| state.incarnation),
        }
    }

    /// A booking with no version at hand: only its doubt is left to settle.
    fn next_of_doubt(&mut self, key: &BookingKey, turn: &mut Turn<'_>) -> Next {
        let Some(doubt) = self.writes.get(key).and_then(|open| open.doubt) else { return Next::Rest };
        if turn.now < doubt.quiet_at {
            self.timers.insert((doubt.quiet_at, JobKey::Booking(key.clone())));
            return Next::Rest;
        }
        match self.settle(key, turn) {
            Some(request) => Next::Ask(request, Purpose::Settle),
            None => Next::Rest,
        }
    }

    /// Settles what needs nobody to be asked (an update is simply written again); else the question (rule W5).
    fn settle(&mut self, key: &BookingKey, turn: &mut Turn<'_>) -> Option<Request> {
        let operation =
            self.state.bookings.get(key).and_then(|state| state.intent.as_ref()).map(|i| i.operation);
        if operation == Some(WriteOperation::Create) {
            return Some(Request::FindAppointment {
                practice: key.practice.clone(),
                booking: key.booking.clone(),
            });
        }
        self.close_write(key);
        let state = self.change_booking(key);
        if let Some(placement) = &mut state.placement {
            placement.fingerprint = None;
        }
        turn.facts.push_back(Fact::DoubtSettled { key: Some(key.clone()), found: None });
        None
    }

    fn next_of_patient(&mut self, key: &PatientKey, turn: &Turn<'_>) -> Next {
        let Some(open) = self.creations.get(key) else { return Next::Rest };
        let Some(doubt) = open.doubt else { return Next::Rest };
        if open.in_flight {
            // A booking repeats it just now; where that settles nothing, somebody must look again.
            self.timers.insert((turn.now.plus_ms(SETTLE_AGAIN_MS), JobKey::Patient(key.clone())));
            return Next::Rest;
        }
        if turn.now < doubt.quiet_at {
            self.timers.insert((doubt.quiet_at, JobKey::Patient(key.clone())));
            return Next::Rest;
        }
        if self.is_given_up(&Subject::Patient(key.clone()), turn.settings) {
            // No booking of it is at hand; the next one searches for it by our reference first.
            self.close_creation(key);
            self.newcomers.never_happened(key);
            return Next::Rest;
        }
        Next::Ask(look_up_patient(key), Purpose::Settle)
    }

    /// Makes sure that an intent covers this write: opens one, or raises the newest intended version (rule W1).
    fn cover_write(
        &mut self,
        key: &BookingKey,
        operation: WriteOperation,
        booking: &Booking,
        turn: &Turn<'_>,
    ) {
        let sequence = self.sequence;
        let version = booking.version;
        let open = self.writes.entry(key.clone()).or_insert_with(|| OpenWrite::unsent(sequence));
        let unsent = open.is_unsent();
        let state = self.state.bookings.entry(key.clone()).or_default();
        let same = state
            .intent
            .as_ref()
            .filter(|intent| intent.operation == operation && intent.incarnation == state.incarnation);
        let covered = same.is_some_and(|intent| !unsent || intent.first_version == version);
        if covered && (state.newest >= version || planted!(turn.settings, NewerUnderOlderIntent)) {
            return;
        }
        let (first_version, since, suspicion) = match same {
            Some(intent) if !unsent => (intent.first_version, intent.since, intent.suspicion),
            _ => (version, turn.now, Suspicion::default()),
        };
        state.intent =
            Some(WriteIntent { operation, incarnation: state.incarnation, first_version, since, suspicion });
        state.newest = state.newest.max(version);
        open.sequence = sequence;
        self.pending.bookings.insert(key.clone());
    }

    /// Makes sure that an intent covers the creation of a patient. From here on it counts as begun (rule W7): another
    /// owner may take the intent for a creation that was sent.
    fn cover_creation(&mut self, key: &PatientKey, booking: &Booking, turn: &Turn<'_>) {
        let sequence = self.sequence;
        if self.creations.contains_key(key) {
            return;
        }
        if !planted!(turn.settings, CreationCountsFromSending) {
            self.newcomers.begin(key, Person::from(&booking.patient));
        }
        self.creations.insert(key.clone(), OpenWrite::unsent(sequence));
        let state = self.change_patient(key);
        state.intent = Some(PatientIntent {
            incarnation: state.incarnation,
            since: turn.now,
            suspicion: Suspicion::default(),
        });
    }

    /// Whether `request` may go out: the intent it goes out under is in a transaction that is known good, as it stands now;
    /// true of reads that settle nothing.
    pub(super) fn may_be_sent(
        &self,
        key: &JobKey,
        job: &Job,
        (request, purpose): (&Request, Purpose),
        turn: &Turn<'_>,
    ) -> bool {
        let Some(subject) = subject(key, job, request, purpose) else { return true };
        planted!(turn.settings, IntentNotAwaited)
            || self.open_write(&subject).is_some_and(|open| open.sequence <= self.committed_sequence)
    }
}

/// Deciding about a booking panicked: a person must look at it, and at us (rule K6).
fn a_defect() -> Step {
    Step::Finish(Outcome::Review { reason: Reason::Defect, evidence: Vec::new() })
}
