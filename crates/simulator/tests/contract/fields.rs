//! The table of limits against both sides: the contract states them, and the simulator takes the longest and no more.

use healthflow_core::booking::texts::{self, Text};
use healthflow_core::healthflow::wire::{Method, WireRequest};
use healthflow_core::healthflow::{Answer, AppointmentContent, PatientContent, Request, encode};
use healthflow_simulator::answer::Ending;
use serde_json::{Value, json};

use crate::healthflow::{CONTRACT, Client, content, create_patient, patient};

/// The `maxLength` of `field` in the contract's schema `of`.
fn max_length(of: &str, field: &str) -> Option<usize> {
    let schema = CONTRACT.split_once(&format!("\n    {of}:\n"))?.1;
    let line = schema.lines().find(|line| line.trim_start().starts_with(&format!("{field}: ")))?;
    let (_, rest) = line.split_once("maxLength: ")?;
    rest.split([',', ' ']).next()?.parse().ok()
}

#[test]
fn the_limits_are_those_of_the_contract() {
    let rows: [(&Text, &str, &str); 12] = [
        (&texts::PRACTICE_ID, "AppointmentContent", "practice_id"),
        (&texts::BOOKING_ID, "AppointmentContent", "external_id"),
        (&texts::LOCATION_ID, "AppointmentContent", "location_id"),
        (&texts::PROVIDER_ID, "AppointmentContent", "provider_id"),
        (&texts::OPERATORY_ID, "AppointmentContent", "operatory_id"),
        (&texts::NOTE, "AppointmentContent", "note"),
        (&texts::PATIENT_ID, "PatientContent", "external_id"),
        (&texts::GIVEN_NAME, "PatientContent", "given_name"),
        (&texts::FAMILY_NAME, "PatientContent", "family_name"),
        (&texts::POSTAL_CODE, "PatientContent", "postal_code"),
        (&texts::PHONE, "PatientContent", "phone"),
        (&texts::EMAIL, "PatientContent", "email"),
    ];
    for (text, schema, field) in rows {
        assert_eq!(max_length(schema, field), Some(text.chars_max), "{}", text.field);
    }
    assert_eq!(max_length("AppointmentContent", "items"), Some(texts::PROCEDURE_CODE.chars_max));
    assert!(CONTRACT.contains(&format!("maxItems: {}", texts::PROCEDURE_CODES_MAX)));
}

/// Goal: what the table lets through is not refused for its length. Method: everything as long as it may be, in
/// characters of four bytes.
#[test]
fn the_longest_booking_is_taken() {
    let longest = |text: &Text| "𝔵".repeat(text.chars_max);
    let mut client = Client::new(json!({}));
    let mut person = patient(&longest(&texts::PATIENT_ID));
    person.given_name = longest(&texts::GIVEN_NAME).into();
    person.family_name = longest(&texts::FAMILY_NAME).into();
    person.postal_code = longest(&texts::POSTAL_CODE).into();
    person.phone = Some(longest(&texts::PHONE).into());
    person.email = Some(longest(&texts::EMAIL).into());
    let practice = longest(&texts::PRACTICE_ID);
    let of = PatientContent { practice: practice.as_str().into(), patient: person };
    let id = match client.ask(&Request::CreatePatient { content: of, idempotency_key: "k-1".into() }) {
        Ok(Answer::PatientCreated(id)) => id,
        other => panic!("{other:?}"),
    };
    let mut wanted = AppointmentContent {
        practice: practice.as_str().into(),
        location_id: longest(&texts::LOCATION_ID).into(),
        ..content(&longest(&texts::BOOKING_ID), &id)
    };
    wanted.visit.provider_id = longest(&texts::PROVIDER_ID).into();
    wanted.visit.operatory_id = Some(longest(&texts::OPERATORY_ID).into());
    wanted.visit.procedure_codes = vec![longest(&texts::PROCEDURE_CODE); texts::PROCEDURE_CODES_MAX];
    wanted.visit.note = Some(longest(&texts::NOTE).into());
    let create = Request::CreateAppointment { content: wanted, idempotency_key: "k-2".into() };
    assert!(matches!(client.ask(&create), Ok(Answer::AppointmentCreated(_))));
}

/// The status of the answer to `request` as it is.
fn status(client: &mut Client, request: &WireRequest) -> u16 {
    match client.simulator.handle(request, client.now).ending {
        Ending::Reply(reply) => reply.status,
        other => panic!("{other:?}"),
    }
}

/// A HealthFlow on PostgreSQL cannot store a NUL and answers 500, which says nothing about its effect. The simulator
/// does the same, so that a change that lets one through shows what it costs.
#[test]
fn a_nul_in_any_text_is_a_500_that_does_nothing() {
    let mut client = Client::new(json!({}));
    let patient = client.create_patient();
    let create =
        Request::CreateAppointment { content: content("b-1", &patient), idempotency_key: "k".into() };
    for request in [encode(&create_patient("pat-2")), encode(&create)] {
        let body: Value = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
        for (name, text) in body.as_object().unwrap().iter().filter(|(_, value)| value.is_string()) {
            let mut spoilt = body.clone();
            spoilt[name] = format!("{}\0", text.as_str().unwrap()).into();
            let body = Some(serde_json::to_vec(&spoilt).unwrap());
            assert_eq!(status(&mut client, &WireRequest { body, ..request.clone() }), 500, "{name}");
        }
    }
    let url = "/appointments?practice_id=p&external_id=b%00";
    let get = |url: &str| WireRequest {
        method: Method::Get,
        path_and_query: url.into(),
        idempotency_key: None,
        if_match: None,
        body: None,
    };
    assert_eq!(status(&mut client, &get(url)), 500);
    assert_eq!(client.simulator.audit().appointments, 0);
    assert_eq!(status(&mut client, &encode(&create)), 201, "the same without");
    // A backslash that is followed by the letters of the escape is not a NUL.
    let mut harmless = content("b-2", &patient);
    harmless.visit.note = Some("C:\\u0000".into());
    let create = Request::CreateAppointment { content: harmless, idempotency_key: "k-2".into() };
    assert_eq!(status(&mut client, &encode(&create)), 201);
}
