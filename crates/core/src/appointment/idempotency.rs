//! The idempotency keys of our creates (rule W6): derived from the booking or patient and the incarnation, never from time,
//! chance or version, so that every owner repeats a creation under the same key.

use sha2::{Digest, Sha256};

use crate::booking::{BookingKey, PatientKey};

/// The key for creating the appointment of `booking`.
pub fn appointment_key(booking: &BookingKey, incarnation: u32) -> String {
    digest("appointment", booking.practice.as_str(), booking.booking.as_str(), incarnation)
}

/// The key for creating `patient`. A digest, because a header must not carry the patient's id.
pub fn patient_key(patient: &PatientKey, incarnation: u32) -> String {
    digest("patient", patient.practice.as_str(), patient.patient.as_str(), incarnation)
}

/// 128 bits of SHA-256 over the length-prefixed parts, as hexadecimal digits.
fn digest(kind: &str, practice: &str, id: &str, incarnation: u32) -> String {
    let mut hasher = Sha256::new();
    for part in [kind, practice, id, "create"] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(incarnation.to_be_bytes());
    hex(&hasher.finalize()[..16])
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}
