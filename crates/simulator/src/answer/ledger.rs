//! What the simulator noted and what an audit makes of it: the oracle of every demo and torture run. It shares nothing
//! with the processor it judges.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::book::{Book, Stored};
use super::person::identity;
use super::shapes::{AppointmentRecord, PatientRecord};
use healthflow_core::time::Timestamp;

/// One write as it came, what it did and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriteEntry {
    /// Counts from 1.
    pub number: u64,
    /// `create_appointment`, `update_appointment`, `create_patient` or `update_patient`.
    pub operation: &'static str,
    /// When it came.
    pub arrived_at_ms: Timestamp,
    /// When it was carried out or refused by an endpoint; none where it never got there.
    pub carried_out_at_ms: Option<Timestamp>,
    /// `nothing`, `created`, `replayed` or `updated`.
    pub effect: &'static str,
    /// What it created, replayed or updated.
    pub id: Option<Arc<str>>,
    /// The status that the caller got; none where the connection ended without an answer.
    pub answered: Option<u16>,
}

/// A record of the ledger: what stands, and its history.
#[derive(Serialize)]
pub struct LedgerRecord<'a, T> {
    /// What stands.
    #[serde(flatten)]
    pub record: &'a T,
    /// When it was created.
    pub created_at_ms: Timestamp,
    /// When it was last written.
    pub updated_at_ms: Timestamp,
    /// How many writes it took, its create included.
    pub writes: u32,
    /// Put there by an operator, not through the API.
    pub seeded: bool,
}

/// Everything that stands in the pretend HealthFlow.
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
    /// Appointments that stand.
    pub appointments: u64,
    /// Of these, cancelled ones.
    pub cancelled: u64,
    /// Patients that stand.
    pub patients: u64,
    /// Of these, put there by an operator.
    pub patients_seeded: u64,
    /// Appointments too many: of one practice and reference, all but the first.
    pub duplicate_appointments: u64,
    /// Patients too many: of one practice and reference, all but the first.
    pub duplicate_patients: u64,
    /// Charts too many of one person (practice, names, date of birth, postal code), not counting seeded ones.
    pub duplicate_people: u64,
    /// Appointments whose patient does not stand in the same practice.
    pub orphans: u64,
    /// `practice/reference` of up to 20 duplicates and orphans, to look into.
    pub examples: Vec<String>,
    /// Requests that came.
    pub requests: u64,
    /// Of these, answered 429.
    pub throttled: u64,
    /// The most requests in one second of the clock.
    pub peak_requests_per_second: u64,
    /// Writes that came.
    pub writes: u64,
    /// Of these, the ones that got no answer.
    pub writes_unanswered: u64,
    /// Creates that were replayed for a known idempotency key.
    pub replayed: u64,
    /// Writes that were accepted and have not landed yet.
    pub pending: u64,
}

const EXAMPLES_MAX: usize = 20;

/// What stands in `book`.
pub(super) fn ledger(book: &Book) -> Ledger<'_> {
    Ledger { appointments: records(&book.appointments.records), patients: records(&book.patients.records) }
}

fn records<T>(stored: &[Stored<T>]) -> Vec<LedgerRecord<'_, T>> {
    let stands = stored.iter().filter(|stored| !stored.is_gone);
    stands
        .map(|stored| LedgerRecord {
            record: &stored.record,
            created_at_ms: stored.created_at,
            updated_at_ms: stored.updated_at,
            writes: stored.writes,
            seeded: stored.is_seeded,
        })
        .collect()
}

/// Counts what stands in `book` and what is wrong with it.
pub(super) fn audit(book: &Book) -> Audit {
    let mut audit = Audit::default();
    audit_appointments(book, &mut audit);
    audit_patients(book, &mut audit);
    audit
}

fn audit_appointments(book: &Book, audit: &mut Audit) {
    let mut seen: HashMap<(&str, &str), u64> = HashMap::new();
    for stored in book.appointments.records.iter().filter(|stored| !stored.is_gone) {
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
        let patient = book.patients.get(&body.patient_id);
        if patient.is_none_or(|patient| patient.record.body.practice_id != body.practice_id) {
            audit.orphans += 1;
            note(&mut audit.examples, example());
        }
    }
}

fn audit_patients(book: &Book, audit: &mut Audit) {
    let mut references: HashMap<(&str, &str), u64> = HashMap::new();
    let mut people: HashMap<String, (bool, u64)> = HashMap::new();
    for stored in book.patients.records.iter().filter(|stored| !stored.is_gone) {
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
