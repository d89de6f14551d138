//! Charts of which a person decided that they are somebody else's. DentScheduler reuses ids of patients, so such a decision is about
//! a person, not about an id: else the next person under an id would lose their own chart, and get a second one.

use serde::{Deserialize, Serialize};

use crate::patient::HealthFlowPatientId;
use crate::patient::digests::{Likeness, PersonDigests};

/// A chart that is somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rejected {
    /// The chart.
    pub chart: HealthFlowPatientId,
    /// Whose it is not; none: nobody's who comes under the id of the patient.
    pub person: Option<PersonDigests>,
}

impl Rejected {
    /// Whether this is said of `person`; of anybody if it is not known who is meant.
    pub fn is_of(&self, person: Option<&PersonDigests>) -> bool {
        self.person.as_ref().zip(person).is_none_or(|(one, other)| one.compare(other) != Likeness::Stranger)
    }
}
