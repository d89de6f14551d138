//! What must hold in every state, and what a good end is: the promises that all share (`healthflow-proof`), asked of what a
//! small world knows. Shares nothing with the processor.

use std::collections::BTreeMap;

use healthflow_core::booking::{Booking, BookingKey, BookingStatus, Version, VersionKey};
use healthflow_core::healthflow::Request;
use healthflow_core::patient::Person;
use healthflow_core::settings::Settings;
use healthflow_core::state::{BookingState, Hold, ParkingPlace};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::promises::existing::{Appointment, Existing, Patient};
use healthflow_proof::promises::newest::Found;
use healthflow_proof::promises::sending::Same;
use healthflow_proof::promises::{committed_offsets, newest, results, sending};

use crate::healthflow::{Entry, HealthFlow};
use crate::kafka::Kafka;

/// The versions of a booking that ask for exactly what `request` writes.
fn same_as(request: &Request, records: &[Booking]) -> Same {
    let (Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. }) = request
    else {
        return None;
    };
    let asks = |record: &&Booking| {
        record.key.booking == content.booking
            && record.status == content.status
            && record.visit == content.visit
    };
    sending::same(records.iter().filter(asks).map(|record| record.version))
}

/// What must hold when a write goes out; `epoch` is its owner's.
pub fn send(
    kafka: &Kafka,
    newest_sent: &mut BTreeMap<BookingKey, Version>,
    (request, epoch): (&Request, Option<u64>),
    (settings, records): (&Settings, &[Booking]),
    now: i64,
) -> Option<String> {
    let same = same_as(request, records);
    let intent = sending::intent_first(&kafka.state, request, settings.guard, same);
    let intent = intent.map(|what| format!("intent first: {what}"));
    let fenced_at = epoch.and_then(|epoch| kafka.fences.get(epoch as usize)).copied();
    let late = sending::lease(fenced_at, epoch.unwrap_or(0), settings.lease_ms, Timestamp(now));
    let late = late.map(|what| format!("lease: {what}"));
    let back = sending::no_step_back(newest_sent, request, settings.guard, same);
    intent.or(late).or(back.map(|what| format!("no step back: {what}")))
}

/// Promises 2 and 3, at any moment: nobody and nothing stands there twice, nothing stands without its patient.
pub fn existing(healthflow: &HealthFlow) -> Option<String> {
    let practice = "the only one";
    let entries = healthflow.entries.iter().filter(|entry| !entry.is_gone);
    let appointments = entries.map(|entry| Appointment {
        practice,
        booking: Some(entry.content.booking.as_str()),
        patient: healthflow.chart_number(entry.content.patient.as_str()),
    });
    let charts = healthflow.charts.iter().enumerate().filter(|(_, chart)| !chart.is_gone);
    let patients = charts.map(|(number, chart)| Patient {
        practice,
        id: Some(number),
        reference: None,
        person: &chart.person,
        was_there: false,
    });
    let existing = Existing { appointments: appointments.collect(), patients: patients.collect() };
    if let Some(what) = existing.duplicate_appointments().first() {
        return Some(format!("no duplicate: {what} stands twice"));
    }
    if !existing.duplicate_people().is_empty() {
        return Some("no duplicate: a person has two charts".to_owned());
    }
    let orphan = existing.orphans().next().filter(|_| !healthflow.somebody_intervened)?;
    Some(format!("no orphan: {:?} stands without its patient", orphan.booking))
}

/// Promise 3, at any moment: every appointment stands in the chart of the person it was booked for.
pub fn right_chart(healthflow: &HealthFlow, records: &[Booking]) -> Option<String> {
    healthflow.entries.iter().filter(|entry| !entry.is_gone).find_map(|entry| {
        let chart = healthflow.chart(entry.content.patient.as_str())?;
        let booked = records.iter().filter(|record| record.key.booking == entry.content.booking);
        let fits = newest::right_chart(&chart.person, booked.map(|record| Person::from(&record.patient)));
        (!fits).then(|| format!("right chart: {} stands in somebody else's", entry.content.booking))
    })
}

/// Rules K3, K4: no offset is committed past a record that is neither answered nor parked where state says.
pub fn committed_offsets(kafka: &Kafka, before: &BTreeMap<Lane, i64>, records: &[Booking]) -> Option<String> {
    Lane::ALL.into_iter().find_map(|lane| {
        let (from, to) = (before.get(&lane).copied().unwrap_or(0), kafka.committed(lane));
        let passed = (from..to).map(|offset| {
            if lane == Lane::Decisions {
                return (offset, passed_over(kafka, offset));
            }
            let (booking, generation) = match lane {
                Lane::Requested => (&records[offset as usize], None),
                Lane::Retry => {
                    let entry = &kafka.retry[offset as usize];
                    (&*entry.booking, Some(entry.generation))
                }
                Lane::Decisions => unreachable!("it is judged above"),
            };
            (offset, committed_offsets::left_behind(&kafka.state, &booking.version_key(), generation))
        });
        let broken = committed_offsets::committed_offsets(lane, (from, to), passed).into_iter().next();
        broken.map(|what| format!("committed offsets: {what}"))
    })
}

/// Rule K14: a decision is passed once its question is decided.
fn passed_over(kafka: &Kafka, offset: i64) -> Option<String> {
    let decision = &kafka.decisions[offset as usize];
    let state = kafka.state.bookings.get(&decision.key)?;
    let parked = state.parked(decision.version)?;
    let is_open = state.hold(decision.version) == Some(Hold::Question);
    (is_open && parked.generation == decision.generation).then(|| format!("{} is passed over", decision.id))
}

/// Whether all is done: every version answered, no write open or on its way, everything read. Where people decide, nothing is
/// held either.
pub fn is_done(kafka: &Kafka, healthflow: &HealthFlow, records: &[Booking], is_decided: bool) -> bool {
    kafka.published == records.len()
        && healthflow.late.is_empty()
        && Lane::ALL.iter().all(|lane| kafka.committed(*lane) == kafka.end(*lane))
        && lost(kafka, records).next().is_none()
        && (!is_decided || kafka.state.held.is_empty())
        && kafka.state.bookings.iter().all(|(_, state)| state.intent.is_none() && !is_waited_for(&state))
        && kafka.state.patients.iter().all(|(_, state)| state.intent.is_none())
}

/// Promise 1: the versions that have no result and wait for nobody.
fn lost(kafka: &Kafka, records: &[Booking]) -> impl Iterator<Item = VersionKey> {
    let versions = records.iter().map(Booking::version_key);
    let has_result = |version: &_| kafka.verdicts.contains_key(version);
    results::lost(versions, has_result, |version| kafka.in_review.contains(version))
}

/// Promise 5, once all is done: what stands is the newest version that ended well.
pub fn newest_wins(kafka: &Kafka, healthflow: &HealthFlow, records: &[Booking]) -> Option<String> {
    if healthflow.somebody_intervened {
        return None;
    }
    let mut keys: Vec<&BookingKey> = records.iter().map(|record| &record.key).collect();
    keys.dedup();
    keys.into_iter().find_map(|key| {
        let results = kafka.verdicts.iter().filter(|(of, _)| of.booking == *key);
        let results = results.map(|(of, verdict)| (of.version, *verdict));
        let entries = healthflow.entries.iter();
        let of_booking = entries.filter(|entry| !entry.is_gone && entry.content.booking == key.booking);
        let stands: Vec<&Entry> = of_booking.collect();
        let wins = newest::newest_version_wins(results, stands.is_empty(), |version| {
            let mut wanted = records.iter().filter(|one| one.key == *key && one.version == version);
            wanted.any(|wanted| is_what_exists(wanted, &stands))
        });
        (!wins).then(|| format!("newest wins: {key}: {stands:?} stands, of {:?}", kafka.verdicts))
    })
}

/// Rule K11, once all is done: after legal steps nobody found a slot taken.
pub fn slots(kafka: &Kafka, is_legal: bool) -> Option<String> {
    let mut lost = results::slots_lost(kafka.verdicts.iter().map(|(name, verdict)| (name, *verdict)));
    let version = lost.next().filter(|_| is_legal)?;
    Some(format!("slots: {version} found its slot taken"))
}

fn is_what_exists(wanted: &Booking, stands: &[&Entry]) -> bool {
    let stands = stands.iter().map(|entry| Found {
        is_cancelled: entry.content.status == BookingStatus::Cancelled,
        is_as_wanted: entry.content.visit == wanted.visit,
    });
    newest::is_what_exists(wanted.status, &stands.collect::<Vec<_>>())
}

fn is_waited_for(state: &BookingState) -> bool {
    state.parked.iter().any(|parked| parked.place == ParkingPlace::Retry)
}
