//! What an intent is about. A booking's job may ask under its own intent or under its patient's, so the key of a job
//! does not say under whose.

use crate::booking::{BookingKey, PatientKey};
use crate::partition::job::JobKey;

/// Whose state an intent is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// A patient's: its creation.
    Patient(PatientKey),
    /// A booking's: the create or update of its appointment.
    Booking(BookingKey),
}

impl Subject {
    /// Whose doubt the job of `key` settles.
    pub fn settled_by(key: &JobKey) -> Self {
        match key {
            JobKey::Booking(booking) => booking.into(),
            JobKey::Patient(patient) => patient.into(),
        }
    }

    /// The job that settles a doubt about it.
    pub fn settling_job(self) -> JobKey {
        match self {
            Subject::Booking(booking) => JobKey::Booking(booking),
            Subject::Patient(patient) => JobKey::Patient(patient),
        }
    }
}

impl From<&BookingKey> for Subject {
    fn from(key: &BookingKey) -> Self {
        Subject::Booking(key.clone())
    }
}

impl From<&PatientKey> for Subject {
    fn from(key: &PatientKey) -> Self {
        Subject::Patient(key.clone())
    }
}

impl From<&Subject> for Subject {
    fn from(subject: &Subject) -> Self {
        subject.clone()
    }
}
