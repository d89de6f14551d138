//! Nothing is written for a patient while another booking's review decides who that is (rule K4).

use healthflow_core::healthflow::Request;
use healthflow_core::state::TaskState;
use healthflow_proof::promises::sending;

use crate::lives::Lives;

/// What is wrong with sending `request` while `state` is committed.
pub fn broken(state: &TaskState, request: &Request, lives: &Lives) -> Option<String> {
    let (Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. }) = request
    else {
        return None;
    };
    let key = sending::booking_of(content);
    let versions = lives.wanted.range(key.versions());
    sending::held_first(state, content, versions.map(|(_, booking)| booking.patient_key()))
}
