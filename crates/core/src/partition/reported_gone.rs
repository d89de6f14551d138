//! What HealthFlow reports as gone, and when the task believes that (rule W6): not while a replica that lags behind our own
//! write could be the reason, else the appointment would exist twice.

use std::sync::Arc;

use crate::booking::{Booking, BookingKey, BookingStatus};
use crate::partition::job::{Flight, Job};
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::patient::LinkOrigin;
use crate::retry::WaitReason;
use crate::sync::FailureReason;
use crate::time::Timestamp;

impl Task {
    /// HealthFlow does not know the appointment we wrote: believed once a lagging replica can no longer be the reason
    /// (rule W6).
    pub(super) fn placement_gone(&mut self, key: &BookingKey, job: &mut Job, turn: &mut Turn<'_>) {
        let sent_at = self.ledger.bookings().get(key).and_then(|state| state.last_write_at);
        let believed_at = self.believed_at(sent_at, true, turn);
        if turn.now < believed_at {
            return self.try_again_later(key, job, WaitReason::AppointmentNotFound, believed_at, turn);
        }
        let state = self.ledger.change_booking(key);
        state.placement = None;
        state.incarnation += 1;
    }

    /// HealthFlow does not know the patient we linked: the link is dropped once that can be believed (rule W6), and the
    /// patient is looked for again.
    pub(super) fn patient_gone(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        turn: &mut Turn<'_>,
    ) {
        let Some(booking): Option<Arc<Booking>> = job.at_work().map(|at_work| Arc::clone(&at_work.booking))
        else {
            return;
        };
        // A cancellation names the patient of the appointment: there is no other one to name.
        if booking.status == BookingStatus::Cancelled {
            let fields = ["patient_id: not_found".to_owned()];
            return self.reject_version(key, job, flight, FailureReason::Rejected, &fields, turn);
        }
        let patient = booking.patient_key();
        let Some((link, sent_at)) = self
            .ledger
            .patients()
            .get(&patient)
            .and_then(|state| state.link.clone().map(|link| (link, state.last_write_at)))
        else {
            return;
        };
        if link.origin == LinkOrigin::Provided {
            // Nothing of ours is gone. What is still sent along is read again, after a back-off: that ends with its age.
            self.forget_link(&booking);
            job.charts.clear();
            job.forget_search();
            return self.try_again_later(key, job, WaitReason::PatientNotFound, turn.now, turn);
        }
        let believed_at = self.believed_at(sent_at, link.origin == LinkOrigin::Created, turn);
        if turn.now < believed_at {
            return self.try_again_later(key, job, WaitReason::PatientNotFound, believed_at, turn);
        }
        let state = self.ledger.change_patient(&patient);
        state.link = None;
        state.incarnation += 1;
        job.gone_patient = Some(link.healthflow_patient_id);
        job.forget_search();
        self.count_attempt(job, turn);
    }

    /// When it is believed that HealthFlow does not know what was written, by us if `written_by_us`: once no replica can lag behind
    /// what this process sent at `sent_at`, nor behind what an earlier owner sent (rule W6).
    pub(super) fn believed_at(
        &self,
        sent_at: Option<Timestamp>,
        written_by_us: bool,
        turn: &Turn<'_>,
    ) -> Timestamp {
        // What was sent in the future was sent by an earlier owner, whose clock was wrong.
        let is_of_another_clock =
            sent_at.is_some_and(|at| !rules::is_of_our_time(at, turn.now, turn.settings));
        let own = sent_at.map(|at| at.plus_ms(turn.settings.settle_ms()));
        let inherited = self.intents.inherited_settles_at(turn.settings);
        let settled_at = match (own, written_by_us) {
            _ if is_of_another_clock => inherited,
            (None, true) => inherited,
            (Some(own), true) => own.max(inherited),
            (own, false) => own.unwrap_or(turn.now),
        };
        rules::absence_believed_at(settled_at, turn.now, turn.settings)
    }
}
