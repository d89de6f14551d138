//! Records as they are answered, which is not what is stored: a HealthFlow may not keep the caller's reference, and may
//! tell versions.

use std::borrow::Cow;

use serde::Serialize;

use super::book::Stored;
use super::moods::Moods;
use super::shapes::{AppointmentBody, AppointmentRecord, PatientBody, PatientRecord};

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
pub(super) fn patient<'a>(stored: &'a Stored<PatientRecord>, moods: &Moods) -> Shown<'a, PatientBody> {
    let PatientRecord { id, body } = &stored.record;
    let body = if moods.keeps_external_id {
        Cow::Borrowed(body)
    } else {
        Cow::Owned(PatientBody { external_id: None, ..body.clone() })
    };
    Shown { id, body, version: None }
}

/// An appointment as it is answered.
pub(super) fn appointment<'a>(
    stored: &'a Stored<AppointmentRecord>,
    moods: &Moods,
) -> Shown<'a, AppointmentBody> {
    let AppointmentRecord { id, body } = &stored.record;
    let body = if moods.keeps_external_id {
        Cow::Borrowed(body)
    } else {
        Cow::Owned(AppointmentBody { external_id: None, ..body.clone() })
    };
    Shown { id, body, version: moods.supports_if_match.then(|| stored.version.to_string()) }
}
