//! A fingerprint of what was written: it saves a call if a new version changes nothing.

use sha2::{Digest, Sha256};

use crate::booking::{Booking, BookingStatus, Visit};

/// 64 bits of SHA-256 over everything of `booking` that HealthFlow would store for `patient_id`.
pub fn fingerprint(booking: &Booking, patient_id: &str) -> i64 {
    fingerprint_of(patient_id, &booking.location_id, booking.status, &booking.visit)
}

/// The same for an appointment with these fields.
pub fn fingerprint_of(patient_id: &str, location_id: &str, status: BookingStatus, visit: &Visit) -> i64 {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(patient_id.as_bytes());
    part(location_id.as_bytes());
    part(match status {
        BookingStatus::Scheduled => b"scheduled",
        BookingStatus::Cancelled => b"cancelled",
    });
    part(&visit.start.0.to_be_bytes());
    part(&visit.duration_minutes.to_be_bytes());
    part(visit.time_zone.as_bytes());
    part(visit.provider_id.as_bytes());
    part(visit.operatory_id.as_deref().unwrap_or_default().as_bytes());
    for code in &visit.procedure_codes {
        part(code.as_bytes());
    }
    part(visit.note.as_ref().map_or(&[], |note| note.reveal().as_bytes()));
    let digest = hasher.finalize();
    i64::from_be_bytes(std::array::from_fn(|index| digest[index]))
}
