//! Values for tests to start from.

use crate::booking::{Booking, Sex, Source};
use crate::event::avro::{Decoder, Encoder, contract};
use crate::event::requested::{AppointmentRequested, RequestedPatient, RequestedStatus, RequestedVisit};
use crate::event::review::ReviewCase;
use crate::patient::decide::Evidence;
use crate::sync::ReviewReason;
use crate::time::{DAY_MS, Timestamp};
use crate::topics;

/// 2026-01-05T12:00:00Z.
pub const NOW: Timestamp = Timestamp(1_767_614_400_000);
/// A schema id with four different bytes.
pub const ID: u32 = 0x0102_0304;

/// A request with a value in every field.
pub fn event() -> AppointmentRequested {
    AppointmentRequested {
        event_id: "event-1".into(),
        booking_id: "b-1".into(),
        practice_id: "practice-1".into(),
        location_id: "loc-1".into(),
        version: 3,
        status: RequestedStatus::Scheduled,
        requested_at: NOW.plus_ms(-2_000),
        source: Source::Backfill,
        patient: RequestedPatient {
            patient_id: crate::booking::PatientId::from("p-1").into(),
            healthflow_patient_id: Some("hf-1".into()),
            given_name: "Zoë".into(),
            family_name: "Lopez".into(),
            date_of_birth: "1987-04-21".into(),
            postal_code: "60614".into(),
            phone: Some("+1 312 555 0147".into()),
            email: None,
            sex: Some(Sex::Other),
        },
        visit: RequestedVisit {
            start: NOW.plus_ms(DAY_MS),
            time_zone: "America/Chicago".into(),
            duration_minutes: 45,
            provider_id: "dr-1".into(),
            operatory_id: Some("op-1".into()),
            procedure_codes: vec!["D0120".into(), "D1110".into()],
            note: Some("prefers mornings".into()),
        },
    }
}

/// The booking that it asks for.
pub fn booking() -> Booking {
    event().into_booking(NOW).expect("the sample is possible")
}

/// A review of that booking.
pub fn case(evidence: Vec<Evidence>) -> ReviewCase {
    ReviewCase {
        booking: booking().into(),
        generation: 1,
        reason: ReviewReason::AmbiguousPatient,
        evidence,
        waits_for: None,
        attempts: 1,
        order: 7,
        since: NOW,
    }
}

/// Of our schema of this topic, under [`ID`].
pub fn encoder(topic: &str) -> Encoder {
    Encoder::new(contract(topic).expect("one of ours"), ID)
}

/// Of our schema of this topic.
pub fn decoder(topic: &str) -> Decoder {
    Decoder::own(contract(topic).expect("one of ours"))
}

/// A request as it comes from Kafka.
pub fn requested_bytes(event: &AppointmentRequested) -> Vec<u8> {
    let mut buffer = Vec::new();
    encoder(topics::REQUESTED).encode(event, &mut buffer).expect("fits its schema");
    buffer
}
