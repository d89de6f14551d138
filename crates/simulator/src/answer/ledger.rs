//! What the simulator recorded, and an audit of it: the oracle of every demo and torture run. It shares nothing with the
//! processor that it judges.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::person::identity;
use super::shapes::{AppointmentRecord, PatientRecord};
use super::store::{Store, Stored};
use healthflow_core::time::Timestamp;

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

/// Counts what exists in `store` and what is wrong with it.
pub(super) fn audit(store: &Store) -> Audit {
    let mut audit = Audit::default();
    audit_appointments(store, &mut audit);
    audit_patients(store, &mut audit);
    audit
}

fn audit_appointments(store: &Store, audit: &mut Audit) {
    let mut seen: HashMap<(&str, &str), u64> = HashMap::new();
    for stored in store.appointments.records.iter().filter(|stored| !stored.is_gone) {
        let body = &stored.record.body;
        let reference = body.external_id.as_deref();
        let example = || format!("{}/{}", body.practice_id, reference.unwrap_or(&stored.record.id));
        audit.appointments += 1;
        audit.cancelled += u64::from(&*body.status == "cancelled");
        if let Some(reference) = reference {
            let copies = seen.entry((&body.practice_id, reference)).or_default();
            *copies += 1;
            if *copies > 1 {
                audit.duplicate_appointments += 1;
                note(&mut audit.examples, example());
            }
        }
        let patient = store.patients.get(&body.patient_id);
        if patient.is_none_or(|patient| patient.record.body.practice_id != body.practice_id) {
            audit.orphans += 1;
            note(&mut audit.examples, example());
        }
    }
}

fn audit_patients(store: &Store, audit: &mut Audit) {
    let mut references: HashMap<(&str, &str), u64> = HashMap::new();
    let mut people: HashMap<String, (bool, u64)> = HashMap::new();
    for stored in store.patients.records.iter().filter(|stored| !stored.is_gone) {
        let body = &stored.record.body;
        audit.patients += 1;
        audit.patients_seeded += u64::from(stored.is_seeded);
        if let Some(reference) = body.external_id.as_deref() {
            let copies = references.entry((&body.practice_id, reference)).or_default();
            *copies += 1;
            if *copies > 1 {
                audit.duplicate_patients += 1;
                note(&mut audit.examples, format!("{}/{reference}", body.practice_id));
            }
        }
        let (has_seed, created) = people.entry(identity(body)).or_default();
        *has_seed |= stored.is_seeded;
        *created += u64::from(!stored.is_seeded);
    }
    let extra = people.values().map(|(has_seed, created)| created.saturating_sub(u64::from(!has_seed)));
    audit.duplicate_people = extra.sum();
}

fn note(examples: &mut Vec<String>, example: String) {
    if examples.len() < EXAMPLES_MAX {
        examples.push(example);
    }
}
