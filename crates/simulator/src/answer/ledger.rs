//! What the simulator recorded, and an audit of it: the oracle of every demo and torture run. It shares nothing with
//! the processor that it checks.

use std::sync::Arc;

use serde::Serialize;

use super::person::identity;
use super::shapes::{AppointmentRecord, PatientRecord};
use super::store::{Store, Stored};
use healthflow_core::time::Timestamp;
use healthflow_proof::promises::existing::{Appointment, Existing, Patient};

/// One write: when it arrived, what it did and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriteEntry {
    /// Counts from 1.
    pub number: u64,
    /// `create_appointment`, `update_appointment`, `create_patient` or `update_patient`.
    pub operation: &'static str,
    /// When it arrived.
    pub arrived_at_ms: Timestamp,
    /// When an endpoint carried it out or refused it; none if it never reached one.
    pub carried_out_at_ms: Option<Timestamp>,
    /// `nothing`, `created`, `replayed` or `updated`.
    pub effect: &'static str,
    /// What it created, replayed or updated.
    pub id: Option<Arc<str>>,
    /// The status that the caller got; none if the connection ended without an answer.
    pub answered: Option<u16>,
}

/// A record of the ledger: what exists, and its history.
#[derive(Serialize)]
pub struct LedgerRecord<'a, T> {
    /// The record.
    #[serde(flatten)]
    pub record: &'a T,
    /// When it was created.
    pub created_at_ms: Timestamp,
    /// When it was last written.
    pub updated_at_ms: Timestamp,
    /// How many writes changed it, its create included.
    pub writes: u32,
    /// Put there by an operator, not through the API.
    pub seeded: bool,
}

/// Every record that exists in the pretend HealthFlow.
#[derive(Serialize)]
pub struct Ledger<'a> {
    /// Appointments by age.
    pub appointments: Vec<LedgerRecord<'a, AppointmentRecord>>,
    /// Patients by age.
    pub patients: Vec<LedgerRecord<'a, PatientRecord>>,
}

/// What is wrong in the pretend HealthFlow, and its totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Appointments that exist.
    pub appointments: u64,
    /// Of these, cancelled ones.
    pub cancelled: u64,
    /// Patients that exist.
    pub patients: u64,
    /// Of these, added by an operator.
    pub patients_seeded: u64,
    /// Duplicate appointments: of one practice and `external_id`, all but the first.
    pub duplicate_appointments: u64,
    /// Duplicate patients: of one practice and `external_id`, all but the first.
    pub duplicate_patients: u64,
    /// Duplicate charts of one person (practice, names, date of birth, postal code), not counting seeded ones.
    pub duplicate_people: u64,
    /// Appointments whose patient does not exist in the same practice.
    pub orphans: u64,
    /// `practice/external_id` of up to 20 duplicates and orphans, to look into.
    pub examples: Vec<String>,
    /// Requests that arrived.
    pub requests: u64,
    /// Of these, answered 429.
    pub throttled: u64,
    /// The most requests within one second of the clock.
    pub peak_requests_per_second: u64,
    /// Writes that arrived.
    pub writes: u64,
    /// Of these, the ones that got no answer.
    pub writes_unanswered: u64,
    /// Creates that were replayed for a known idempotency key.
    pub replayed: u64,
    /// Writes that were taken and have not landed yet.
    pub pending: u64,
}

const EXAMPLES_MAX: usize = 20;

/// Every record in `store` that exists.
pub(super) fn ledger(store: &Store) -> Ledger<'_> {
    Ledger { appointments: records(&store.appointments.records), patients: records(&store.patients.records) }
}

fn records<T>(stored: &[Stored<T>]) -> Vec<LedgerRecord<'_, T>> {
    let existing = stored.iter().filter(|stored| !stored.is_gone);
    existing
        .map(|stored| LedgerRecord {
            record: &stored.record,
            created_at_ms: stored.created_at,
            updated_at_ms: stored.updated_at,
            writes: stored.writes,
            seeded: stored.is_seeded,
        })
        .collect()
}

/// Counts the records in `store` and what is wrong with them.
pub(super) fn audit(store: &Store) -> Audit {
    let existing = existing(store);
    let (appointments, patients) = (existing.duplicate_appointments(), existing.duplicate_references());
    let mut audit = Audit {
        appointments: existing.appointments.len() as u64,
        patients: existing.patients.len() as u64,
        patients_seeded: existing.patients.iter().filter(|patient| patient.was_there).count() as u64,
        duplicate_appointments: appointments.len() as u64,
        duplicate_patients: patients.len() as u64,
        duplicate_people: existing.duplicate_people().len() as u64,
        ..Audit::default()
    };
    let there = store.appointments.records.iter().filter(|stored| !stored.is_gone);
    audit.cancelled = there.filter(|stored| &*stored.record.body.status == "cancelled").count() as u64;
    appointments.into_iter().chain(patients).for_each(|example| note(&mut audit.examples, example));
    for orphan in existing.orphans() {
        audit.orphans += 1;
        let name = orphan.booking.unwrap_or(orphan.patient);
        note(&mut audit.examples, format!("{}/{name}", orphan.practice));
    }
    audit
}

/// What exists in `store`, as the promises see it.
pub(super) fn existing(store: &Store) -> Existing<'_, &str, String> {
    let appointments = store.appointments.records.iter().filter(|stored| !stored.is_gone);
    let patients = store.patients.records.iter().filter(|stored| !stored.is_gone);
    Existing {
        appointments: appointments
            .map(|stored| Appointment {
                practice: &stored.record.body.practice_id,
                booking: stored.record.body.external_id.as_deref(),
                patient: &*stored.record.body.patient_id,
            })
            .collect(),
        patients: patients
            .map(|stored| Patient {
                practice: &stored.record.body.practice_id,
                id: &*stored.record.id,
                reference: stored.record.body.external_id.as_deref(),
                person: identity(&stored.record.body),
                was_there: stored.is_seeded,
            })
            .collect(),
    }
}

fn note(examples: &mut Vec<String>, example: String) {
    if examples.len() < EXAMPLES_MAX {
        examples.push(example);
    }
}
