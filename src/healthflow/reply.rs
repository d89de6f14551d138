//! What HealthFlow answers when it does answer.

use crate::healthflow::{AppointmentId, Fault};
use crate::patient::{Candidate, HealthFlowPatientId};

/// A good answer, or the fault that stands for it.
pub type Reply = Result<Answer, Fault>;

/// A good answer, by request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// One page of a search.
    Patients {
        /// Whom this page returned.
        found: Vec<Candidate>,
        /// Where the next page starts; none on the last one.
        next_cursor: Option<String>,
    },
    /// The patient stands in HealthFlow (newly, or replayed for the same key).
    PatientCreated(HealthFlowPatientId),
    /// One page of a look-up: the appointments that are what was sought; normally none or one.
    Appointments {
        /// What this page returned.
        found: Vec<AppointmentFound>,
        /// Where the next page starts; none on the last one: only there may "nothing" be concluded.
        next_cursor: Option<String>,
    },
    /// The appointment stands in HealthFlow (newly, or replayed for the same key).
    AppointmentCreated(AppointmentId),
    /// The appointment now stands as it was sent.
    AppointmentUpdated(AppointmentId),
}

/// An appointment that a look-up returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppointmentFound {
    /// Its id.
    pub id: AppointmentId,
    /// Whose it is.
    pub patient: HealthFlowPatientId,
}
