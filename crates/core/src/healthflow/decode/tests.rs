//! The classification table: every row of it, one test each.

mod candidates;

use super::*;
use crate::appointment::fingerprint::fingerprint_of;
use crate::booking::{BookingStatus, PatientId, Visit};
use crate::healthflow::fault::{Missing, NotSent};
use crate::healthflow::wire::LimitHeaders;
use crate::healthflow::{AppointmentContent, AppointmentRead, PatientContent, Sought, WrittenAppointment};
use crate::patient::search::Pass;
use crate::private::Private;

/// 2026-11-24T12:00:00Z.
const NOW: Timestamp = Timestamp(1_795_521_600_000);

fn requests() -> Vec<Request> {
    let content = AppointmentContent {
        practice: "p".into(),
        booking: "b".into(),
        patient: "hfp-1".into(),
        location_id: "l".into(),
        status: BookingStatus::Scheduled,
        visit: Visit {
            start: NOW,
            duration_minutes: 30,
            time_zone: "UTC".into(),
            provider_id: "d".into(),
            operatory_id: None,
            procedure_codes: Vec::new(),
            note: None,
        },
    };
    let patient = crate::booking::Patient {
        id: PatientId::from("pat-1"),
        healthflow_patient_id: None,
        given_name: "Ann".into(),
        family_name: "Lee".into(),
        date_of_birth: Private::new(jiff::civil::date(1980, 1, 1)),
        postal_code: "60601".into(),
        phone: None,
        email: None,
        sex: None,
    };
    let pass = Pass::Reference(patient.id.clone());
    let idempotency_key = "k".to_owned();
    let patient = PatientContent { practice: "p".into(), patient };
    vec![
        Request::SearchPatients { practice: "p".into(), pass, cursor: None },
        Request::CreatePatient { content: patient, idempotency_key: idempotency_key.clone() },
        Request::FindAppointment {
            practice: "p".into(),
            sought: Sought::Reference("b".into()),
            cursor: None,
        },
        Request::CreateAppointment { content: content.clone(), idempotency_key },
        Request::UpdateAppointment { id: "hfa-1".into(), content, if_match: None },
        Request::ReadAppointment { id: "hfa-1".into() },
        Request::ReadPatient { practice: "p".into(), id: "hfp-1".into() },
    ]
}

fn appointment(revision: Option<&str>) -> WrittenAppointment {
    WrittenAppointment { id: "hfa-1".into(), revision: revision.map(Into::into) }
}

fn request(operation: Operation) -> Request {
    requests().into_iter().find(|request| request.operation() == operation).unwrap()
}

fn reply(status: u16, body: &str) -> Result<WireReply, TransportFault> {
    Ok(WireReply::bare(status, body.as_bytes().to_vec()))
}

fn decoded(operation: Operation, status: u16, body: &str) -> Reply {
    decode(&request(operation), reply(status, body), NOW)
}

/// Asserts that `received` means `fault` for every operation.
fn always(received: Result<WireReply, TransportFault>, fault: Fault) {
    for request in requests() {
        assert_eq!(decode(&request, received.clone(), NOW), Err(fault.clone()), "{:?}", request.operation());
    }
}

const UNREADABLE: Fault = Fault::Unknown(Unknown::Unreadable);

fn foreign(status: u16) -> Fault {
    Fault::Unknown(Unknown::Foreign { status })
}

#[test]
fn a_failed_connection_sent_nothing() {
    always(Err(TransportFault::NotSent(NotSent::Connect)), Fault::NotSent(NotSent::Connect));
    always(Err(TransportFault::NotSent(NotSent::LeaseOver)), Fault::NotSent(NotSent::LeaseOver));
}

#[test]
fn a_time_out_or_reset_after_sending_leaves_doubt() {
    always(Err(TransportFault::Unknown(Unknown::Timeout)), Fault::Unknown(Unknown::Timeout));
    always(Err(TransportFault::Unknown(Unknown::Reset)), Fault::Unknown(Unknown::Reset));
    always(reply(408, ""), Fault::Unknown(Unknown::Timeout));
}

#[test]
fn every_5xx_leaves_doubt() {
    for status in [500, 502, 503, 504, 507, 599] {
        always(reply(status, r#"{"code":"INTERNAL"}"#), Fault::Unknown(Unknown::ServerError));
    }
}

#[test]
fn what_the_contract_does_not_know_leaves_doubt() {
    for status in [202, 206, 299] {
        always(reply(status, r#"{"id":"hfa-1"}"#), UNREADABLE);
    }
    for status in [0, 100, 301, 302, 304, 307, 402, 405, 411, 414, 415, 418, 426, 431, 451, 600] {
        always(reply(status, r#"{"id":"hfa-1"}"#), foreign(status));
    }
}

#[test]
fn no_content_answers_nothing_but_an_update() {
    for operation in Operation::ALL {
        let is_update = operation == Operation::UpdateAppointment;
        let expected = if is_update { Ok(Answer::UpdateUnseen) } else { Err(UNREADABLE) };
        assert_eq!(decoded(operation, 204, ""), expected, "{operation:?}");
    }
}

#[test]
fn credentials_refused_stop_the_account() {
    always(reply(401, r#"{"code":"UNAUTHORISED","fields":[]}"#), Fault::Unauthorised);
    always(reply(401, "<html>"), Fault::Unauthorised);
}

/// A firewall's 403 is not HealthFlow's.
#[test]
fn what_is_forbidden_is_believed_in_the_contracts_words_only() {
    always(reply(403, r#"{"code":"FORBIDDEN","fields":[]}"#), Fault::Forbidden);
    always(reply(403, r#"{"code":"UNAUTHORISED","message":"no right","fields":[]}"#), Fault::Forbidden);
    for body in ["", "<html>blocked", r#"{"message":"Forbidden"}"#, r#"{"code":"FORBIDDEN"}"#] {
        always(reply(403, body), foreign(403));
    }
}

#[test]
fn a_refusal_names_fields_and_rules_and_nothing_else() {
    let body = r#"{"code":"INVALID","message":"Ann Lee is too young","fields":[
        {"field":"date_of_birth","rule":"in_future"},{"field":"Ann Lee","rule":"Lee"}]}"#;
    let fields = vec!["date_of_birth: in_future".to_owned(), "other: other".to_owned()];
    always(reply(422, body), Fault::Refused { status: 422, fields });
    let malformed = r#"{"code":"MALFORMED","fields":[]}"#;
    for status in [400, 405, 413, 414, 415, 422, 431, 451] {
        always(reply(status, malformed), Fault::Refused { status, fields: vec![] });
    }
}

/// What nginx, a gateway or a framework answers with, and bodies that only resemble the contract's.
#[test]
fn a_refusal_in_other_words_than_the_contracts_leaves_doubt() {
    let bodies = [
        "",
        "<html><center><h1>413 Request Entity Too Large</h1></center><hr><center>nginx</center></html>",
        "no JSON",
        "null",
        "[]",
        "\"INVALID\"",
        "{}",
        r#"{"message":"Bad Request"}"#,
        r#"{"code":400,"fields":[]}"#,
        r#"{"code":"","fields":[]}"#,
        r#"{"code":"invalid","fields":[]}"#,
        r#"{"code":"INVALID"}"#,
        r#"{"code":"INVALID","fields":{}}"#,
        r#"{"code":"INVALID","fields":["note"]}"#,
        r#"{"code":"NO_SUCH_PATH","fields":[]}"#,
        r#"{"error":{"code":"INVALID","fields":[]}}"#,
        "{\"code\":\"INVALID\",\"fields\":[]",
    ];
    for status in [400, 402, 404, 405, 409, 410, 411, 412, 413, 414, 415, 422, 426, 431, 451] {
        for body in bodies {
            always(reply(status, body), foreign(status));
        }
    }
}

/// Goal: a 429 that tells of a reset only in the headers of its limits is waited for too, and `Retry-After` wins over them.
#[test]
fn a_throttle_without_retry_after_waits_for_the_reset() {
    let limits = Box::new(LimitHeaders {
        state: Some(r#""a";r=0;t=9, "b";r=5;t=60"#.into()),
        ..LimitHeaders::default()
    });
    let silent = WireReply { limits, ..WireReply::bare(429, Vec::new()) };
    let both = WireReply { retry_after: Some("7".into()), ..silent.clone() };
    always(Ok(silent), Fault::Throttled { retry_after_ms: Some(9_000) });
    always(Ok(both), Fault::Throttled { retry_after_ms: Some(7_000) });
}

#[test]
fn a_throttle_is_waited_for_within_bounds() {
    let cases = [
        (Some("7"), Some(7_000)),
        (Some(" 7 "), Some(7_000)),
        (Some("Tue, 24 Nov 2026 12:00:30 GMT"), Some(30_000)),
        (Some("Tue, 24 Nov 2026 11:00:00 GMT"), Some(RETRY_AFTER_MIN_MS)),
        (Some("Mon, 24 Nov 2036 12:00:00 GMT"), Some(RETRY_AFTER_MAX_MS)),
        (Some("0"), Some(RETRY_AFTER_MIN_MS)),
        (Some("999999999999999999999999"), Some(RETRY_AFTER_MAX_MS)),
        (Some("18446744073709551615"), Some(RETRY_AFTER_MAX_MS)),
        (Some("-5"), None),
        (Some("soon"), None),
        (Some(""), None),
        (None, None),
    ];
    for (text, retry_after_ms) in cases {
        let received = WireReply { retry_after: text.map(str::to_owned), ..WireReply::bare(429, Vec::new()) };
        always(Ok(received.clone()), Fault::Throttled { retry_after_ms });
        // Whatever the header says, the write may have been carried out.
        let doubt = retry_after_ms
            .map_or(Unknown::ServerError, |retry_after_ms| Unknown::Unavailable { retry_after_ms });
        always(Ok(WireReply { status: 503, ..received.clone() }), Fault::Unknown(doubt));
        always(Ok(WireReply { status: 502, ..received }), Fault::Unknown(Unknown::ServerError));
    }
}

#[test]
fn gone_is_believed_only_from_healthflow_itself_and_where_something_was_named() {
    use Operation::*;
    for status in [404, 410] {
        let patient = r#"{"code":"PATIENT_NOT_FOUND","fields":[]}"#;
        let appointment = r#"{"code":"APPOINTMENT_NOT_FOUND","fields":[]}"#;
        let other_words = Err(foreign(status));
        assert_eq!(decoded(CreateAppointment, status, patient), Err(Fault::NotFound(Missing::Patient)));
        assert_eq!(decoded(UpdateAppointment, status, patient), Err(Fault::NotFound(Missing::Patient)));
        assert_eq!(decoded(ReadPatient, status, patient), Err(Fault::NotFound(Missing::Patient)));
        assert_eq!(
            decoded(UpdateAppointment, status, appointment),
            Err(Fault::NotFound(Missing::Appointment))
        );
        assert_eq!(decoded(CreateAppointment, status, appointment), other_words);
        assert_eq!(decoded(CreatePatient, status, patient), other_words);
        assert_eq!(decoded(SearchPatients, status, patient), other_words);
        assert_eq!(decoded(FindAppointment, status, appointment), other_words);
        always(reply(status, "<html>no such host"), foreign(status));
        always(reply(status, r#"{"code":"NO_SUCH_PATH","fields":[]}"#), foreign(status));
    }
}

#[test]
fn each_conflict_is_what_its_code_says() {
    always(
        reply(409, r#"{"code":"ALREADY_EXISTS","existing_id":"hfa-9","fields":[]}"#),
        Fault::AlreadyThere { existing_id: Some("hfa-9".into()) },
    );
    always(reply(409, r#"{"code":"ALREADY_EXISTS","fields":[]}"#), Fault::AlreadyThere { existing_id: None });
    always(
        reply(409, r#"{"code":"ALREADY_EXISTS","existing_id":"..","fields":[]}"#),
        Fault::AlreadyThere { existing_id: None },
    );
    always(reply(409, r#"{"code":"SLOT_TAKEN","fields":[]}"#), Fault::SlotTaken);
    always(reply(409, r#"{"code":"KEY_REUSED","fields":[]}"#), Fault::KeyReused);
    always(reply(409, r#"{"code":"SOMETHING","fields":[]}"#), foreign(409));
    always(reply(409, ""), foreign(409));
}

#[test]
fn an_answer_that_does_not_say_what_was_asked_is_unreadable() {
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"id":7}"#,
        r#"{"id":""}"#,
        r#"{"id":".."}"#,
        "{\"id\":\"hfa-1\"",
        "\u{0}",
    ] {
        always(reply(200, body), UNREADABLE);
        always(reply(201, body), UNREADABLE);
    }
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(300));
    always(reply(200, &long), UNREADABLE);
    assert_eq!(decoded(Operation::UpdateAppointment, 200, r#"{"id":"hfa-2"}"#), Err(UNREADABLE));
}

#[test]
fn writes_answer_with_an_id() {
    let id = r#"{"id":"hfa-1","later":"unknown fields are passed over"}"#;
    assert_eq!(decoded(Operation::CreatePatient, 201, id), Ok(Answer::PatientCreated("hfa-1".into())));
    assert_eq!(
        decoded(Operation::CreateAppointment, 200, id),
        Ok(Answer::AppointmentCreated(appointment(None)))
    );
    assert_eq!(
        decoded(Operation::UpdateAppointment, 200, id),
        Ok(Answer::AppointmentUpdated(appointment(None)))
    );
}

#[test]
fn a_look_up_believes_only_what_carries_our_reference() {
    let found = |body: &str| decoded(Operation::FindAppointment, 200, body);
    let ours = r#"{"id":"hfa-1","practice_id":"p","external_id":"b","patient_id":"hfp-1"}"#;
    let other_booking = ours.replace(r#""b""#, r#""c""#);
    let other_practice = ours.replace(r#""p""#, r#""q""#);
    let one = vec![crate::healthflow::AppointmentFound {
        id: "hfa-1".into(),
        patient: "hfp-1".into(),
        revision: None,
    }];
    let page = format!(r#"{{"appointments":[{other_booking},{ours},{other_practice}],"next_cursor":"c"}}"#);
    assert_eq!(found(&page), Ok(Answer::Appointments { found: one, next_cursor: Some("c".into()) }));
    let nothing = || Ok(Answer::Appointments { found: Vec::new(), next_cursor: None });
    for last in [r#"{"appointments":[]}"#, r#"{"appointments":[],"next_cursor":null}"#] {
        assert_eq!(found(last), nothing());
    }
    assert_eq!(found(&format!(r#"{{"appointments":[{other_booking}],"next_cursor":""}}"#)), nothing());
}

#[test]
fn versions_are_told_where_they_can_be_named_again() {
    let written =
        |version: &str| decoded(Operation::UpdateAppointment, 200, &format!(r#"{{"id":"hfa-1"{version}}}"#));
    for (version, revision) in [
        (r#","version":"7""#, Some("7")),
        (r#","version":7"#, Some("7")),
        (r#","version":"""#, None),
        (r#","version":"\"""#, None),
        (r#","version":"a b""#, None),
        (r#","version":{}"#, None),
        ("", None),
    ] {
        assert_eq!(written(version), Ok(Answer::AppointmentUpdated(appointment(revision))), "{version}");
    }
}

#[test]
fn what_is_read_is_compared_whole_or_not_at_all() {
    let body = r#"{"id":"hfa-1","version":"7","practice_id":"p","patient_id":"hfp-1","location_id":"l","status":"scheduled",
        "start":"2026-11-24T13:00:00+01:00","time_zone":"UTC","duration_minutes":30,"provider_id":"d","procedure_codes":[]}"#;
    let Request::UpdateAppointment { content, .. } = request(Operation::UpdateAppointment) else { panic!() };
    let written = fingerprint_of("hfp-1", &content.location_id, content.status, &content.visit);
    let read = |body: &str| decoded(Operation::ReadAppointment, 200, body);
    let whole = AppointmentRead { revision: Some("7".into()), fingerprint: Some(written) };
    assert_eq!(read(body), Ok(Answer::AppointmentRead(whole.clone())));
    for other in [
        body.replace("30", "\"30\""),
        body.replace("location_id", "place"),
        body.replace("scheduled", "late"),
    ] {
        let unknown = AppointmentRead { fingerprint: None, ..whole.clone() };
        assert_eq!(read(&other), Ok(Answer::AppointmentRead(unknown)), "{other}");
    }
    assert_eq!(read(&body.replace("hfa-1", "hfa-2")), Err(UNREADABLE));
}

#[test]
fn a_refused_version_is_believed_only_where_one_was_named() {
    let changed = r#"{"code":"CHANGED","fields":[]}"#;
    always(reply(412, changed), foreign(412));
    let Request::UpdateAppointment { id, content, .. } = request(Operation::UpdateAppointment) else {
        panic!()
    };
    let put = Request::UpdateAppointment { id, content, if_match: Some("7".into()) };
    assert_eq!(decode(&put, reply(412, changed), NOW), Err(Fault::Changed));
    // A cache knows preconditions too; it does not know what may still land.
    assert_eq!(decode(&put, reply(412, "<html>"), NOW), Err(foreign(412)));
}

#[test]
fn a_slot_is_found_by_patient_start_and_provider_on_any_page() {
    let slot = crate::appointment::Slot { patient_id: "hfp-1".into(), start: NOW, provider_id: "d".into() };
    let request = Request::FindAppointment { practice: "p".into(), sought: Sought::Slot(slot), cursor: None };
    let found = |body: &str| match decode(&request, reply(200, body), NOW) {
        Ok(Answer::Appointments { found, next_cursor }) => {
            Some((found.iter().map(|one| one.id.to_string()).collect::<Vec<_>>(), next_cursor))
        }
        other => {
            assert_eq!(other, Err(UNREADABLE));
            None
        }
    };
    let ours = r#"{"id":"hfa-1","practice_id":"p","patient_id":"hfp-1","start":"2026-11-24T13:00:00+01:00","provider_id":"d"}"#;
    let page = |one: &str| format!(r#"{{"appointments":[{one}],"next_cursor":"c"}}"#);
    assert_eq!(found(&page(ours)), Some((vec!["hfa-1".to_owned()], Some("c".to_owned()))));
    for other in [
        ours.replace("hfp-1", "hfp-2"),
        ours.replace("13:00", "13:15"),
        ours.replace(r#""d""#, r#""e""#),
        ours.replace(r#""p""#, r#""q""#),
    ] {
        assert_eq!(found(&page(&other)), Some((vec![], Some("c".to_owned()))), "{other}");
    }
    assert_eq!(found(&page(&ours.replace("start", "begin"))), None, "it does not say when");
}
