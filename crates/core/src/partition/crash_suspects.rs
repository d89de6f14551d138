//! Bookings that may be what kills the workers (rule K6). Every intent found open counts one unclean end; from
//! `worker.crash_suspect_after` of them on its booking is a suspect and runs alone, marked so durably before it starts;
//! from then on only an end under that mark counts, and after `worker.crash_review_after` of those a person must look at
//! it, unless one of its versions was answered meanwhile. So one bad booking goes to review after a few crashes, and those that were only near it do not.

use crate::booking::{Booking, PatientKey};
use crate::defects::planted;
use crate::healthflow::Request;
use crate::partition::advance::Next;
use crate::partition::alone::Alone;
use crate::partition::cover::subject;
use crate::partition::job::{Job, JobKey, Purpose};
use crate::partition::subject::Subject;
use crate::partition::task::{Task, Turn};
use crate::retry::WaitReason;
use crate::settings::Settings;
use crate::state::Suspicion;
use crate::time::Timestamp;

impl Task {
    /// Lets a suspect ask only while no other one does, and once the next commit has marked it.
    pub(super) fn one_suspect_at_a_time(
        &mut self,
        key: &JobKey,
        job: &Job,
        (request, purpose): (Request, Purpose),
        turn: &Turn<'_>,
    ) -> Next {
        let subject = subject(key, job, &request, purpose);
        let suspect = subject.filter(|subject| self.is_suspect(subject, turn.settings));
        let Some(subject) = suspect else { return Next::Ask(request, purpose) };
        if planted!(turn.settings, SuspectsRunTogether) {
            self.alone = Alone::default();
        }
        if !self.alone.take(key) {
            // It is woken; by then it goes where whatever waits in memory for too long goes.
            let waits_since = job.waiting_since.unwrap_or(turn.now);
            let at = waits_since.plus_ms(turn.settings.memory_wait_ms).max(turn.now.plus_ms(1));
            return Next::Wait(at, WaitReason::CrashSuspect);
        }
        self.mark(&subject, true);
        Next::Ask(request, purpose)
    }

    /// A job asks nothing more for now: another suspect may run.
    pub(super) fn is_not_alone_any_more(
        &mut self,
        key: &JobKey,
        patient: Option<&PatientKey>,
        now: Timestamp,
    ) {
        let Some(awaited_by) = self.alone.give_back(key) else { return };
        for waiting in awaited_by {
            self.jobs.wake_at(now, waiting);
        }
        self.mark(&Subject::settled_by(key), false);
        if let Some(patient) = patient {
            self.mark(&Subject::Patient(patient.clone()), false);
        }
    }

    /// Whether workers died so often while `booking` ran alone that a person must look at it.
    pub(super) fn kills_workers(&self, booking: &Booking, settings: &Settings) -> bool {
        let patient = Subject::Patient(booking.patient_key());
        [Subject::Booking(booking.key.clone()), patient]
            .iter()
            .any(|subject| self.is_given_up(subject, settings))
    }

    /// Whether nothing is asked about `subject` any more.
    pub(super) fn is_given_up(&self, subject: &Subject, settings: &Settings) -> bool {
        let limit = settings.crash_suspect_after.saturating_add(settings.crash_review_after);
        self.suspicion(subject).is_some_and(|suspicion| suspicion.unclean_ends >= limit)
    }

    fn is_suspect(&self, subject: &Subject, settings: &Settings) -> bool {
        let ends = self.suspicion(subject).map_or(0, |suspicion| suspicion.unclean_ends);
        ends >= settings.crash_suspect_after
    }

    fn suspicion(&self, subject: &Subject) -> Option<Suspicion> {
        match subject {
            Subject::Booking(key) => self.state.bookings.get_open(key).map(|state| state.suspicion),
            Subject::Patient(key) => self.state.patients.get_open(key).map(|state| state.suspicion),
        }
    }

    /// Marks a suspect as running alone, or takes the mark off; the next commit carries it.
    fn mark(&mut self, subject: &Subject, alone: bool) {
        if self.suspicion(subject).is_none_or(|suspicion| suspicion.alone == alone) {
            return;
        }
        match subject {
            Subject::Booking(key) => {
                self.change_booking(key).suspicion.alone = alone;
            }
            Subject::Patient(key) => {
                self.change_patient(key).suspicion.alone = alone;
            }
        }
        // Nothing is asked before the mark stands; taking it off delays nobody.
        if alone {
            self.intents.raise(subject, self.outbox.next_sequence());
        }
    }
}
