//! `appointments.review`: a person must decide who the patient is. Every version that waits for that lies here with its
//! content, the one in question and those behind it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::{Booking, BookingId};
use crate::event::Identity;
use crate::event::requested::AppointmentRequested;
use crate::event::result::{ResultEnvelope, ResultOutcome};
use crate::patient::HealthFlowPatientId;
use crate::patient::decide::{Agreement, Evidence};
use crate::state::{Asks, Held};
use crate::sync::ReviewReason;
use crate::time::Timestamp;

/// Candidates that a review shows at most, the first ones: a person cannot choose from more, and the record must fit.
pub const EVIDENCE_MAX: usize = 200;

/// A booking held for a person's decision, with the evidence.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct ReviewCase {
    /// The booking that waits.
    pub booking: Arc<Booking>,
    /// Which parking of it this is; the decision quotes it (rule K4).
    pub generation: u32,
    /// Why a person must decide, here or about another booking.
    pub reason: ReviewReason,
    /// How each candidate compares, field by field.
    pub evidence: Vec<Evidence>,
    /// The booking whose review must be decided first; none where this version is in question.
    pub waits_for: Option<BookingId>,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// When it came, as its offset in `appointments.requested`.
    pub order: i64,
    /// Since when it waits.
    pub since: Timestamp,
}

impl ReviewCase {
    /// What a task remembers of it.
    pub fn held(&self) -> Held {
        let asks = match &self.waits_for {
            Some(booking) => Asks::Review(booking.clone()),
            None => asks(self.reason, &self.evidence),
        };
        let &ReviewCase { ref booking, attempts, order, since, .. } = self;
        Held::new(Arc::clone(booking), attempts, order, since, asks)
    }
}

/// What a person is asked for this reason, with these candidates.
pub fn asks(reason: ReviewReason, evidence: &[Evidence]) -> Asks {
    let ids = evidence.iter().take(EVIDENCE_MAX).filter_map(|one| one.healthflow_patient_id.as_deref());
    Asks::Person { reason, candidates: ids.map(|id| HealthFlowPatientId(id.into())).collect() }
}

/// The record, field by field as in `schemas/appointments.review.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppointmentReview {
    /// Its envelope: not final.
    pub result: ResultEnvelope,
    /// The booking as it was requested.
    pub event: AppointmentRequested,
    /// How each candidate compares.
    pub evidence: Vec<CandidateEvidence>,
    /// The booking whose review must be decided first; none where this one is in question.
    pub waits_for: Option<BookingId>,
    /// When it came, as its offset in `appointments.requested`.
    pub order: i64,
}

impl AppointmentReview {
    /// What a task remembers of it; none if its booking is not valid, or its reason is one of a newer worker.
    pub fn into_held(self, now: Timestamp) -> Option<Held> {
        let asks = match self.waits_for {
            Some(booking) => Asks::Review(booking),
            None => {
                let code = self.result.reason?;
                let reason = ReviewReason::ALL.into_iter().find(|reason| reason.code() == &*code)?;
                let ids = self.evidence.into_iter().filter_map(|one| one.healthflow_patient_id);
                Asks::Person { reason, candidates: ids.map(|id| HealthFlowPatientId(id.into())).collect() }
            }
        };
        let booking = Arc::new(self.event.into_booking(now).ok()?);
        let (attempts, order, since) = (self.result.attempts, self.order, self.result.finished_at);
        Some(Held::new(booking, attempts, order, since, asks))
    }
}

/// How one candidate compares. A list, so that a rule that compares more fields, or weighs them, changes no schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Evidence")]
pub struct CandidateEvidence {
    /// HealthFlow's id of the candidate; none for a creation of ours under way.
    pub healthflow_patient_id: Option<String>,
    /// Every field that was compared.
    pub fields: Vec<FieldEvidence>,
}

/// How one field of a candidate compares: a level, never a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldEvidence {
    /// Which field, by its name in `appointments.requested`.
    pub field: String,
    /// How far the two values agree.
    pub level: Level,
    /// The weight of this level in bits (Fellegi and Sunter, A Theory for Record Linkage, 1969); none if the rule that
    /// decided does not weigh.
    pub weight: Option<f64>,
}

/// How far two values agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// The values are equal after normalisation.
    Equal,
    /// Only marks differ.
    Similar,
    /// The values differ.
    Differs,
    /// One side has no value.
    Missing,
    /// A level that a newer writer knows.
    Unknown,
}

impl From<Agreement> for Level {
    fn from(agreement: Agreement) -> Self {
        match agreement {
            Agreement::Equal => Level::Equal,
            Agreement::Differs => Level::Differs,
            Agreement::Missing => Level::Missing,
        }
    }
}

impl From<&Evidence> for CandidateEvidence {
    fn from(of: &Evidence) -> Self {
        let name = |agreement, without_marks| match (agreement, without_marks) {
            (Agreement::Differs, Agreement::Equal) => Level::Similar,
            _ => Level::from(agreement),
        };
        let fields = [
            ("given_name", name(of.given_name, of.given_name_without_marks)),
            ("family_name", name(of.family_name, of.family_name_without_marks)),
            ("date_of_birth", of.date_of_birth.into()),
            ("postal_code", of.postal_code.into()),
            ("sex", of.sex.into()),
        ];
        let fields = fields.map(|(field, level)| FieldEvidence { field: field.into(), level, weight: None });
        CandidateEvidence { healthflow_patient_id: of.healthflow_patient_id.clone(), fields: fields.into() }
    }
}

impl From<&ReviewCase> for AppointmentReview {
    fn from(case: &ReviewCase) -> Self {
        let identity = Identity::from(&*case.booking);
        AppointmentReview {
            result: ResultEnvelope {
                attempts: case.attempts,
                generation: case.generation,
                ..ResultEnvelope::new(
                    Some(&identity),
                    ResultOutcome::Review,
                    Some(case.reason.code()),
                    case.since,
                )
            },
            event: (&*case.booking).into(),
            evidence: case.evidence.iter().take(EVIDENCE_MAX).map(CandidateEvidence::from).collect(),
            waits_for: case.waits_for.clone(),
            order: case.order,
        }
    }
}
