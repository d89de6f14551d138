//! Who a booking is for. Given what HealthFlow's search answered, [`decide`](decide::decide) says match, new or review;
//! it never guesses. Pure; knows nothing of HealthFlow's wire format.

pub mod decide;
pub mod digests;
pub mod normalise;
pub mod search;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::booking::{Patient, identifier};
use crate::private::Private;

identifier! {
    /// A patient's id in HealthFlow.
    HealthFlowPatientId, private
}

/// How a link between DentScheduler's patient and HealthFlow's came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LinkOrigin {
    /// DentScheduler sent HealthFlow's id along.
    Provided,
    /// The search found one certain match.
    Found,
    /// We created the patient.
    Created,
    /// A person decided.
    Operator,
}

/// A patient that HealthFlow's search returned, or one that we created a moment ago (rule W7).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// HealthFlow's id; none for a creation of ours that is still under way.
    pub id: Option<HealthFlowPatientId>,
    /// Our reference (`external_id`), if this patient was created through us.
    pub external_id: Option<Arc<str>>,
    /// Who it is.
    pub person: Person,
}

/// What tells one person from another, in one spelling; see [`normalise`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// Given name, normalised.
    pub given_name: Private<String>,
    /// Family name, normalised.
    pub family_name: Private<String>,
    /// Date of birth; none where HealthFlow has none.
    pub date_of_birth: Option<Private<jiff::civil::Date>>,
    /// Postal code, normalised.
    pub postal_code: Private<String>,
}

impl Person {
    /// 64 bits of SHA-256 over all that tells people apart: whether two records mean a person of the same description.
    pub fn fingerprint(&self) -> i64 {
        let born = self.date_of_birth.as_ref().map(|date| date.reveal().to_string()).unwrap_or_default();
        let mut hasher = Sha256::new();
        for part in [self.given_name.reveal(), self.family_name.reveal(), &born, self.postal_code.reveal()] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        i64::from_be_bytes(std::array::from_fn(|index| digest[index]))
    }
}

impl From<&Patient> for Person {
    fn from(patient: &Patient) -> Self {
        Person {
            given_name: normalise::name(patient.given_name.reveal()).into(),
            family_name: normalise::name(patient.family_name.reveal()).into(),
            date_of_birth: Some(patient.date_of_birth.clone()),
            postal_code: normalise::postal_code(patient.postal_code.reveal()).into(),
        }
    }
}
