//! What must hold in every state, and what a good end is. Shares nothing with the processor.

use std::collections::BTreeMap;

use healthflow_core::booking::{Booking, BookingKey, BookingStatus, PatientKey, Version};
use healthflow_core::healthflow::{AppointmentContent, Request};
use healthflow_core::patient::Person;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{BookingState, ParkingPlace};
use healthflow_core::sync::{Reason, SyncedOutcome};
use healthflow_core::topics::Lane;

use crate::healthflow::{Entry, HealthFlow};
use crate::kafka::Kafka;

/// The versions of a booking that ask for exactly this, ascending.
fn versions_of(content: &AppointmentContent, records: &[Booking]) -> impl Iterator<Item = Version> {
    let asks = |record: &&Booking| {
        record.key.booking == content.booking
            && record.status == content.status
            && record.visit == content.visit
    };
    records.iter().filter(asks).map(|record| record.version)
}

/// Rule W1: what is wrong with sending `request` while `kafka` is what stands. Where repeating is safe, a new owner may
/// have closed the intent of one that does not know yet that it lost the task; the newest intended version never falls.
pub fn intent_first(
    kafka: &Kafka,
    request: &Request,
    guard: GuardMode,
    records: &[Booking],
) -> Option<String> {
    // An update that names a revision may be repeated wherever HealthFlow offers versions.
    let names_revision = matches!(request, Request::UpdateAppointment { if_match: Some(_), .. });
    let must_be_open = matches!(guard, GuardMode::Reference | GuardMode::Search) && !names_revision;
    match request {
        Request::CreatePatient { content, .. } => {
            let key = PatientKey { practice: content.practice.clone(), patient: content.patient.id.clone() };
            let intended = kafka.state.patients.get(&key).is_some_and(|patient| patient.intent.is_some());
            (must_be_open && !intended).then(|| "intent first: creates a patient without one".to_owned())
        }
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            let key = BookingKey { practice: content.practice.clone(), booking: content.booking.clone() };
            let known = kafka.state.bookings.get(&key);
            if must_be_open && known.as_ref().is_none_or(|booking| booking.intent.is_none()) {
                return Some(format!("intent first: writes {key} without one"));
            }
            let newest = known.map_or(0, |booking| booking.newest);
            let version = versions_of(content, records).min().unwrap_or(0);
            (version > newest)
                .then(|| format!("intent first: writes {key} v{version}, but only v{newest} is intended"))
        }
        _ => None,
    }
}

/// Rule W2: whoever was fenced sends no write once his lease is over.
pub fn lease(kafka: &Kafka, epoch: u64, lease_ms: i64, now: i64) -> Option<String> {
    let late_ms = now - kafka.fences.get(epoch as usize)?.0 - lease_ms;
    (late_ms > 0)
        .then(|| format!("lease: sends a write {late_ms} ms after the lease of epoch {epoch} was over"))
}

/// Rule K5: no older version of a booking is sent after a newer one. Creates under a key and updates of a
/// revision are left out: HealthFlow refuses or replays the second one, whoever sends it.
pub fn no_step_back(
    newest_sent: &mut BTreeMap<BookingKey, Version>,
    request: &Request,
    guard: GuardMode,
    records: &[Booking],
) -> Option<String> {
    let content = match request {
        Request::UpdateAppointment { content, if_match: None, .. } => content,
        Request::CreateAppointment { content, .. }
            if matches!(guard, GuardMode::Reference | GuardMode::Search) =>
        {
            content
        }
        _ => return None,
    };
    let (least, most) = (versions_of(content, records).min()?, versions_of(content, records).max()?);
    let key = BookingKey { practice: content.practice.clone(), booking: content.booking.clone() };
    let newest = newest_sent.entry(key.clone()).or_default();
    let broken = most < *newest;
    let text = broken.then(|| format!("no step back: {key} v{most} is sent after v{newest}"));
    *newest = least.max(*newest);
    text
}

/// Promises 2 and 3, at any moment: nobody and nothing stands there twice, nothing stands without its patient.
pub fn standing(healthflow: &HealthFlow) -> Option<String> {
    let entries: Vec<&Entry> = healthflow.entries.iter().filter(|entry| !entry.is_gone).collect();
    for (index, entry) in entries.iter().enumerate() {
        let booking = &entry.content.booking;
        if entries[..index].iter().any(|other| other.content.booking == *booking) {
            return Some(format!("no duplicate: {booking} stands twice"));
        }
        if !healthflow.stands(entry.content.patient.as_str()) && !healthflow.somebody_intervened {
            return Some(format!("no orphan: {booking} stands without its patient"));
        }
    }
    let charts: Vec<_> = healthflow.charts.iter().filter(|chart| !chart.is_gone).collect();
    for (index, chart) in charts.iter().enumerate() {
        if charts[..index].iter().any(|other| other.person == chart.person) {
            return Some("no duplicate: a person has two charts".to_owned());
        }
    }
    None
}

/// Promise 3, at any moment: every appointment stands in the chart of the person it was booked for.
pub fn right_chart(healthflow: &HealthFlow, records: &[Booking]) -> Option<String> {
    healthflow.entries.iter().filter(|entry| !entry.is_gone).find_map(|entry| {
        let chart = healthflow.chart(entry.content.patient.as_str())?;
        let mut booked = records.iter().filter(|record| record.key.booking == entry.content.booking);
        let fits = booked.any(|record| Person::from(&record.patient) == chart.person);
        (!fits).then(|| format!("right chart: {} stands in somebody else's", entry.content.booking))
    })
}

/// Rules K3, K4: no offset is committed past a record that is neither answered nor parked where state says.
pub fn watermark(kafka: &Kafka, before: &BTreeMap<Lane, i64>, records: &[Booking]) -> Option<String> {
    for lane in Lane::ALL {
        let (from, to) = (before.get(&lane).copied().unwrap_or(0), kafka.committed(lane));
        if to < from {
            return Some(format!("watermark: the offset of {lane:?} went back from {from} to {to}"));
        }
        for offset in from..to {
            let (booking, generation) = match lane {
                Lane::Requested => (&records[offset as usize], None),
                Lane::Retry => {
                    let entry = &kafka.retry[offset as usize];
                    (&*entry.booking, Some(entry.generation))
                }
            };
            if let Some(what) = left_behind(kafka, booking, generation) {
                return Some(format!(
                    "watermark: {lane:?}@{offset} {what}, and the watermark {to} passed it"
                ));
            }
        }
    }
    None
}

fn left_behind(kafka: &Kafka, booking: &Booking, generation: Option<u32>) -> Option<String> {
    let text = format!("{} v{}", booking.key, booking.version);
    let Some(state) = kafka.state.bookings.get(&booking.key) else {
        return Some(format!("{text} is unknown"));
    };
    if state.is_answered(booking.version) {
        return None;
    }
    let Some(parked) = state.parked(booking.version) else {
        return Some(format!("{text} is neither answered nor parked"));
    };
    let is_the_valid_one = parked.place == ParkingPlace::Retry && generation == Some(parked.generation);
    is_the_valid_one.then(|| format!("{text} is the valid parked record"))
}

/// Whether all is done: every version answered, no write open or on its way, everything read.
pub fn is_done(kafka: &Kafka, healthflow: &HealthFlow, records: &[Booking]) -> bool {
    kafka.published == records.len()
        && healthflow.late.is_empty()
        && Lane::ALL.iter().all(|lane| kafka.committed(*lane) == kafka.end(*lane))
        && records
            .iter()
            .map(|one| (one.key.clone(), one.version))
            .all(|version| kafka.verdicts.contains_key(&version) || kafka.in_review.contains(&version))
        && kafka.state.bookings.iter().all(|(_, state)| state.intent.is_none() && !is_waited_for(&state))
        && kafka.state.patients.iter().all(|(_, state)| state.intent.is_none())
}

/// Promise 5, once all is done: what stands is the newest version that ended well. Where newer ones failed, those or the
/// ones they superseded may have been carried out before, their answers lost.
pub fn newest_wins(kafka: &Kafka, healthflow: &HealthFlow, records: &[Booking]) -> Option<String> {
    if healthflow.somebody_intervened {
        return None;
    }
    let mut keys: Vec<&BookingKey> = records.iter().map(|record| &record.key).collect();
    keys.dedup();
    for key in keys {
        let verdicts = kafka.verdicts.iter().filter(|((of, _), _)| of == key);
        let verdicts: Vec<(Version, _)> =
            verdicts.map(|((_, version), verdict)| (*version, *verdict)).collect();
        let well = |verdict: &crate::kafka::Verdict| verdict.is_ok_and(|o| o != SyncedOutcome::Superseded);
        let newest = verdicts.iter().filter(|(_, verdict)| well(verdict)).map(|(version, _)| *version).max();
        let failed =
            verdicts.iter().filter(|(_, verdict)| verdict.is_err()).map(|(version, _)| *version).max();
        let stands: Vec<&Entry> = healthflow
            .entries
            .iter()
            .filter(|entry| !entry.is_gone && entry.content.booking == key.booking)
            .collect();
        let least = newest.unwrap_or(0);
        let mut may_stand = records.iter().filter(|record| {
            record.key == *key && record.version >= least && record.version <= failed.unwrap_or(0).max(least)
        });
        let fits = (newest.is_none() && stands.is_empty())
            || may_stand.any(|record| is_what_stands(record, &stands));
        if !fits {
            return Some(format!("newest wins: {key}: v{newest:?} ended well last, but {stands:?} stands"));
        }
    }
    None
}

/// Rule K11, once all is done: after legal steps nobody found a slot taken.
pub fn slots(kafka: &Kafka, is_legal: bool) -> Option<String> {
    let mut taken = kafka.verdicts.iter().filter(|(_, verdict)| **verdict == Err(Reason::SlotTaken));
    let ((key, version), _) = taken.next().filter(|_| is_legal)?;
    Some(format!("slots: {key} v{version} found its slot taken"))
}

fn is_what_stands(wanted: &Booking, stands: &[&Entry]) -> bool {
    match (wanted.status, stands) {
        (BookingStatus::Cancelled, []) => true,
        (BookingStatus::Cancelled, [entry]) => entry.content.status == BookingStatus::Cancelled,
        (BookingStatus::Scheduled, [entry]) => {
            entry.content.status == BookingStatus::Scheduled && entry.content.visit == wanted.visit
        }
        _ => false,
    }
}

fn is_waited_for(state: &BookingState) -> bool {
    state.parked.iter().any(|parked| parked.place == ParkingPlace::Retry)
}
