//! Bookings that may be what kills the workers (rule K6). Every intent found open counts one unclean end; from
//! `worker.crash_suspect_after` of them on its booking is a suspect and runs alone, marked so durably before it starts;
//! from then on only an end under that mark counts, and after `worker.crash_review_after` of those a person must look at
//! it, unless one of its versions was answered meanwhile. So one bad booking goes to review after a few crashes, and those
//! that were only near it do not.

use crate::booking::{Booking, PatientKey};
use crate::partition::job::JobKey;
use crate::partition::subject::Subject;
use crate::partition::task::Task;
use crate::partition::view::View;
use crate::settings::Settings;
use crate::state::Suspicion;
use crate::time::Timestamp;

impl Task {
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

    /// Marks a suspect as running alone, or takes the mark off; the next commit carries it.
    pub(super) fn mark(&mut self, subject: &Subject, alone: bool) {
        if self.view().suspicion(subject).is_none_or(|suspicion| suspicion.alone == alone) {
            return;
        }
        match subject {
            Subject::Booking(key) => {
                self.ledger.change_booking(key).suspicion.alone = alone;
            }
            Subject::Patient(key) => {
                self.ledger.change_patient(key).suspicion.alone = alone;
            }
        }
        // Nothing is sent before the mark is committed; removing the mark delays nothing.
        if alone {
            self.intents.raise(subject, self.outbox.next_sequence());
        }
    }
}

impl View<'_> {
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

    pub(super) fn is_suspect(&self, subject: &Subject, settings: &Settings) -> bool {
        let ends = self.suspicion(subject).map_or(0, |suspicion| suspicion.unclean_ends);
        ends >= settings.crash_suspect_after
    }

    fn suspicion(&self, subject: &Subject) -> Option<Suspicion> {
        match subject {
            Subject::Booking(key) => self.ledger.bookings().get_hot(key).map(|state| state.suspicion),
            Subject::Patient(key) => self.ledger.patients().get_hot(key).map(|state| state.suspicion),
        }
    }
}
