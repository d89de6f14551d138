//! What stands in HealthFlow's books against the newest versions of what was asked.

use std::collections::{BTreeMap, HashMap};

use healthflow_core::booking::BookingKey;
use healthflow_core::event::requested::RequestedStatus;
use healthflow_core::time::Timestamp;

use super::{Audit, Evidence};
use crate::desk::Name;
use crate::healthflow::{Appointment, Patient};
use crate::morning::people::Scenario;
use crate::morning::{Fate, Publication};

pub(super) fn audit_books(evidence: &Evidence, audit: &mut Audit) {
    let patients: HashMap<&str, &Patient> =
        evidence.ledger.patients.iter().map(|patient| (&*patient.id, patient)).collect();
    audit_patients(&evidence.ledger.patients, audit);
    let mut standing: BTreeMap<(&str, &str), Vec<&Appointment>> = BTreeMap::new();
    for appointment in &evidence.ledger.appointments {
        let patient = patients.get(&*appointment.patient_id);
        if patient.is_none_or(|patient| patient.practice_id != appointment.practice_id) {
            audit.wrong.orphans += 1;
            audit.example(format!("appointment {} stands without its patient", appointment.id));
        }
        let booking = appointment.external_id.as_deref().unwrap_or_default();
        standing.entry((&appointment.practice_id, booking)).or_default().push(appointment);
    }
    for ((practice, booking), appointments) in &standing {
        if appointments.len() > 1 {
            audit.wrong.duplicate_appointments += appointments.len() - 1;
            audit.example(format!("{practice}/{booking} stands {} times", appointments.len()));
        }
    }
    let mut wanted = newest(evidence.publications);
    let answered = evidence.notes.told_by_name();
    for (booking, publication) in &wanted {
        // It waits and counts as that; until it has a result, HealthFlow may still show the version before it.
        if !answered.contains_key(&Name::Version(booking.clone(), publication.event.version)) {
            continue;
        }
        let stands = standing.get(&(booking.practice.as_str(), booking.booking.as_str()));
        audit_booking(booking, publication, stands.map(|all| all[0]), &patients, evidence, audit);
    }
    // Nothing may stand for a booking that was never asked for, is held, or could not be true.
    wanted.retain(|_, publication| publication.fate == Fate::Synced);
    for (practice, booking) in standing.keys() {
        let key = BookingKey { practice: (*practice).into(), booking: (*booking).into() };
        if !wanted.contains_key(&key) {
            audit.wrong.wrong_content += 1;
            audit.example(format!("{practice}/{booking} stands and must not"));
        }
    }
}

/// Charts too many of one person: more than one created, or one created beside one that was there.
fn audit_patients(patients: &[Patient], audit: &mut Audit) {
    let mut people: HashMap<String, (bool, usize)> = HashMap::new();
    let mut references: HashMap<(&str, &str), usize> = HashMap::new();
    for patient in patients {
        // Nobody in a practice shares a birthday in this morning, so that names need not be compared.
        let person = format!("{}/{}", patient.practice_id, patient.date_of_birth);
        let (was_there, created) = people.entry(person).or_default();
        *was_there |= patient.seeded;
        *created += usize::from(!patient.seeded);
        if let Some(reference) = &patient.external_id {
            *references.entry((&patient.practice_id, reference)).or_default() += 1;
        }
    }
    let of_people: usize =
        people.values().map(|(was_there, created)| created.saturating_sub(usize::from(!was_there))).sum();
    let of_references: usize = references.values().map(|count| count - 1).sum();
    audit.wrong.duplicate_patients = of_people.max(of_references);
    if audit.wrong.duplicate_patients > 0 {
        audit.example(format!("{} patients stand more than once", audit.wrong.duplicate_patients));
    }
}

/// Of each booking, the newest version that must come to a good end.
fn newest(publications: &[Publication]) -> BTreeMap<BookingKey, &Publication> {
    let mut newest: BTreeMap<BookingKey, &Publication> = BTreeMap::new();
    for publication in publications.iter().filter(|publication| publication.fate == Fate::Synced) {
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
    stands: Option<&Appointment>,
    patients: &HashMap<&str, &Patient>,
    evidence: &Evidence,
    audit: &mut Audit,
) {
    let is_cancelled = wanted.event.status == RequestedStatus::Cancelled;
    let Some(stands) = stands else {
        if !is_cancelled {
            audit.wrong.missing += 1;
            audit.example(format!("{booking} is missing"));
        }
        return;
    };
    let status = if is_cancelled { "cancelled" } else { "scheduled" };
    let visit = &wanted.event.visit;
    // What a cancelled visit says of its time does not matter.
    let is_content_right = stands.status == status
        && (is_cancelled
            || (instant(&stands.start) == Some(visit.start)
                && stands.duration_minutes == visit.duration_minutes
                && *stands.provider_id == *visit.provider_id));
    let is_patient_right = match wanted.scenario {
        Scenario::Known(chart) | Scenario::Found(chart) => {
            evidence.chart_ids.get(chart).is_some_and(|id| *id == stands.patient_id)
        }
        Scenario::New => patients.get(&*stands.patient_id).is_some_and(|patient| {
            patient.external_id.as_deref() == Some(wanted.event.patient.patient_id.reveal().as_str())
        }),
        Scenario::Ambiguous => false,
    };
    if !is_content_right || !is_patient_right {
        audit.wrong.wrong_content += 1;
        let what = if is_content_right { "for another patient" } else { "with other content" };
        audit.example(format!("{booking} stands {what}"));
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|instant| Timestamp(instant.as_millisecond()))
}
