//! The good answers of HealthFlow.

use crate::appointment::Revision;
use crate::healthflow::{AppointmentId, Fault};
use crate::patient::{Candidate, HealthFlowPatientId};

/// A good answer, or a fault.
pub type Reply = Result<Answer, Fault>;

/// A good answer, by request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// One page of a search.
    Patients {
        /// The people on this page.
        found: Vec<Candidate>,
        /// Where the next page starts; none on the last one.
        next_cursor: Option<String>,
    },
    /// The patient exists in HealthFlow (newly, or replayed for the same key).
    PatientCreated(HealthFlowPatientId),
    /// One page of a look-up: the appointments that match; normally none or one.
    Appointments {
        /// The appointments on this page.
        found: Vec<AppointmentFound>,
        /// Where the next page starts; none on the last one: only there may "nothing" be concluded.
        next_cursor: Option<String>,
    },
    /// The appointment exists in HealthFlow (newly, or replayed for the same key).
    AppointmentCreated(WrittenAppointment),
    /// The appointment is now as it was sent.
    AppointmentUpdated(WrittenAppointment),
    /// HealthFlow answers that it carried the update out, without content (204): believed only if the configuration declares it.
    UpdateUnseen,
    /// The appointment as it is now.
    AppointmentRead(AppointmentRead),
    /// Whose chart it is; none if it is nobody's in this practice.
    PatientRead(Option<Candidate>),
}

/// An appointment that a look-up returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppointmentFound {
    /// Its id.
    pub id: AppointmentId,
    /// Its patient.
    pub patient: HealthFlowPatientId,
    /// Its version, if HealthFlow gives one.
    pub revision: Option<Revision>,
}

/// An appointment after a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WrittenAppointment {
    /// Its id.
    pub id: AppointmentId,
    /// Its version, if HealthFlow gives one.
    pub revision: Option<Revision>,
}

/// An appointment as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppointmentRead {
    /// Its version, if HealthFlow gives one.
    pub revision: Option<Revision>,
    /// The fingerprint of its content; none if it lacks something that we write.
    pub fingerprint: Option<i64>,
}

impl Answer {
    /// The same for a HealthFlow without versions: the field that looks like one is ignored.
    #[must_use]
    pub fn without_revisions(mut self) -> Self {
        match &mut self {
            Answer::AppointmentCreated(written) | Answer::AppointmentUpdated(written) => {
                written.revision = None
            }
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
