//! People on both sides of the contract: what of a chart comes back to be compared.

use healthflow_sync::booking::Patient;
use healthflow_sync::healthflow::{Answer, PatientContent, Request};
use healthflow_sync::patient::Person;
use healthflow_sync::patient::search::{PASSES, pass};
use serde_json::json;

use crate::healthflow::{Line, patient};

/// Goal: a chart's sex comes back as it was sent, and near twins are told apart on our side, not in the search. Method: a
/// chart of たいき, and every pass of a search for だいき.
#[test]
fn a_search_answers_the_sex_and_finds_whom_only_a_mark_tells_apart() {
    let twin = |id: &str, name: &str| Patient { given_name: name.into(), ..patient(id) };
    let mut line = Line::new(json!({}));
    let content = PatientContent { practice: "p & q".into(), patient: twin("pat-1", "たいき") };
    line.ask(&Request::CreatePatient { content, idempotency_key: "k".into() }).expect("created");
    let daiki = twin("pat-2", "だいき");
    for index in 1..PASSES {
        let pass = pass(&daiki, index).expect("a pass");
        let request = Request::SearchPatients { practice: "p & q".into(), pass, cursor: None };
        let Ok(Answer::Patients { found, .. }) = line.ask(&request) else { panic!("a page") };
        assert_eq!(found.len(), 1, "pass {index}");
        assert_eq!(found[0].person, Person::from(&twin("pat-1", "たいき")));
        assert_ne!(found[0].person, Person::from(&daiki));
    }
}
