//! Charts, as both sides of the contract understand them.

use healthflow_core::healthflow::fault::Missing;
use healthflow_core::healthflow::{Answer, Fault, Request};
use healthflow_core::patient::search::passes;
use healthflow_core::patient::{HealthFlowPatientId, Person};
use serde_json::json;

use crate::healthflow::{Client, create_patient, patient};

#[test]
fn a_chart_is_read_of_our_practice_only_and_an_unknown_one_is_not_found() {
    let mut client = Client::new(json!({}));
    let id = client.create_patient();
    let Request::CreatePatient { content, .. } = create_patient("pat-1") else { panic!("as asked for") };
    let read =
        |practice: &str, id: HealthFlowPatientId| Request::ReadPatient { practice: practice.into(), id };
    let Ok(Answer::PatientRead(Some(chart))) = client.ask(&read("p & q", id.clone())) else {
        panic!("it exists")
    };
    assert_eq!(chart.person, Person::from(&content.patient));
    assert_eq!(client.ask(&read("another", id.clone())), Ok(Answer::PatientRead(None)));
    for unknown in ["hfp-99", " ", "a/../b", "?x"] {
        let reply = client.ask(&read("p & q", unknown.into()));
        assert_eq!(reply, Err(Fault::NotFound(Missing::Patient)), "{unknown:?}");
    }
}

#[test]
fn every_pass_finds_the_patient_that_we_created() {
    let mut client = Client::new(json!({}));
    let id = client.create_patient();
    let mut placeholder = patient("pat-1");
    placeholder.date_of_birth = jiff::civil::date(1900, 1, 1).into();
    let by_names = passes(&placeholder, false).into_iter().skip(1).take(1);
    for pass in passes(&patient("pat-1"), false).into_iter().chain(by_names) {
        let name = pass.name();
        let request = Request::SearchPatients { practice: "p & q".into(), pass, cursor: None };
        let Ok(Answer::Patients { found, .. }) = client.ask(&request) else { panic!("{name}") };
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].id.as_ref(), Some(&id));
        assert_eq!(found[0].external_id.as_deref(), Some("pat-1"));
        assert_eq!(found[0].person, (&patient("pat-1")).into());
    }
}
