//! People on both sides of the contract: which fields of a chart come back for comparison.

use healthflow_core::booking::Patient;
use healthflow_core::healthflow::{Answer, PatientContent, Request};
use healthflow_core::patient::Person;
use healthflow_core::patient::search::passes;
use healthflow_simulator::answer::PatientBody;
use serde_json::json;

use crate::healthflow::{Client, NOW, patient};

/// Goal: a chart's sex comes back as it was sent, and near twins are distinguished on our side, not in the search.
/// Method: a chart of たいき, and every pass of a search for だいき.
#[test]
fn a_search_answers_the_sex_and_finds_whom_only_a_mark_tells_apart() {
    let twin = |id: &str, name: &str| Patient { given_name: name.into(), ..patient(id) };
    let mut client = Client::new(json!({}));
    let content = PatientContent { practice: "p & q".into(), patient: twin("pat-1", "たいき") };
    client.ask(&Request::CreatePatient { content, idempotency_key: "k".into() }).expect("created");
    let daiki = twin("pat-2", "だいき");
    for pass in passes(&daiki, false).into_iter().skip(1) {
        let name = pass.name();
        let request = Request::SearchPatients { practice: "p & q".into(), pass, cursor: None };
        let Ok(Answer::Patients { found, .. }) = client.ask(&request) else { panic!("a page") };
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].person, Person::from(&twin("pat-1", "たいき")));
        assert_ne!(found[0].person, Person::from(&daiki));
    }
}

/// Goal: the case from outside: 5,100 charts of a practice are born on a placeholder, and a new patient with that date
/// costs four calls, not a hundred an attempt. Method: every page of every pass.
#[test]
fn a_placeholder_costs_as_many_calls_as_passes() {
    let mut client = Client::new(json!({}));
    let chart = |number: usize| PatientBody {
        practice_id: "p & q".into(),
        given_name: format!("Given{number}"),
        family_name: format!("Family{number}"),
        date_of_birth: "1900-01-01".into(),
        postal_code: "60601".into(),
        ..PatientBody::default()
    };
    client.simulator.seed_patients((0..5_100).map(chart).collect(), NOW);
    let placeholder = Patient { date_of_birth: jiff::civil::date(1900, 1, 1).into(), ..patient("pat-1") };
    let mut calls = 0;
    for pass in passes(&placeholder, false) {
        let mut cursor = None;
        loop {
            calls += 1;
            let request = Request::SearchPatients { practice: "p & q".into(), pass: pass.clone(), cursor };
            let Ok(Answer::Patients { next_cursor, .. }) = client.ask(&request) else { panic!("a page") };
            cursor = next_cursor;
            if cursor.is_none() {
                break;
            }
        }
    }
    assert_eq!(calls, 4);
}
