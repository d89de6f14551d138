//! Which of HealthFlow's patients ours is, and for whom the link was made.

use serde::{Deserialize, Serialize};

use crate::patient::HealthFlowPatientId;
use crate::patient::digests::PersonDigests;

/// Our patient is that patient of HealthFlow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// HealthFlow's id.
    pub healthflow_patient_id: HealthFlowPatientId,
    /// How we know.
    pub origin: LinkOrigin,
    /// Whom it was made for; none for a link that an earlier release stored and no booking has used since.
    pub digests: Option<PersonDigests>,
    /// Another id that DentScheduler sends along for this patient, and that HealthFlow does not know or shows to be somebody
    /// else's: we do not ask about it again.
    pub outranks: Option<HealthFlowPatientId>,
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
