//! Joins what two tasks know of one booking or patient (rule K8). That happens only if partitions were added before the fleet
//! was on record: the new task met the practice without its state. Nothing is dropped silently: what does not fit is
//! reported, because a person has to check it.

use std::sync::Arc;

use crate::state::{ANSWERED_BYTES_MAX, BookingState, PatientState, VersionSet};

/// What one of two tasks did in HealthFlow and no task tracks any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOver {
    /// HealthFlow's id of another appointment that exists.
    pub appointment_id: Option<Arc<str>>,
    /// Whether a write with unknown outcome may have been sent.
    pub write_in_doubt: bool,
    /// Whether the patient has another chart.
    pub chart: bool,
}

impl LeftOver {
    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        *self == LeftOver::default()
    }
}

impl BookingState {
    /// Joins what this task knows, where the booking's records arrive now, with what `other` knew. The appointment of the
    /// newer version counts; of equals, this one's.
    pub fn join(self, other: BookingState) -> (BookingState, LeftOver) {
        let (mut base, mut older) = if other.newest > self.newest { (other, self) } else { (self, other) };
        if base.placement.is_none() && base.intent.is_none() {
            (base.placement, base.intent) = (older.placement.take(), older.intent.take());
        }
        let placed =
            |state: &BookingState| state.placement.as_ref().map(|placed| placed.appointment_id.clone());
        let left_over = LeftOver {
            appointment_id: placed(&older).filter(|id| Some(id) != placed(&base).as_ref()),
            write_in_doubt: older.intent.is_some(),
            chart: false,
        };
        for parked in older.parked {
            if base.parked(parked.version).is_none() && !base.answered.contains(parked.version) {
                base.parked.push(parked);
            }
        }
        base.answered = union(&base.answered, &older.answered);
        base.newest = base.newest.max(older.newest);
        base.incarnation = base.incarnation.max(older.incarnation);
        base.last_day = base.last_day.max(older.last_day);
        base.last_write_at = None;
        (base, left_over)
    }
}

fn union(one: &VersionSet, other: &VersionSet) -> VersionSet {
    one.joined(other, ANSWERED_BYTES_MAX)
}

impl PatientState {
    /// Joins what this task knows, where the patient's bookings arrive now, with what `other` knew.
    pub fn join(self, other: PatientState) -> (PatientState, LeftOver) {
        let differs = |one: &Option<_>, two: &Option<_>| one.is_some() && two.is_some() && one != two;
        let id = |state: &PatientState| state.link.as_ref().map(|link| link.healthflow_patient_id.clone());
        let left_over = LeftOver {
            appointment_id: None,
            write_in_doubt: self.intent.is_some() && other.intent.is_some()
                || self.link.is_some() && other.intent.is_some(),
            chart: differs(&id(&self), &id(&other)),
        };
        let intent = match self.link {
            Some(_) => self.intent,
            None => self.intent.or(other.intent),
        };
        let joined = PatientState {
            link: self.link.or(other.link),
            incarnation: self.incarnation.max(other.incarnation),
            intent,
            held_by: self.held_by.or(other.held_by),
            unverified_creation: self.unverified_creation.or(other.unverified_creation),
            is_new: self.is_new && other.is_new,
            rejected: [self.rejected, other.rejected].concat(),
            last_write_at: None,
            ..self
        };
        (joined, left_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appointment::Placement;
    use crate::booking::{BookingStatus, Version};
    use crate::patient::Link;
    use crate::patient::{HealthFlowPatientId, LinkOrigin};
    use crate::state::{Parked, ParkingPlace, WriteIntent, WriteOperation};
    use crate::time::Timestamp;

    fn placed(appointment: &str, version: Version) -> BookingState {
        BookingState {
            placement: Some(Placement {
                appointment_id: appointment.into(),
                patient_id: "hf-p".into(),
                patient: None,
                incarnation: 0,
                version: Some(version),
                status: BookingStatus::Scheduled,
                fingerprint: None,
                revision: None,
                spans: Vec::new(),
            }),
            answered: VersionSet::new(0, vec![version]),
            newest: version,
            ..BookingState::default()
        }
    }

    fn intent() -> Option<Box<WriteIntent>> {
        let since = Timestamp(1);
        let operation = WriteOperation::Create;
        Some(Box::new(WriteIntent {
            operation,
            incarnation: 0,
            first_version: 1,
            since,
            slot: None,
            if_match: None,
            asked: Vec::new(),
        }))
    }

    /// Goal: neither is forgotten after a task created version 2 again because it did not know version 1.
    #[test]
    fn the_newer_versions_appointment_counts_and_the_other_one_is_named() {
        for (here, there) in [(placed("b", 2), placed("a", 1)), (placed("a", 1), placed("b", 2))] {
            let (joined, left_over) = here.join(there);
            assert_eq!(joined.placed_ids().appointment_id.as_deref(), Some("b"));
            assert_eq!(left_over.appointment_id.as_deref(), Some("a"));
            assert!(
                joined.answered.contains(1) && joined.answered.contains(2) && !joined.answered.contains(3)
            );
            assert_eq!(joined.newest, 2);
        }
        let (_, left_over) = placed("a", 2).join(placed("a", 1));
        assert!(left_over.is_nothing(), "it is one appointment");
    }

    #[test]
    fn an_open_write_is_kept_or_told() {
        let here = BookingState { newest: 2, ..BookingState::default() };
        let (joined, left_over) = here.join(BookingState { intent: intent(), ..placed("a", 1) });
        assert!(joined.intent.is_some() && joined.placement.is_some() && left_over.is_nothing());
        let (joined, left_over) =
            placed("b", 2).join(BookingState { intent: intent(), ..BookingState::default() });
        assert!(joined.intent.is_none() && left_over.write_in_doubt);
    }

    #[test]
    fn what_waits_goes_on_waiting_unless_it_is_answered() {
        let waits = |version| Parked { version, place: ParkingPlace::Retry, generation: 1, wish: None };
        let there = BookingState { parked: vec![waits(1), waits(2)], newest: 1, ..BookingState::default() };
        let (joined, _) = placed("b", 2).join(there);
        assert_eq!(joined.parked, [waits(1)]);
    }

    #[test]
    fn two_charts_of_a_patient_are_told() {
        let linked = |id: &str| PatientState {
            link: Some(Link {
                healthflow_patient_id: HealthFlowPatientId(id.into()),
                origin: LinkOrigin::Created,
                digests: None,
                outranks: None,
                decided: None,
            }),
            ..PatientState::default()
        };
        assert!(linked("a").join(linked("b")).1.chart);
        assert!(linked("a").join(linked("a")).1.is_nothing());
        let (joined, left_over) = PatientState::default().join(linked("a"));
        assert!(joined.link.is_some() && left_over.is_nothing());
    }
}
