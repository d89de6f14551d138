//! What each request looks like on the wire.

use serde_json::{Value, json};

use super::*;
use crate::booking::{BookingStatus, Patient, PatientId, Visit};

fn visit(start: &str, time_zone: &str) -> Visit {
    let start: jiff::Timestamp = start.parse().unwrap();
    Visit {
        start: Timestamp(start.as_millisecond()),
        duration_minutes: 45,
        time_zone: time_zone.into(),
        provider_id: "dr-1".into(),
        operatory_id: None,
        procedure_codes: vec!["D0120".into()],
        note: None,
    }
}

fn appointment(visit: Visit) -> AppointmentContent {
    AppointmentContent {
        practice: "p 1".into(),
        booking: "b-1".into(),
        patient: "hfp-1".into(),
        location_id: "l-1".into(),
        status: BookingStatus::Scheduled,
        visit,
    }
}

fn patient() -> Patient {
    Patient {
        id: PatientId::from("pat-1"),
        healthflow_patient_id: None,
        given_name: "Ann".into(),
        family_name: "O’Brien".into(),
        date_of_birth: jiff::civil::date(1980, 2, 29).into(),
        postal_code: "60601".into(),
        phone: None,
        email: Some("ann@example.org".into()),
        sex: Some(Sex::Female),
    }
}

fn body(wire: &WireRequest) -> Value {
    serde_json::from_slice(wire.body.as_deref().unwrap()).unwrap()
}

fn sent_start(start: &str, time_zone: &str) -> Value {
    let content = appointment(visit(start, time_zone));
    body(&encode(&Request::UpdateAppointment { id: "a".into(), content, if_match: None }))["start"].clone()
}

#[test]
fn an_appointment_is_written_whole() {
    let content = appointment(visit("2026-06-01T14:30:00Z", "America/Chicago"));
    let wire = encode(&Request::CreateAppointment { content, idempotency_key: "k1".into() });
    assert_eq!((wire.method, wire.path_and_query.as_str()), (Method::Post, "/appointments"));
    assert_eq!(wire.idempotency_key.as_deref(), Some("k1"));
    let expected = json!({
        "practice_id": "p 1", "external_id": "b-1", "patient_id": "hfp-1", "location_id": "l-1",
        "status": "scheduled", "start": "2026-06-01T09:30:00-05:00", "time_zone": "America/Chicago",
        "duration_minutes": 45, "provider_id": "dr-1", "procedure_codes": ["D0120"],
    });
    assert_eq!(body(&wire), expected);
}

#[test]
fn a_patient_is_written_whole() {
    let content = PatientContent { practice: "p".into(), patient: patient() };
    let wire = encode(&Request::CreatePatient { content, idempotency_key: "k2".into() });
    assert_eq!((wire.method, wire.path_and_query.as_str()), (Method::Post, "/patients"));
    let expected = json!({
        "practice_id": "p", "external_id": "pat-1", "given_name": "Ann", "family_name": "O’Brien",
        "date_of_birth": "1980-02-29", "postal_code": "60601", "email": "ann@example.org", "sex": "female",
    });
    assert_eq!(body(&wire), expected);
}

#[test]
fn each_pass_asks_for_its_fields_only_and_in_the_body() {
    let (patient, mut nobody_knows) = (patient(), patient());
    nobody_knows.date_of_birth = jiff::civil::date(1900, 1, 1).into();
    let sent_for = |patient: &Patient, index: usize, cursor: Option<&str>| {
        let pass = crate::patient::search::passes(patient, false)[index].clone();
        let cursor = cursor.map(str::to_owned);
        let wire = encode(&Request::SearchPatients { practice: "p".into(), pass, cursor });
        assert_eq!((wire.method, wire.path_and_query.as_str()), (Method::Post, "/patients/search"));
        assert_eq!(wire.idempotency_key, None);
        body(&wire)
    };
    let sent = |index, cursor| sent_for(&patient, index, cursor);
    let names = json!({"practice_id": "p", "given_name": "Ann", "family_name": "O’Brien"});
    assert_eq!(sent_for(&nobody_knows, 1, None), names);
    assert_eq!(sent(0, None), json!({"practice_id": "p", "external_id": "pat-1"}));
    assert_eq!(sent(1, Some("c")), json!({"practice_id": "p", "date_of_birth": "1980-02-29", "cursor": "c"}));
    assert_eq!(sent(2, None), json!({"practice_id": "p", "family_name": "O’Brien", "postal_code": "60601"}));
    assert_eq!(sent(3, None), json!({"practice_id": "p", "given_name": "Ann", "postal_code": "60601"}));
}

#[test]
fn whatever_stands_in_an_identifier_stays_one_value() {
    let sought = Sought::Reference("ä/1?#%".into());
    let find = Request::FindAppointment { practice: "a&b=c".into(), sought, cursor: None };
    let path = encode(&find).path_and_query;
    assert_eq!(path, "/appointments?practice_id=a%26b%3Dc&external_id=%C3%A4%2F1%3F%23%25");
    let content = appointment(visit("2026-12-01T15:00:00Z", "UTC"));
    let put = encode(&Request::UpdateAppointment { id: "x/../y".into(), content, if_match: None });
    assert_eq!((put.method, put.path_and_query.as_str()), (Method::Put, "/appointments/x%2F..%2Fy"));
}

/// A start is an instant, so a time that a clock skips cannot be asked for: the minute before the gap is followed by
/// the minute after it.
#[test]
fn the_hour_that_the_clock_skips_is_never_sent() {
    assert_eq!(sent_start("2026-03-08T07:59:00Z", "America/Chicago"), "2026-03-08T01:59:00-06:00");
    assert_eq!(sent_start("2026-03-08T08:00:00Z", "America/Chicago"), "2026-03-08T03:00:00-05:00");
}

#[test]
fn the_hour_that_the_clock_shows_twice_is_told_apart_by_its_offset() {
    assert_eq!(sent_start("2026-11-01T06:30:00Z", "America/Chicago"), "2026-11-01T01:30:00-05:00");
    assert_eq!(sent_start("2026-11-01T07:30:00Z", "America/Chicago"), "2026-11-01T01:30:00-06:00");
}

#[test]
fn an_unknown_zone_still_sends_the_same_instant() {
    assert_eq!(sent_start("2026-06-01T14:30:00Z", "Mars/Olympus"), "2026-06-01T14:30:00Z");
}

#[test]
fn an_update_names_the_version_as_an_entity_tag() {
    let content = appointment(visit("2026-06-01T14:30:00Z", "UTC"));
    let put = Request::UpdateAppointment { id: "a".into(), content, if_match: Some("7".into()) };
    assert_eq!(encode(&put).if_match.as_deref(), Some("\"7\""));
    let get = encode(&Request::ReadAppointment { id: "a/b".into() });
    assert_eq!((get.method, get.path_and_query.as_str()), (Method::Get, "/appointments/a%2Fb"));
}

/// HealthFlow's contract has its id of a chart in the path: nowhere else.
#[test]
fn a_chart_is_read_by_its_id_which_stays_one_segment() {
    for (id, path) in
        [("hfp-1", "/patient/hfp-1"), (" ", "/patient/%20"), ("a/../b?c#d", "/patient/a%2F..%2Fb%3Fc%23d")]
    {
        let get = encode(&Request::ReadPatient { practice: "p".into(), id: id.into() });
        assert_eq!((get.method, get.path_and_query.as_str(), get.body), (Method::Get, path, None));
    }
}

/// No other URL contains anything that identifies a patient, not even HealthFlow's id.
#[test]
fn a_slot_is_asked_for_by_its_start_only() {
    let slot = appointment(visit("2026-06-01T14:30:00Z", "America/Chicago")).slot();
    let cursor = Some("a&b".to_owned());
    let find = Request::FindAppointment { practice: "p".into(), sought: Sought::Slot(slot), cursor };
    let path = encode(&find).path_and_query;
    assert_eq!(path, "/appointments?practice_id=p&start=2026-06-01T14%3A30%3A00Z&cursor=a%26b");
}
