//! What becomes of an update that names a revision which is not the current one any more (412). The current one is our own
//! update whose answer was lost, or what an office edited by hand. It is read and compared, and written over only as what
//! was read.

use crate::booking::{Booking, BookingKey};
use crate::fact::Fact;
use crate::healthflow::fault::Missing;
use crate::healthflow::{Answer, AppointmentRead, Fault, Reply};
use crate::partition::job::{Flight, Job, Outdated};
use crate::partition::moves::Finish;
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::retry::WaitReason;
use crate::sync::{Outcome, SyncedOutcome};

impl Task {
    /// HealthFlow did nothing, for the update does not name the current revision. So nothing that was sent under
    /// the intent can land any more: it is closed, and so is its doubt. The next update names another revision and needs
    /// an intent of its own: a worker that lost its task must not write over what it read there of its successor.
    pub(super) fn appointment_changed(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        turn: &mut Turn<'_>,
    ) {
        let was_in_doubt = self.intents.is_in_doubt(key);
        if was_in_doubt {
            turn.facts.push_back(Fact::DoubtSettled { key: Some(key.clone()), found: None });
        }
        let intent = self.ledger.bookings().get_hot(key).and_then(|state| state.intent.as_ref());
        // An intent of the future is one of a wrong clock.
        let stood_at =
            intent.map_or(turn.now, |intent| intent.since.min(turn.now)).max(self.intents.fenced_at());
        self.close(&key.into());
        let was_certain = self.forget_content(key);
        let is_first = job.outdated.is_none();
        let may_be_ours = was_in_doubt || !was_certain;
        job.outdated = flight.if_match.clone().map(|revision| Outdated { revision, stood_at, may_be_ours });
        // Where it changes faster than we write, after a back-off.
        if is_first {
            self.count_attempt(job, turn);
        } else {
            self.try_again_later(key, job, WaitReason::Changed, turn.now, turn);
        }
    }

    /// HealthFlow returned the appointment: its content is known from now on, and the task compares the newest version with it.
    pub(super) fn appointment_read(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        let Some(outdated) = job.outdated.clone() else { return };
        let AppointmentRead { revision, fingerprint } = match reply {
            Ok(Answer::AppointmentRead(read)) => read,
            Ok(_) => return self.read_failed(key, job, WaitReason::Unreadable, turn),
            Err(fault) if fault.spends_no_attempt() => return,
            Err(Fault::NotFound(Missing::Appointment)) => return self.placement_gone(key, job, turn),
            Err(fault) => return self.read_failed(key, job, WaitReason::from(&fault), turn),
        };
        // A replica that lags behind what the update was compared with.
        if rules::is_stale_read(revision.as_ref(), &outdated.revision, turn.settings) {
            return self.read_failed(key, job, WaitReason::StaleRead, turn);
        }
        // A replica that lags could also show an even older revision: then the task writes again to be sure.
        let is_fresh = rules::is_fresh_read(outdated.stood_at, turn.now, turn.settings);
        let Some(placement) = &mut self.ledger.change_booking(key).placement else { return };
        placement.revision = revision;
        placement.fingerprint = fingerprint.filter(|_| is_fresh);
    }

    /// Notes what the end of a version shows of what exists.
    pub(super) fn note_what_exists(&mut self, key: &BookingKey, booking: &Booking, finish: &Finish) {
        if finish.exists_as_wanted {
            self.exists_as_wanted(key, booking);
        }
        if finish.is_own_write
            && let Some(placement) = &mut self.ledger.change_booking(key).placement
        {
            placement.version = Some(booking.version);
        }
    }

    /// From now on the content in HealthFlow is not certain; returns whether it was.
    pub(super) fn forget_content(&mut self, key: &BookingKey) -> bool {
        let Some(placement) = &mut self.ledger.change_booking(key).placement else { return false };
        placement.fingerprint.take().is_some()
    }
}

impl View<'_> {
    /// How a version ends for which nothing has to be written: as if HealthFlow had acknowledged its update, if what exists may
    /// be our own write.
    pub(super) fn finish(&self, key: &BookingKey, job: &Job, outcome: Outcome) -> Finish {
        let exists_as_wanted =
            matches!(outcome, Outcome::Synced(SyncedOutcome::Unchanged | SyncedOutcome::Cancelled));
        let may_be_ours = job.outdated.as_ref().is_some_and(|outdated| outdated.may_be_ours);
        let state = self.ledger.bookings().get(key);
        let placement = state.as_ref().and_then(|state| state.placement.as_ref());
        match placement {
            Some(placement) if may_be_ours && outcome == Outcome::Synced(SyncedOutcome::Unchanged) => {
                let was_adopted = placement.version.is_none();
                let synced = if was_adopted { SyncedOutcome::Created } else { SyncedOutcome::Updated };
                Finish { outcome: Outcome::Synced(synced), exists_as_wanted, is_own_write: true }
            }
            _ => Finish { outcome, exists_as_wanted, is_own_write: false },
        }
    }

    /// Whether the content in HealthFlow is certain.
    pub(super) fn is_content_known(&self, key: &BookingKey) -> bool {
        let state = self.ledger.bookings().get(key);
        let placement = state.as_ref().and_then(|state| state.placement.as_ref());
        placement.is_some_and(|placement| placement.fingerprint.is_some())
    }
}
