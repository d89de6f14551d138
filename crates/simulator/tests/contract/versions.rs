//! A HealthFlow that offers versions: what a PUT with `If-Match` may overwrite, on both sides of the contract.

use healthflow_core::appointment::Revision;
use healthflow_core::appointment::fingerprint::fingerprint_of;
use healthflow_core::healthflow::{Answer, AppointmentContent, AppointmentRead, Fault, Reply, Request};
use serde_json::json;

use crate::healthflow::{Client, content, create};

fn put(content: AppointmentContent, if_match: &Revision) -> Request {
    Request::UpdateAppointment { id: "hfa-1".into(), content, if_match: Some(if_match.clone()) }
}

fn revision(reply: Reply) -> Revision {
    match reply {
        Ok(Answer::AppointmentCreated(written) | Answer::AppointmentUpdated(written)) => {
            written.revision.expect("a version")
        }
        other => panic!("{other:?}"),
    }
}

fn read(client: &mut Client) -> AppointmentRead {
    match client.ask(&Request::ReadAppointment { id: "hfa-1".into() }) {
        Ok(Answer::AppointmentRead(read)) => read,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_update_is_carried_out_only_while_the_version_it_names_is_current() {
    let mut client = Client::new(json!({"supports_if_match": true}));
    let patient = client.create_patient();
    let first = revision(client.ask(&create("b", &patient)));
    let mut longer = content("b", &patient);
    longer.visit.duration_minutes = 60;
    let second = revision(client.ask(&put(longer.clone(), &first)));
    assert_ne!(first, second);
    let late = client.ask(&put(content("b", &patient), &first));
    assert_eq!(late, Err(Fault::Changed), "what was sent earlier does not land over it");

    let wanted = fingerprint_of(patient.as_str(), &longer.location_id, longer.status, &longer.visit);
    assert_eq!(read(&mut client), AppointmentRead { revision: Some(second), fingerprint: Some(wanted) });
}

#[test]
fn an_edit_by_hand_is_another_version_and_other_content() {
    let mut client = Client::new(json!({"supports_if_match": true}));
    let patient = client.create_patient();
    let first = revision(client.ask(&create("b", &patient)));
    let before = read(&mut client);
    assert!(client.simulator.edit_appointment("hfa-1", |body| body.duration_minutes = 90));
    let after = read(&mut client);
    assert!(before.revision != after.revision && before.fingerprint != after.fingerprint);
    assert_eq!(client.ask(&put(content("b", &patient), &first)), Err(Fault::Changed));
    let current = after.revision.expect("a version");
    client.ask(&put(content("b", &patient), &current)).expect("updated");
    assert_eq!(read(&mut client).fingerprint, before.fingerprint);
    assert!(!client.simulator.edit_appointment("hfa-2", |_| {}), "there is none");
}

#[test]
fn where_healthflow_offers_no_versions_nothing_is_compared() {
    let mut client = Client::new(json!({}));
    let patient = client.create_patient();
    let Ok(Answer::AppointmentCreated(created)) = client.ask(&create("b", &patient)) else {
        panic!("created")
    };
    assert_eq!(created.revision, None);
    client.ask(&put(content("b", &patient), &"9".into())).expect("it does not know the header");
}
