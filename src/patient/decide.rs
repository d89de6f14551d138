//! Match, new or review. The rule here is plain and explicit: everything equal after normalisation is a match, nobody
//! similar is new, and whatever lies between is for a person to decide.

use serde::{Deserialize, Serialize};

use crate::patient::{Candidate, HealthFlowPatientId, Person};

/// What the candidates say about who the patient is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Exactly one candidate is this person beyond doubt.
    Match(HealthFlowPatientId),
    /// No candidate comes near.
    New,
    /// A person must decide; the evidence per candidate.
    Review(Vec<Evidence>),
}

/// How one candidate compares, field by field; levels, never values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// HealthFlow's id of the candidate; empty for a creation of ours under way.
    pub healthflow_patient_id: String,
    /// Given name: `equal`, `differs` or `missing`.
    pub given_name: Agreement,
    /// Family name.
    pub family_name: Agreement,
    /// Date of birth.
    pub date_of_birth: Agreement,
    /// Postal code.
    pub postal_code: Agreement,
}

/// Whether a field agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Agreement {
    /// Equal after normalisation.
    Equal,
    /// Different after normalisation.
    Differs,
    /// One side has no value.
    Missing,
}

/// Stand-in until the rule is written.
pub fn decide(
    person: &Person,
    candidates: &[Candidate],
    own_reference: &crate::booking::PatientId,
) -> Decision {
    let _ = person;
    for candidate in candidates {
        if candidate.external_id.as_deref() == Some(own_reference.as_str()) {
            if let Some(id) = &candidate.id {
                return Decision::Match(id.clone());
            }
        }
    }
    Decision::New
}
