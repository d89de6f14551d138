//! Compares the appointments and patients in HealthFlow with the newest versions that were asked for.

use std::collections::{BTreeMap, HashMap, HashSet};

use healthflow_core::booking::{BookingKey, BookingStatus};
use healthflow_core::event::requested::RequestedStatus;
use healthflow_core::time::Timestamp;
use healthflow_proof::promises::existing::{self as promises, Existing};
use healthflow_proof::promises::newest::{Found, is_what_exists, right_chart};

use super::{Audit, Evidence};
use crate::healthflow::{Appointment, Patient};
use crate::journal::Name;
use crate::workload::desk::Ending;
use crate::workload::people::{ChartNumber, Scenario};
use crate::workload::{Expected, Publication};

pub(super) fn audit_records(evidence: &Evidence, audit: &mut Audit) {
    let patients: HashMap<&str, &Patient> =
        evidence.ledger.patients.iter().map(|patient| (&*patient.id, patient)).collect();
    audit_existing(&existing(evidence), audit);
    let mut by_booking: BTreeMap<(&str, &str), Vec<&Appointment>> = BTreeMap::new();
    for appointment in &evidence.ledger.appointments {
        let booking = appointment.external_id.as_deref().unwrap_or_default();
        by_booking.entry((&appointment.practice_id, booking)).or_default().push(appointment);
    }
    let wanted = newest(evidence.publications);
    let results = evidence.notes.results_by_name();
    for (booking, publication) in &wanted {
        // It waits and counts as that; until it has its end, HealthFlow may still show the version before it.
        let results = results.get(&Name::Version(booking.clone(), publication.event.version));
        if !results.is_some_and(|results| results.iter().any(|result| result.is_final)) {
            continue;
        }
        let existing = by_booking.get(&(booking.practice.as_str(), booking.booking.as_str()));
        audit_booking(booking, publication, existing.map(|all| all[0]), &patients, evidence, audit);
    }
    // No appointment may exist of a booking that was never asked for, is held for review, was rejected there, or is invalid.
    for (practice, booking) in by_booking.keys() {
        let key = BookingKey { practice: (*practice).into(), booking: (*booking).into() };
        if !wanted.contains_key(&key) {
            audit.wrong.wrong_content += 1;
            audit.example(format!("{practice}/{booking} exists and must not"));
        }
    }
}

/// What exists, as the promises see it.
fn existing<'a>(evidence: &'a Evidence) -> Existing<'a, &'a str, &'a str> {
    let decided_new: HashSet<(&str, &str)> = evidence
        .publications
        .iter()
        .filter(|one| one.expected == Expected::Review(Ending::New))
        .map(|one| (one.event.practice_id.as_str(), one.event.patient.patient_id.reveal().as_str()))
        .collect();
    let is_new = |one: &Patient| one.of().is_some_and(|id| decided_new.contains(&(&*one.practice_id, id)));
    let appointments = evidence.ledger.appointments.iter().map(|one| promises::Appointment {
        practice: &one.practice_id,
        // Every appointment here was booked: one without a reference is as wrong as a duplicate.
        booking: Some(one.external_id.as_deref().unwrap_or_default()),
        patient: &*one.patient_id,
    });
    let patients = evidence.ledger.patients.iter().map(|one| promises::Patient {
        practice: &one.practice_id,
        id: &*one.id,
        reference: one.of(),
        // No two people of a practice share a birthday in this workload, so that names need not be compared; except a twin, of
        // whom a person decided that HealthFlow did not have them.
        person: if is_new(one) { one.of().unwrap_or_default() } else { &one.date_of_birth },
        was_there: one.seeded,
    });
    Existing { appointments: appointments.collect(), patients: patients.collect() }
}

fn audit_existing(existing: &Existing<&str, &str>, audit: &mut Audit) {
    for orphan in existing.orphans() {
        audit.wrong.orphans += 1;
        audit.example(format!("{:?} exists without its patient {}", orphan.booking, orphan.patient));
    }
    let twice = existing.duplicate_appointments();
    audit.wrong.duplicate_appointments = twice.len();
    twice.into_iter().for_each(|booking| audit.example(format!("{booking} exists once more than it must")));
    // A duplicate chart shows by its person or by its reference, mostly by both.
    let duplicates = existing.duplicate_people().len().max(existing.duplicate_references().len());
    audit.wrong.duplicate_patients = duplicates;
    if duplicates > 0 {
        audit.example(format!("{duplicates} patients exist more than once"));
    }
}

/// Whether a version must end in HealthFlow, unless a newer one does.
fn is_wanted(publication: &Publication) -> bool {
    use Expected::{Review, Synced};
    matches!(publication.expected, Synced | Review(Ending::Linked(_) | Ending::New))
}

/// Of each booking, the newest version that must end well.
fn newest(publications: &[Publication]) -> BTreeMap<BookingKey, &Publication> {
    let mut newest: BTreeMap<BookingKey, &Publication> = BTreeMap::new();
    for publication in publications.iter().filter(|one| is_wanted(one)) {
        let known = newest.entry(publication.booking()).or_insert(publication);
        if known.event.version < publication.event.version {
            *known = publication;
        }
    }
    newest
}

fn audit_booking(
    booking: &BookingKey,
    wanted: &Publication,
    existing: Option<&Appointment>,
    patients: &HashMap<&str, &Patient>,
    evidence: &Evidence,
    audit: &mut Audit,
) {
    let is_cancelled = wanted.event.status == RequestedStatus::Cancelled;
    let Some(existing) = existing else {
        if !is_cancelled {
            audit.wrong.missing += 1;
            audit.example(format!("{booking} is missing"));
        }
        return;
    };
    let visit = &wanted.event.visit;
    let seen = Found {
        is_cancelled: existing.status == "cancelled",
        is_as_wanted: instant(&existing.start) == Some(visit.start)
            && existing.duration_minutes == visit.duration_minutes
            && *existing.provider_id == *visit.provider_id,
    };
    let status = if is_cancelled { BookingStatus::Cancelled } else { BookingStatus::Scheduled };
    let is_content_right = is_what_exists(status, &[seen]);
    let is_patient_right = booked_for(wanted, evidence)
        .is_some_and(|human| right_chart(&chart_of(existing, patients), [human].into_iter()));
    if !is_content_right || !is_patient_right {
        audit.wrong.wrong_content += 1;
        let what = if is_content_right { "for another patient" } else { "with other content" };
        audit.example(format!("{booking} exists {what}"));
    }
}

/// Whose chart it is: of somebody who was there, by its id, or of somebody who was created, by DentScheduler's
/// reference.
#[derive(Debug, PartialEq)]
enum Human<'a> {
    WasThere(&'a str),
    Created(Option<&'a str>),
}

fn chart_of<'a>(existing: &'a Appointment, patients: &HashMap<&str, &'a Patient>) -> Human<'a> {
    match patients.get(&*existing.patient_id) {
        Some(patient) if !patient.seeded => Human::Created(patient.of()),
        _ => Human::WasThere(&existing.patient_id),
    }
}

fn booked_for<'a>(wanted: &'a Publication, evidence: &'a Evidence) -> Option<Human<'a>> {
    let was_there = |chart: ChartNumber| evidence.chart_ids.get(chart).map(|id| Human::WasThere(id));
    let created = Human::Created(Some(wanted.event.patient.patient_id.reveal().as_str()));
    match (wanted.expected, wanted.scenario) {
        (Expected::Review(Ending::Linked(chart)), _) => was_there(chart),
        (Expected::Review(Ending::New), _) | (_, Scenario::New) => Some(created),
        (_, Scenario::Known(chart) | Scenario::Found(chart)) => was_there(chart),
        (_, Scenario::Ambiguous) => None,
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|instant| Timestamp(instant.as_millisecond()))
}
