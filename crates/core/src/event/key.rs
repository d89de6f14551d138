//! The keys of our records. A key decides what a compacted topic keeps, and every tool that lists a topic shows it: so two
//! things never share one, and none names a patient.

use sha2::{Digest, Sha256};

use crate::appointment::idempotency::hex;
use crate::booking::{BookingKey, PatientKey, Version};
use crate::event::ControlId;
use crate::state::StateRecord;

/// The key of the one record of a partition of `appointments.state` that speaks of the task, not of a booking: the ids of
/// bookings are never empty.
pub const TASK: &str = "/";

/// The key of the one record of the whole fleet, in partition 0 of `appointments.state`.
pub const FLEET: &str = "/fleet";

/// The key of the one record of a partition of `appointments.state` that counts the account's long limits. A practice's has the
/// practice and no booking.
pub const QUOTA: &str = "/quota";

/// The practice that a compound key begins with; none if it has none, like the task's.
pub fn practice(key: &[u8]) -> Option<String> {
    let (practice, _) = std::str::from_utf8(key).ok()?.split_once('/')?;
    (!practice.is_empty()).then(|| practice.replace("%2F", "/").replace("%25", "%"))
}

/// The key of a record of state.
pub fn state(record: &StateRecord) -> String {
    match record {
        StateRecord::Booking(key, _) => booking(key),
        StateRecord::Patient(key, _) => patient(key),
        StateRecord::Task(_) => TASK.to_owned(),
        StateRecord::Quota(None, _) => QUOTA.to_owned(),
        StateRecord::Quota(Some(practice), _) => {
            booking(&BookingKey { practice: practice.clone(), booking: "".into() })
        }
    }
}

/// `practice/booking`; `%` and `/` inside the ids are percent-encoded, so that different pairs never look alike.
pub fn booking(key: &BookingKey) -> String {
    let mut text = String::with_capacity(key.practice.as_str().len() + key.booking.as_str().len() + 1);
    escape(key.practice.as_str(), &mut text);
    text.push('/');
    escape(key.booking.as_str(), &mut text);
    text
}

/// `practice/booking/version`: each version that is held has a record of its own.
pub fn review(key: &BookingKey, version: Version) -> String {
    format!("{}/{version}", booking(key))
}

/// `practice/digest`: SHA-256 of the patient id in hexadecimal digits, because people and tools that may not see patients
/// read keys.
pub fn patient(key: &PatientKey) -> String {
    let mut text = String::with_capacity(key.practice.as_str().len() + 65);
    escape(key.practice.as_str(), &mut text);
    text.push('/');
    text.push_str(&hex(&Sha256::digest(key.patient.as_str().as_bytes())));
    text
}

/// `pause/account`, `limit/practice/P` and the like: the id of a control.
pub fn control(id: &ControlId) -> String {
    let mut text = String::from(id.kind.code());
    match &id.practice {
        None => text.push_str("/account"),
        Some(practice) => {
            text.push_str("/practice/");
            escape(practice.as_str(), &mut text);
        }
    }
    text
}

fn escape(part: &str, text: &mut String) {
    for character in part.chars() {
        match character {
            '%' => text.push_str("%25"),
            '/' => text.push_str("%2F"),
            other => text.push(other),
        }
    }
}
