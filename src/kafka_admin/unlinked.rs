//! What was written under a link that a person undoes: the appointments, by the state of their bookings, and what was requested of
//! those still to come. Without this nobody would know which visits are in a stranger's chart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rdkafka::Message;

use crate::kafka::restore::{Raw, Readers, try_decode};
use crate::kafka::settings::KafkaSettings;
use crate::kafka_admin::CommandFault;
use crate::registry::Translator;
use healthflow_core::booking::{BookingKey, BookingStatus, PracticeId, Version};
use healthflow_core::event::key;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::state::{BookingState, ParkingPlace, StateRecord};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{APPOINTMENT_STATE, REQUESTED};

/// One appointment that was written under the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Of which booking.
    pub key: BookingKey,
    /// HealthFlow's id of it.
    pub appointment_id: Arc<str>,
    /// The newest version of the booking.
    pub version: Version,
    /// When the visit begins; none of one that is cancelled.
    pub start: Option<Timestamp>,
    /// Whether the visit is not over yet.
    pub is_to_come: bool,
    /// The generation after which the version may be re-opened; none if it may not.
    pub reopens_after: Option<u32>,
}

/// What exists in HealthFlow for the patient of one booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderLink {
    /// The id of the last decision about the booking that was carried out.
    pub last_decision: Option<Arc<str>>,
    /// What was written for its patient into the chart, in the order of the bookings.
    pub written: Vec<Written>,
}

/// Why there is nothing to undo; one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// The booking has no appointment.
    #[error(
        "no appointment of {0} is known; name a booking of the patient whose appointment is in the chart"
    )]
    NoAppointment(BookingKey),
    /// It is in another chart.
    #[error("the appointment of {0} was written into the chart {1}, not into that one; nothing was written")]
    OtherChart(BookingKey, Arc<str>),
}

/// The newest state of every booking of a practice.
///
/// # Errors
/// A broker or the registry does not answer.
pub fn bookings(
    settings: &KafkaSettings,
    translator: &Translator,
    partition: i32,
    practice: &PracticeId,
) -> Result<BTreeMap<BookingKey, BookingState>, CommandFault> {
    let (readers, cancelled) = (Readers::new(settings)?, AtomicBool::new(false));
    let prefix = key::booking(&BookingKey { practice: practice.clone(), booking: "".into() });
    let is_of_practice = |key: &[u8]| key.starts_with(prefix.as_bytes());
    let newest = readers.newest(APPOINTMENT_STATE, partition, &cancelled, is_of_practice)?;
    let mut bookings = BTreeMap::new();
    for Raw { value, .. } in newest.by_key.into_values() {
        let read = try_decode(translator, &cancelled, || translator.state(APPOINTMENT_STATE, &value))?;
        if let Ok(StateRecord::Booking(key, state)) = read {
            bookings.insert(key, state);
        }
    }
    Ok(bookings)
}

/// What was written into `chart` for the patient of `named`.
///
/// # Errors
/// The appointment of `named` is not there.
pub fn under_link(
    bookings: &BTreeMap<BookingKey, BookingState>,
    named: &BookingKey,
    chart: &str,
    now: Timestamp,
) -> Result<UnderLink, NotWritten> {
    let state = bookings.get(named);
    let placement = state.and_then(|state| state.placement.as_ref());
    let placement = placement.ok_or_else(|| NotWritten::NoAppointment(named.clone()))?;
    if &*placement.patient_id != chart {
        return Err(NotWritten::OtherChart(named.clone(), Arc::clone(&placement.patient_id)));
    }
    let written = bookings.iter().filter_map(|(key, state)| {
        let one = state.placement.as_ref()?;
        let is_under_link = one.patient_id == placement.patient_id && one.patient == placement.patient;
        is_under_link.then(|| Written {
            key: key.clone(),
            appointment_id: Arc::clone(&one.appointment_id),
            version: state.newest,
            start: one.spans.iter().map(|span| span.start).min(),
            is_to_come: one.status == BookingStatus::Scheduled && one.is_to_come(now),
            reopens_after: state
                .parked(state.newest)
                // A newer version that was dead-lettered is not what exists.
                .filter(|parked| parked.place == ParkingPlace::Failed && one.version == Some(state.newest))
                .map(|parked| parked.generation),
        })
    });
    let last_decision = state.and_then(|state| state.last_decision.clone());
    Ok(UnderLink { last_decision, written: written.collect() })
}

/// What was requested of these versions of a practice, as far as `appointments.requested` still has it.
///
/// # Errors
/// A broker or the registry does not answer.
pub fn requested(
    settings: &KafkaSettings,
    translator: &Translator,
    partition: i32,
    wanted: &BTreeMap<BookingKey, Version>,
) -> Result<BTreeMap<BookingKey, AppointmentRequested>, CommandFault> {
    let (readers, cancelled) = (Readers::new(settings)?, AtomicBool::new(false));
    let mut found = BTreeMap::new();
    let Some(practice) = wanted.keys().next().map(|key| key.practice.clone()) else { return Ok(found) };
    readers.each_record(REQUESTED, partition, &cancelled, |message| {
        let (Some(key), Some(value)) = (message.key(), message.payload()) else { return Ok(()) };
        if key != practice.as_str().as_bytes() {
            return Ok(());
        }
        let read = try_decode(translator, &cancelled, || {
            translator.value::<AppointmentRequested>(REQUESTED, value)
        })?;
        let Ok(event) = read else { return Ok(()) };
        let key = BookingKey { practice: event.practice_id.clone(), booking: event.booking_id.clone() };
        if wanted.get(&key).is_some_and(|version| version.cast_signed() == event.version) {
            found.insert(key, event);
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use healthflow_core::appointment::{Placement, Span};
    use healthflow_core::state::Parked;

    const NOW: Timestamp = Timestamp(1_767_600_000_000);

    fn key(booking: &str) -> BookingKey {
        BookingKey { practice: "practice-1".into(), booking: booking.into() }
    }

    fn placed(chart: &str, patient: u32, start: Option<Timestamp>) -> BookingState {
        let spans = start.map(|start| Span { provider_id: "dr-1".into(), start, minutes: 30 });
        let placement = Placement {
            appointment_id: "a-1".into(),
            patient_id: chart.into(),
            patient: Some(patient),
            incarnation: 0,
            version: Some(2),
            status: if start.is_some() { BookingStatus::Scheduled } else { BookingStatus::Cancelled },
            fingerprint: None,
            revision: None,
            spans: spans.into_iter().collect(),
        };
        BookingState { placement: Some(placement), newest: 2, ..BookingState::default() }
    }

    /// Goal: exactly what was written for this patient into this chart is listed. Method: another chart, another patient of the
    /// same chart, one visit that is over, one that is cancelled, one that may be re-opened.
    #[test]
    fn what_was_written_under_a_link_is_listed_and_nothing_else() {
        let (later, earlier) = (NOW.plus_ms(60_000), NOW.plus_ms(-1_800_000));
        let mut again = placed("hf-1", 7, Some(later));
        again.parked.push(Parked { version: 2, place: ParkingPlace::Failed, generation: 3, wish: None });
        // A newer version that a person rejected is not what exists, and must not come back.
        let mut rejected = BookingState { newest: 3, ..placed("hf-1", 7, Some(later)) };
        rejected.parked.push(Parked { version: 3, place: ParkingPlace::Failed, generation: 1, wish: None });
        let bookings = BTreeMap::from([
            (key("rejected since"), rejected),
            (key("again"), again),
            (key("cancelled"), placed("hf-1", 7, None)),
            (key("elsewhere"), placed("hf-2", 7, Some(later))),
            (key("no appointment"), BookingState::default()),
            (key("of another"), placed("hf-1", 8, Some(later))),
            (key("over"), placed("hf-1", 7, Some(earlier))),
        ]);
        let under = under_link(&bookings, &key("over"), "hf-1", NOW).expect("it exists");
        let listed: Vec<_> = under
            .written
            .iter()
            .map(|one| (one.key.booking.as_str(), one.is_to_come, one.reopens_after))
            .collect();
        let expected = [
            ("again", true, Some(3)),
            ("cancelled", false, None),
            ("over", false, None),
            ("rejected since", true, None),
        ];
        assert_eq!(listed, expected);
        let refused = |booking| under_link(&bookings, &key(booking), "hf-1", NOW);
        assert_eq!(refused("elsewhere"), Err(NotWritten::OtherChart(key("elsewhere"), "hf-2".into())));
        for nothing in ["no appointment", "nobody"] {
            assert_eq!(refused(nothing), Err(NotWritten::NoAppointment(key(nothing))));
        }
    }
}
