//! Records as HealthFlow answers them. They can differ from what it stores: it may leave out the caller's reference and add
//! a version.

use std::borrow::Cow;

use serde::Serialize;

use super::faults::Faults;
use super::shapes::{AppointmentBody, AppointmentRecord, PatientBody, PatientRecord};
use super::store::Stored;

/// A record as it is answered.
#[derive(Serialize)]
pub(super) struct Shown<'a, Body: Clone> {
    id: &'a str,
    #[serde(flatten)]
    body: Cow<'a, Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// A patient as it is answered.
pub(super) fn patient<'a>(stored: &'a Stored<PatientRecord>, faults: &Faults) -> Shown<'a, PatientBody> {
    let PatientRecord { id, body } = &stored.record;
    let body = if faults.keeps_external_id {
        Cow::Borrowed(body)
    } else {
        Cow::Owned(PatientBody { external_id: None, ..body.clone() })
    };
    Shown { id, body, version: None }
}

/// An appointment as it is answered.
pub(super) fn appointment<'a>(
    stored: &'a Stored<AppointmentRecord>,
    faults: &Faults,
) -> Shown<'a, AppointmentBody> {
    let AppointmentRecord { id, body } = &stored.record;
    let body = if faults.keeps_external_id {
        Cow::Borrowed(body)
    } else {
        Cow::Owned(AppointmentBody { external_id: None, ..body.clone() })
    };
    Shown { id, body, version: faults.supports_if_match.then(|| stored.version.to_string()) }
}
