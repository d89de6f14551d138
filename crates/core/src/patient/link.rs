//! Which of HealthFlow's patients ours is, and for whom the link was made.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::patient::HealthFlowPatientId;
use crate::patient::digests::PersonDigests;
use crate::time::Timestamp;

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
    /// Who decided it and when, if a person did; none also where an earlier release stored it. Boxed, because few links have
    /// one.
    pub decided: Option<Box<Decided>>,
}

/// By whom a link was decided, so that a wrong one can be asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decided {
    /// Who, as the deciding product names its users.
    pub by: Arc<str>,
    /// When.
    pub at: Timestamp,
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
