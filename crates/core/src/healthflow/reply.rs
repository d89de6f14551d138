//! What HealthFlow answers when it does answer.

use crate::appointment::Revision;
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
    AppointmentCreated(AppointmentStands),
    /// The appointment now stands as it was sent.
    AppointmentUpdated(AppointmentStands),
    /// HealthFlow says that the update was carried out, and shows nothing (204): believed only where the configuration declares it.
    UpdateUnseen,
    /// This stands there now.
    AppointmentRead(AppointmentRead),
    /// Whose chart it is; none where it is nobody's of this practice.
    PatientRead(Option<Candidate>),
}

/// An appointment that a look-up returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppointmentFound {
    /// Its id.
    pub id: AppointmentId,
    /// Whose it is.
    pub patient: HealthFlowPatientId,
    /// Its version, where HealthFlow tells one.
    pub revision: Option<Revision>,
}

/// An appointment that a write left standing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppointmentStands {
    /// Its id.
    pub id: AppointmentId,
    /// Its version, where HealthFlow tells one.
    pub revision: Option<Revision>,
}

/// An appointment as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppointmentRead {
    /// Its version, where HealthFlow tells one.
    pub revision: Option<Revision>,
    /// The fingerprint of its content; none where it lacks something that we write.
    pub fingerprint: Option<i64>,
}

impl Answer {
    /// The same where HealthFlow offers no versions: what looks like one is none.
    #[must_use]
    pub fn without_revisions(mut self) -> Self {
        match &mut self {
            Answer::AppointmentCreated(stands) | Answer::AppointmentUpdated(stands) => stands.revision = None,
            Answer::AppointmentRead(read) => read.revision = None,
            Answer::Appointments { found, .. } => found.iter_mut().for_each(|one| one.revision = None),
            Answer::Patients { .. }
            | Answer::PatientCreated(_)
            | Answer::PatientRead(_)
            | Answer::UpdateUnseen => {}
        }
        self
    }
}
