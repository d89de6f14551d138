//! A HealthFlow that honours no key and does not keep our reference: how we find our own records again.

use healthflow_core::healthflow::{Answer, Reply, Request, Sought};
use healthflow_core::patient::search::passes;
use serde_json::json;

use crate::healthflow::{Client, content, create, create_patient, patient};

fn forgetful() -> Client {
    Client::new(json!({"keeps_external_id": false, "honours_idempotency_keys": false, "page_size": 2}))
}

fn find(sought: Sought, cursor: Option<String>) -> Request {
    Request::FindAppointment { practice: "p & q".into(), sought, cursor }
}

/// The ids on every page of a look-up.
fn found(client: &mut Client, sought: &Sought) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        match client.ask(&find(sought.clone(), cursor)) {
            Ok(Answer::Appointments { found, next_cursor }) => {
                ids.extend(found.iter().map(|one| one.id.to_string()));
                cursor = next_cursor;
            }
            other => panic!("{other:?}"),
        }
        if cursor.is_none() {
            return ids;
        }
    }
}

#[test]
fn what_was_created_is_found_by_patient_start_and_provider_and_by_nothing_else() {
    let mut client = forgetful();
    let patient = client.create_patient();
    let Ok(Answer::PatientCreated(other_patient)) = client.ask(&create_patient("pat-2")) else { panic!() };
    let mut other_provider = content("c", &patient);
    other_provider.visit.provider_id = "d-2".into();
    let mut later = content("d", &patient);
    later.visit.start = later.visit.start.plus_ms(1);
    for content in [content("b", &other_patient), other_provider, later, content("e", &patient)] {
        let idempotency_key = "the same".to_owned();
        client.ask(&Request::CreateAppointment { content, idempotency_key }).expect("created");
    }
    assert_eq!(client.simulator.audit().appointments, 4, "it ignores the key");
    assert_eq!(found(&mut client, &Sought::Slot(content("e", &patient).slot())), ["hfa-4"]);
    assert!(found(&mut client, &Sought::Reference("e".into())).is_empty(), "it does not keep our reference");
    client.ask(&create("e", &patient)).expect("created once more");
    assert_eq!(found(&mut client, &Sought::Slot(content("e", &patient).slot())), ["hfa-4", "hfa-5"]);
}

#[test]
fn our_reference_finds_nobody_and_is_not_answered() {
    let mut client = forgetful();
    client.create_patient();
    for pass in passes(&patient("pat-1"), false) {
        let reply: Reply = client.ask(&Request::SearchPatients {
            practice: "p & q".into(),
            pass: pass.clone(),
            cursor: None,
        });
        let Ok(Answer::Patients { found, .. }) = reply else { panic!("{reply:?}") };
        // HealthFlow ignores a filter that it does not know: it finds everybody.
        assert_eq!(found.len(), 1, "{}", pass.name());
        assert_eq!(found[0].external_id, None);
    }
}
