//! People whom nobody takes for each other: no booking of one waits for a booking of another, or for a person's decision.

use healthflow_core::booking::PatientId;
use healthflow_core::event::requested::AppointmentRequested;

/// The same booking for person number `number`, at most 9,999.
pub fn of_stranger(number: usize, event: AppointmentRequested) -> AppointmentRequested {
    let mut event = event;
    event.patient.patient_id = PatientId::from(&*format!("p-{number}")).into();
    event.patient.given_name = name(9_999 - number).into();
    event.patient.family_name = name(number).into();
    event.patient.postal_code = format!("{}", 10_000 + number).into();
    event.patient.date_of_birth = birthday(number).into();
    event
}

/// A name that no other number has.
fn name(number: usize) -> String {
    let syllables = ["ba", "ke", "lo", "mi", "nu", "pa", "re", "so", "ti", "vu"];
    let digits = format!("{number:04}");
    digits.bytes().map(|digit| syllables[usize::from(digit - b'0')]).collect()
}

/// A birthday that no other number has.
fn birthday(number: usize) -> String {
    let (year, month, day) = (1940 + number / 336, number / 28 % 12 + 1, number % 28 + 1);
    format!("{year}-{month:02}-{day:02}")
}
