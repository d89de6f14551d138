//! The requests that we send to HealthFlow.

use std::sync::Arc;

use crate::appointment::{Revision, Slot};
use crate::booking::identifier;
use crate::booking::{Booking, BookingId, BookingStatus, Patient, PracticeId, Visit};
use crate::coded::coded;
use crate::patient::HealthFlowPatientId;
use crate::patient::search::Pass;

identifier! {
    /// An appointment's id in HealthFlow.
    AppointmentId, shown
}

/// One thing to ask HealthFlow. Reads may be repeated at will; writes only as rules W1–W6 allow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// POST `/patients/search`: one pass.
    SearchPatients {
        /// The practice.
        practice: PracticeId,
        /// What to search for.
        pass: Pass,
        /// Where the previous page ended; none for the first page.
        cursor: Option<String>,
    },
    /// POST `/patients`.
    CreatePatient {
        /// Who.
        content: PatientContent,
        /// `Idempotency-Key` (rule W6).
        idempotency_key: String,
    },
    /// GET `/appointments`: one page of the look-up for a create in doubt.
    FindAppointment {
        /// Whose book.
        practice: PracticeId,
        /// What to search for.
        sought: Sought,
        /// Where the previous page ended; none for the first page.
        cursor: Option<String>,
    },
    /// POST `/appointments`.
    CreateAppointment {
        /// The appointment.
        content: AppointmentContent,
        /// `Idempotency-Key` (rule W6).
        idempotency_key: String,
    },
    /// PUT `/appointments/{id}`: the whole appointment as it should be.
    UpdateAppointment {
        /// Which.
        id: AppointmentId,
        /// The appointment.
        content: AppointmentContent,
        /// `If-Match`: only if this is the current revision; none to overwrite any.
        if_match: Option<Revision>,
    },
    /// GET `/appointments/{id}`: the appointment, if it is not as we left it.
    ReadAppointment {
        /// Which.
        id: AppointmentId,
    },
    /// GET `/patient/{id}`: whose chart it is, before we believe an id that was sent along.
    ReadPatient {
        /// Whose patient it must be.
        practice: PracticeId,
        /// Which.
        id: HealthFlowPatientId,
    },
}

/// What the appointment of a create in doubt is looked for by (rule W5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sought {
    /// Our reference.
    Reference(BookingId),
    /// The slot that the create asked for, if HealthFlow does not keep our reference.
    Slot(Slot),
}

/// A patient as we create it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PatientContent {
    /// The practice.
    pub practice: PracticeId,
    /// DentScheduler's snapshot; its id is our reference (`external_id`, rule W8).
    pub patient: Patient,
}

/// An appointment as we write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppointmentContent {
    /// Whose book.
    pub practice: PracticeId,
    /// Our reference (`external_id`).
    pub booking: BookingId,
    /// The patient.
    pub patient: HealthFlowPatientId,
    /// The practice's location.
    pub location_id: Arc<str>,
    /// Scheduled or cancelled.
    pub status: BookingStatus,
    /// When, how long, with whom.
    pub visit: Visit,
}

impl AppointmentContent {
    /// The appointment that `booking` wants for `patient`.
    pub fn wanted(booking: &Booking, patient: HealthFlowPatientId) -> Self {
        AppointmentContent {
            practice: booking.key.practice.clone(),
            booking: booking.key.booking.clone(),
            patient,
            location_id: booking.location_id.clone(),
            status: booking.status,
            visit: booking.visit.clone(),
        }
    }

    /// The slot that it asks for.
    pub fn slot(&self) -> Slot {
        Slot {
            patient_id: self.patient.0.clone(),
            start: self.visit.start,
            provider_id: self.visit.provider_id.clone(),
        }
    }
}

coded! {
    /// The kind of a request: a metric label and a row of the classification table; in the order of the contract.
    pub enum Operation {
        /// POST `/patients/search`.
        SearchPatients = "search_patients",
        /// POST `/patients`.
        CreatePatient = "create_patient",
        /// GET `/appointments`.
        FindAppointment = "find_appointment",
        /// POST `/appointments`.
        CreateAppointment = "create_appointment",
        /// PUT `/appointments/{id}`.
        UpdateAppointment = "update_appointment",
        /// GET `/appointments/{id}`.
        ReadAppointment = "read_appointment",
        /// GET `/patient/{id}`.
        ReadPatient = "read_patient",
    }
}

impl Operation {
    /// Whether it changes HealthFlow: such a request needs an intent (rule W1).
    pub const fn is_write(self) -> bool {
        matches!(self, Operation::CreatePatient | Operation::CreateAppointment | Operation::UpdateAppointment)
    }
}

impl Request {
    /// The kind of this request.
    pub const fn operation(&self) -> Operation {
        match self {
            Request::SearchPatients { .. } => Operation::SearchPatients,
            Request::CreatePatient { .. } => Operation::CreatePatient,
            Request::FindAppointment { .. } => Operation::FindAppointment,
            Request::CreateAppointment { .. } => Operation::CreateAppointment,
            Request::UpdateAppointment { .. } => Operation::UpdateAppointment,
            Request::ReadAppointment { .. } => Operation::ReadAppointment,
            Request::ReadPatient { .. } => Operation::ReadPatient,
        }
    }
}
