//! Charts that are read before an id is believed, and ids that were sent along and lead nowhere. Without this, what
//! DentScheduler sends along once (a blank, another patient's id, one that is gone) would be a link for ever.

use std::sync::Arc;

use crate::booking::{Booking, BookingKey};
use crate::fact::{Fact, LinkChange};
use crate::healthflow::fault::{Fault, Missing};
use crate::healthflow::{Answer, Reply};
use crate::partition::job::{Flight, Job};
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::patient::digests::Likeness;
use crate::patient::{HealthFlowPatientId, Link, LinkOrigin};
use crate::retry::WaitReason;
use crate::sync::{Outcome, ReviewReason};
use crate::time::Timestamp;

/// The field of an appointment that names its patient, as HealthFlow's refusals name it.
const PATIENT_FIELD: &str = "patient_id";

impl Task {
    /// HealthFlow returned a chart, or knows no patient with that id.
    pub(super) fn chart_read(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        let Some(id) = flight.patient_id.clone().map(HealthFlowPatientId) else { return };
        let chart = match reply {
            Ok(Answer::PatientRead(chart)) => chart,
            // An id that HealthFlow refuses as malformed belongs to no patient either.
            Err(Fault::NotFound(Missing::Patient) | Fault::Refused { .. }) => None,
            Err(fault) if fault.spends_no_attempt() => return,
            Ok(_) => return self.read_failed(key, job, WaitReason::Unreadable, turn),
            Err(fault) => return self.read_failed(key, job, WaitReason::from(&fault), turn),
        };
        let believed_at = self.nobody_believed_at(job, &id, turn);
        if chart.is_none() && turn.now < believed_at {
            return self.try_again_later(key, job, WaitReason::PatientNotFound, believed_at, turn);
        }
        job.charts.insert(id, chart);
    }

    /// When the task believes that HealthFlow has no patient with `id`. Of a link of ours: rule W6. An id that was sent
    /// along existed before the booking was asked for, so a replica that does not show it `lag` after the booking first
    /// failed shows it never.
    fn nobody_believed_at(&self, job: &Job, id: &HealthFlowPatientId, turn: &Turn<'_>) -> Timestamp {
        let lag_ms = turn.settings.search_lag_ms;
        let asked = job.asked_version.and_then(|version| job.versions.get(&version));
        let Some(asked) = asked else { return turn.now.plus_ms(lag_ms) };
        let state = self.ledger.patients().get(&asked.booking.patient_key());
        let link = state.as_ref().and_then(|state| state.link.as_ref());
        match (link, &state) {
            (Some(link), Some(state))
                if link.healthflow_patient_id == *id && link.origin != LinkOrigin::Provided =>
            {
                self.believed_at(state.last_write_at, link.origin == LinkOrigin::Created, turn)
            }
            _ => {
                // A question has been asked since then: a look need not be told twice.
                let held = self.held.get(&asked.booking.version_key()).map(|held| held.since);
                let since = asked.schedule.first_failed_at.or(held);
                since.unwrap_or(turn.now).plus_ms(lag_ms)
            }
        }
    }

    /// Remembers who the patient is; in the batch that the first intent under the link is in, or an earlier one.
    pub(super) fn remember(&mut self, booking: &Booking, link: Link) {
        let state = self.ledger.change_patient(&booking.patient_key());
        let change = state.link.as_ref().and_then(|known| change(known, &link));
        let is_lost = state.link.as_ref().is_some_and(|known| {
            known.origin != LinkOrigin::Provided && known.healthflow_patient_id != link.healthflow_patient_id
        });
        // What we created is gone, or somebody else's: its key would lead there again (rule W6).
        state.incarnation += u32::from(is_lost);
        (state.link, state.unverified_creation) = (Some(link), None);
        (state.is_new, state.is_unlinked) = (false, false);
        self.tell_link(&booking.key, change);
    }

    /// Forgets a link that leads nowhere, or to another person. Only a link of ours has a creation that is gone (rule W6).
    pub(super) fn forget_link(&mut self, booking: &Booking) {
        let state = self.ledger.change_patient(&booking.patient_key());
        let Some(link) = state.link.take() else { return };
        state.incarnation += u32::from(link.origin != LinkOrigin::Provided);
        self.tell_link(&booking.key, Some(LinkChange::Dropped));
    }

    pub(super) fn tell_link(&mut self, key: &BookingKey, change: Option<LinkChange>) {
        if let Some(how) = change {
            self.outbox.tell(Fact::LinkChanged { key: key.clone(), how });
        }
    }

    /// Whether HealthFlow refuses the patient of a write, and that patient is one that DentScheduler sent along.
    pub(super) fn was_sent_along(&self, job: &Job, flight: &Flight, fields: &[String]) -> bool {
        let names_patient = fields.iter().any(|field| {
            field.strip_prefix(PATIENT_FIELD).is_some_and(|rule| rule.is_empty() || rule.starts_with(':'))
        });
        let asked = job.asked_by(flight).map(|in_hand| &in_hand.booking);
        let state = asked.and_then(|booking| self.ledger.patients().get(&booking.patient_key()));
        names_patient
            && state.is_some_and(|state| {
                state.link.as_ref().is_some_and(|link| {
                    link.origin == LinkOrigin::Provided
                        && Some(&link.healthflow_patient_id.0) == flight.patient_id.as_ref()
                })
            })
    }

    /// HealthFlow refuses a patient that was sent along: the link is dropped, so that the right id is no conflict. If the
    /// booking still sends it along, a person must be asked; otherwise the task searches for the patient.
    pub(super) fn sent_along_refused(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        turn: &mut Turn<'_>,
    ) {
        let Some(booking) = job.asked_by(flight).map(|asked| Arc::clone(&asked.booking)) else {
            return;
        };
        self.forget_link(&booking);
        job.charts.clear();
        job.forget_search();
        if booking.patient.healthflow_patient_id == flight.patient_id {
            let outcome = Outcome::Review { reason: ReviewReason::LinkUnknown, evidence: Vec::new() };
            self.conclude(key, job, booking.version, outcome, turn);
        } else {
            self.count_attempt(job, turn);
        }
    }
}

/// What `link` changes about what is `known`, if that is worth a report.
fn change(known: &Link, link: &Link) -> Option<LinkChange> {
    if known.healthflow_patient_id != link.healthflow_patient_id {
        return Some(LinkChange::Replaced);
    }
    if known.outranks != link.outranks {
        return Some(LinkChange::Kept);
    }
    let likeness = known.digests.as_ref().zip(link.digests.as_ref()).map(|(one, other)| one.compare(other));
    (likeness == Some(Likeness::Renamed)).then_some(LinkChange::Renamed)
}
