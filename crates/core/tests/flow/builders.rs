//! Bookings, patients and answers for the stories: defaults everywhere.

use std::sync::Arc;

use healthflow_core::booking::{Booking, BookingKey, BookingStatus, Patient, Source, Version, Visit};
use healthflow_core::healthflow::fault::Unknown;
use healthflow_core::healthflow::{Answer, AppointmentFound, Fault, Reply, WrittenAppointment};
use healthflow_core::patient::digests::PersonDigests;
use healthflow_core::patient::{Candidate, Link, LinkOrigin, Person};
use healthflow_core::state::{PatientState, StateRecord, TaskState, WriteIntent, WriteOperation};

use crate::desk::START;

/// A booking of a known patient (DentScheduler sends HealthFlow's id along), far in the future.
pub fn a_booking(id: &str, version: Version) -> Booking {
    Booking {
        event_id: Arc::from(format!("event-{id}-{version}")),
        key: BookingKey { practice: "practice-1".into(), booking: id.into() },
        location_id: Arc::from("location-1"),
        version,
        status: BookingStatus::Scheduled,
        requested_at: START,
        source: Source::Live,
        patient: Patient {
            healthflow_patient_id: Some(Arc::from("hf-patient-1")),
            ..a_patient("patient-1", "Ada", "Lovelace")
        },
        visit: Visit {
            start: START.plus_ms(30 * 86_400_000),
            duration_minutes: 30,
            time_zone: Arc::from("America/Chicago"),
            provider_id: Arc::from("provider-1"),
            operatory_id: None,
            procedure_codes: vec!["D0120".into()],
            note: None,
        },
    }
}

pub fn a_patient(id: &str, given_name: &str, family_name: &str) -> Patient {
    Patient {
        id: id.into(),
        healthflow_patient_id: None,
        given_name: given_name.into(),
        family_name: family_name.into(),
        date_of_birth: jiff::civil::date(1990, 12, 10).into(),
        postal_code: "60601".into(),
        phone: None,
        email: None,
        sex: None,
    }
}

/// A booking of somebody HealthFlow's id of whom nobody knows.
pub fn a_booking_of(id: &str, patient: Patient) -> Booking {
    Booking { patient, ..a_booking(id, 1) }
}

/// A version that is sent along with another chart than the one that is known.
pub fn conflicting(id: &str, version: Version) -> Booking {
    let mut booking = a_booking(id, version);
    booking.patient.healthflow_patient_id = Some("hf-patient-2".into());
    booking
}

/// A booking of another known patient.
pub fn a_booking_of_another(id: &str) -> Booking {
    let mut patient = a_patient("patient-2", "Alan", "Turing");
    patient.healthflow_patient_id = Some(Arc::from("hf-patient-2"));
    a_booking_of(id, patient)
}

pub fn cancelled(mut booking: Booking) -> Booking {
    booking.status = BookingStatus::Cancelled;
    booking
}

/// The same booking an hour per version later.
pub fn rescheduled(id: &str, version: Version) -> Booking {
    let mut booking = a_booking(id, version);
    booking.visit.start = booking.visit.start.plus_ms(version as i64 * 3_600_000);
    booking
}

pub fn created(id: &str) -> Reply {
    Ok(Answer::AppointmentCreated(WrittenAppointment { id: id.into(), revision: None }))
}

pub fn updated(id: &str) -> Reply {
    Ok(Answer::AppointmentUpdated(WrittenAppointment { id: id.into(), revision: None }))
}

pub fn patient_created(id: &str) -> Reply {
    Ok(Answer::PatientCreated(id.into()))
}

pub fn nobody() -> Reply {
    Ok(Answer::Patients { found: Vec::new(), next_cursor: None })
}

/// The chart of this patient, without our reference.
pub fn a_candidate(id: &str, patient: &Patient) -> Candidate {
    Candidate { id: Some(id.into()), external_id: None, person: Person::from(patient) }
}

/// A search pass that found this patient's chart, without our reference.
pub fn chart(id: &str, patient: &Patient) -> Reply {
    Ok(Answer::Patients { found: vec![a_candidate(id, patient)], next_cursor: None })
}

/// The chart of this patient, read by its id.
pub fn a_chart(id: &str, patient: &Patient) -> Reply {
    Ok(Answer::PatientRead(Some(a_candidate(id, patient))))
}

/// A search pass that found this patient's chart, created by us.
pub fn ours(id: &str, patient: &Patient) -> Reply {
    let external_id = Some(patient.id.as_str().into());
    let chart = Candidate { external_id, ..a_candidate(id, patient) };
    Ok(Answer::Patients { found: vec![chart], next_cursor: None })
}

/// The last page of a look-up that found these, all of the known patient.
pub fn appointments(ids: &[&str]) -> Reply {
    let found = ids.iter().map(|id| AppointmentFound {
        id: (*id).into(),
        patient: "hf-patient-1".into(),
        revision: None,
    });
    Ok(Answer::Appointments { found: found.collect(), next_cursor: None })
}

pub fn timeout() -> Reply {
    Err(Fault::Unknown(Unknown::Timeout))
}

/// The intent of a create of version 1 that may have been sent.
pub fn a_create_intent() -> Box<WriteIntent> {
    Box::new(WriteIntent {
        operation: WriteOperation::Create,
        incarnation: 0,
        first_version: 1,
        since: START,
        slot: None,
        asked: Vec::new(),
        if_match: None,
    })
}

/// Somebody whom two charts resemble.
pub fn adas_booking(id: &str, version: Version) -> Booking {
    Booking { version, ..a_booking_of(id, a_patient("p", "Ada", "Lovelace")) }
}

/// A search pass that found charts under these ids, all of that somebody.
pub fn adas_charts(ids: &[&str]) -> Reply {
    let found = ids.iter().map(|id| a_candidate(id, &a_patient("p", "Ada", "Lovelace")));
    Ok(Answer::Patients { found: found.collect(), next_cursor: None })
}

/// So many bookings, each of another patient whose chart is known, and the state that knows them.
pub fn of_known_patients(count: usize) -> (Vec<Booking>, TaskState) {
    let mut state = TaskState::default();
    let bookings: Vec<Booking> = (0..count)
        .map(|number| {
            let mut booking = a_booking(&format!("b-{number}"), 1);
            booking.patient.id = format!("p-{number}").into();
            booking
        })
        .collect();
    for booking in &bookings {
        let digests = Some(PersonDigests::of(&booking.patient_key(), &Person::from(&booking.patient)));
        let healthflow_patient_id = "hf-patient-1".into();
        let link =
            Link { healthflow_patient_id, origin: LinkOrigin::Found, digests, outranks: None, decided: None };
        let patient = PatientState { link: Some(link), ..PatientState::default() };
        state.apply(StateRecord::Patient(booking.patient_key(), patient));
    }
    (bookings, state)
}
