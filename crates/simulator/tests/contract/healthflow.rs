//! HealthFlow's contract against both sides of it: what our client writes, the simulator takes; what the simulator
//! answers, our client reads; and every endpoint of the OpenAPI file is there.

use healthflow_core::booking::{BookingStatus, Patient, PatientId, Visit};
use healthflow_core::healthflow::fault::{Missing, NotSent, Unknown};
use healthflow_core::healthflow::wire::{Method, TransportFault, WireReply, WireRequest};
use healthflow_core::healthflow::{
    Answer, AppointmentContent, Fault, Operation, PatientContent, Reply, Request, Sought, WrittenAppointment,
    decode, encode,
};
use healthflow_core::patient::HealthFlowPatientId;
use healthflow_core::patient::search::passes;
use healthflow_core::time::Timestamp;
use healthflow_simulator::answer::{Ending, Faults, Simulator};
use proptest::prelude::*;
use serde_json::{Value, json};

pub const CONTRACT: &str = include_str!("../../../../schemas/healthflow.openapi.yaml");

/// 2026-11-24T12:00:00Z.
pub const NOW: Timestamp = Timestamp(1_795_521_600_000);

/// HealthFlow as our client sees it.
pub struct Client {
    pub simulator: Simulator,
    pub now: Timestamp,
}

impl Client {
    pub fn new(faults: Value) -> Self {
        let mut client = Client { simulator: Simulator::new(Faults::default(), 1), now: NOW };
        client.set_faults(faults);
        client
    }

    pub fn set_faults(&mut self, faults: Value) {
        self.simulator.patch_faults(&faults).expect("as the contract says");
    }

    pub fn ask(&mut self, request: &Request) -> Reply {
        let received = match self.simulator.handle(&encode(request), self.now).ending {
            Ending::Reply(reply) => Ok(reply),
            Ending::Dropped => Err(TransportFault::Unknown(Unknown::Reset)),
            Ending::Refused => Err(TransportFault::NotSent(NotSent::Connect)),
        };
        decode(request, received, self.now)
    }

    pub fn create_patient(&mut self) -> HealthFlowPatientId {
        match self.ask(&create_patient("pat-1")) {
            Ok(Answer::PatientCreated(id)) => id,
            other => panic!("{other:?}"),
        }
    }
}

pub fn patient(id: &str) -> Patient {
    Patient {
        id: PatientId::from(id),
        healthflow_patient_id: None,
        given_name: "Zoë ".into(),
        family_name: "O’Brien-Smith".into(),
        date_of_birth: jiff::civil::date(1980, 2, 29).into(),
        postal_code: "60601-1234".into(),
        phone: Some("+1 312 555 0100".into()),
        email: Some("zoe@example.org".into()),
        sex: Some(healthflow_core::booking::Sex::Female),
    }
}

pub fn create_patient(id: &str) -> Request {
    let content = PatientContent { practice: "p & q".into(), patient: patient(id) };
    Request::CreatePatient { content, idempotency_key: format!("key-{id}") }
}

pub fn content(booking: &str, patient: &HealthFlowPatientId) -> AppointmentContent {
    AppointmentContent {
        practice: "p & q".into(),
        booking: booking.into(),
        patient: patient.clone(),
        location_id: "l".into(),
        status: BookingStatus::Scheduled,
        visit: Visit {
            start: Timestamp(1_796_139_000_000),
            duration_minutes: 45,
            time_zone: "America/Chicago".into(),
            provider_id: "d".into(),
            operatory_id: Some("chair 1".into()),
            procedure_codes: vec!["D0120".into(), "D1110".into()],
            note: Some("bring the x-rays".into()),
        },
    }
}

pub fn create(booking: &str, patient: &HealthFlowPatientId) -> Request {
    Request::CreateAppointment {
        content: content(booking, patient),
        idempotency_key: format!("key-{booking}"),
    }
}

fn find(booking: &str) -> Request {
    let sought = Sought::Reference(booking.into());
    Request::FindAppointment { practice: "p & q".into(), sought, cursor: None }
}

fn found(client: &mut Client, booking: &str) -> usize {
    match client.ask(&find(booking)) {
        Ok(Answer::Appointments { found, .. }) => found.len(),
        other => panic!("{other:?}"),
    }
}

/// One request of every operation, answered well when `line` is in health and holds a patient and booking `b`.
pub fn one_of_each(patient: &HealthFlowPatientId) -> Vec<Request> {
    let practice = || "p & q".into();
    let pass = passes(&self::patient("pat-1"), false)[0].clone();
    vec![
        Request::SearchPatients { practice: practice(), pass, cursor: None },
        create_patient("pat-2"),
        find("b"),
        create("c", patient),
        Request::UpdateAppointment { id: "hfa-1".into(), content: content("b", patient), if_match: None },
        Request::ReadAppointment { id: "hfa-1".into() },
        Request::ReadPatient { practice: practice(), id: patient.clone() },
    ]
}

#[test]
fn every_operation_is_understood_on_both_sides() {
    let mut client = Client::new(json!({}));
    let patient = client.create_patient();
    let Ok(Answer::AppointmentCreated(created)) = client.ask(&create("b", &patient)) else {
        panic!("created")
    };
    let id = created.id.clone();
    let answers: Vec<Reply> = one_of_each(&patient).iter().map(|request| client.ask(request)).collect();
    for (operation, answer) in Operation::ALL.iter().zip(&answers) {
        let fits = matches!(
            (operation, answer),
            (Operation::SearchPatients, Ok(Answer::Patients { found, next_cursor: None })) if found.len() == 1
        ) || matches!(
            (operation, answer),
            (Operation::FindAppointment, Ok(Answer::Appointments { found, .. }))
                if found.len() == 1 && found[0].id == id && found[0].patient == patient
        ) || matches!(
            (operation, answer),
            (Operation::CreatePatient, Ok(Answer::PatientCreated(_)))
                | (Operation::CreateAppointment, Ok(Answer::AppointmentCreated(_)))
                | (Operation::ReadAppointment, Ok(Answer::AppointmentRead(_)))
        ) || matches!(
            (operation, answer),
            (Operation::ReadPatient, Ok(Answer::PatientRead(Some(chart)))) if chart.id.as_ref() == Some(&patient)
        ) || (*operation == Operation::UpdateAppointment
            && *answer == Ok(Answer::AppointmentUpdated(created.clone())));
        assert!(fits, "{operation:?}: {answer:?}");
    }
    let audit = client.simulator.audit();
    assert_eq!((audit.appointments, audit.patients, audit.orphans, audit.duplicate_patients), (2, 2, 0, 0));
}

#[test]
fn a_search_of_many_pages_is_read_to_its_end() {
    let mut client = Client::new(json!({"page_size": 2}));
    for index in 0..5 {
        client.ask(&create_patient(&format!("pat-{index}"))).expect("as the contract says");
    }
    let born = passes(&patient("x"), false)[1].clone();
    let (mut cursor, mut pages, mut people) = (None, 0, 0);
    loop {
        let request = Request::SearchPatients { practice: "p & q".into(), pass: born.clone(), cursor };
        let Ok(Answer::Patients { found, next_cursor }) = client.ask(&request) else {
            panic!("page {pages}")
        };
        (pages, people, cursor) = (pages + 1, people + found.len(), next_cursor);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((pages, people), (3, 5));
}

#[test]
fn every_fault_of_every_operation_is_read_as_what_it_is() {
    let unknown = |why| Fault::Unknown(why);
    for (faults, fault) in [
        (json!({"down": "refused"}), Fault::NotSent(NotSent::Connect)),
        (json!({"down": "unavailable"}), unknown(Unknown::ServerError)),
        (json!({"server_error_before": 1.0}), unknown(Unknown::ServerError)),
        (json!({"server_error_after": 1.0}), unknown(Unknown::ServerError)),
        (json!({"drop_before": 1.0}), unknown(Unknown::Reset)),
        (json!({"drop_after": 1.0}), unknown(Unknown::Reset)),
        (json!({"late_landing": 1.0}), unknown(Unknown::Reset)),
        (json!({"unreadable_after": 1.0}), unknown(Unknown::Unreadable)),
        (json!({"proxy_before": 1.0}), unknown(Unknown::Foreign { status: 400 })),
        (json!({"proxy_after": 1.0, "proxy_status": 413}), unknown(Unknown::Foreign { status: 413 })),
        (json!({"proxy_after": 1.0, "proxy_status": 200}), unknown(Unknown::Unreadable)),
        (json!({"unauthorised": true}), Fault::Unauthorised),
    ] {
        let mut client = Client::new(json!({}));
        let patient = client.create_patient();
        client.ask(&create("b", &patient)).expect("as the contract says");
        client.set_faults(faults.clone());
        for request in one_of_each(&patient) {
            assert_eq!(client.ask(&request), Err(fault.clone()), "{faults} {:?}", request.operation());
        }
    }
    let mut client = Client::new(json!({"requests_per_second": 0.1}));
    let patient = client.create_patient();
    for request in one_of_each(&patient) {
        assert_eq!(client.ask(&request), Err(Fault::Throttled { retry_after_ms: Some(10_000) }));
    }
}

#[test]
fn a_repeated_create_is_what_the_guard_makes_of_it() {
    let mut client = Client::new(json!({"drop_after": 1.0, "faults_strike": "appointment_creates"}));
    let patient = client.create_patient();
    assert_eq!(client.ask(&create("b", &patient)), Err(Fault::Unknown(Unknown::Reset)));
    client.set_faults(json!({"drop_after": 0.0}));
    assert_eq!(
        client.ask(&create("b", &patient)),
        Ok(Answer::AppointmentCreated(WrittenAppointment { id: "hfa-1".into(), revision: None }))
    );
    let mut moved = content("b", &patient);
    moved.visit.duration_minutes = 60;
    let moved = Request::CreateAppointment { content: moved, idempotency_key: "key-b".into() };
    assert_eq!(client.ask(&moved), Err(Fault::KeyReused));
    client.set_faults(json!({"honours_idempotency_keys": false, "unique_external_id": true}));
    assert_eq!(
        client.ask(&create("b", &patient)),
        Err(Fault::AlreadyThere { existing_id: Some("hfa-1".into()) })
    );
    client.set_faults(json!({"unique_external_id": false, "slot_conflicts": true}));
    assert_eq!(client.ask(&create("b", &patient)), Err(Fault::SlotTaken));
    assert_eq!(found(&mut client, "b"), 1);
    client.set_faults(json!({"slot_conflicts": false}));
    client.ask(&create("b", &patient)).expect("as the contract says");
    assert_eq!((found(&mut client, "b"), client.simulator.audit().duplicate_appointments), (2, 1));
}

#[test]
fn a_late_write_is_found_once_it_landed() {
    let mut client = Client::new(json!({"late_landing": 1, "late_landing_ms": 400, "search_lag_ms": 100,
        "faults_strike": "appointment_creates"}));
    let patient = client.create_patient();
    assert_eq!(client.ask(&create("b", &patient)), Err(Fault::Unknown(Unknown::Reset)));
    for (after_ms, times) in [(0, 0), (399, 0), (499, 0), (500, 1)] {
        client.now = NOW.plus_ms(after_ms);
        assert_eq!(found(&mut client, "b"), times, "after {after_ms} ms");
    }
}

#[test]
fn what_is_gone_is_not_found_and_what_is_wrong_is_refused_by_field() {
    let mut client = Client::new(json!({}));
    let patient = client.create_patient();
    client.ask(&create("b", &patient)).expect("as the contract says");
    let mut wrong = content("c", &patient);
    wrong.visit.duration_minutes = 0;
    wrong.location_id = "".into();
    let wrong = Request::CreateAppointment { content: wrong, idempotency_key: "k".into() };
    let fields = vec!["location_id: required".to_owned(), "duration_minutes: too_small".to_owned()];
    assert_eq!(client.ask(&wrong), Err(Fault::Refused { status: 422, fields }));
    client.simulator.delete_appointment("hfa-1");
    let update =
        Request::UpdateAppointment { id: "hfa-1".into(), content: content("b", &patient), if_match: None };
    assert_eq!(client.ask(&update), Err(Fault::NotFound(Missing::Appointment)));
    client.simulator.delete_patient(patient.as_str());
    assert_eq!(client.ask(&create("d", &patient)), Err(Fault::NotFound(Missing::Patient)));
    assert_eq!(client.simulator.audit().orphans, 0);
}

/// Path, method and description of every endpoint in the OpenAPI file, by its indentation.
fn endpoints() -> Vec<(String, Method, String)> {
    let mut endpoints: Vec<(String, Method, String)> = Vec::new();
    let mut path = "";
    let paths = CONTRACT
        .split_once("\npaths:\n")
        .expect("as the contract says")
        .1
        .split_once("\ncomponents:\n")
        .expect("as the contract says")
        .0;
    for line in paths.lines() {
        if let Some(name) = line.strip_prefix("  /") {
            path = name.trim_end_matches(':');
        }
        let method = match line {
            "    get:" => Some(Method::Get),
            "    post:" => Some(Method::Post),
            "    put:" => Some(Method::Put),
            _ => None,
        };
        match method {
            Some(method) => endpoints.push((format!("/{path}"), method, String::new())),
            None => endpoints.last_mut().into_iter().for_each(|endpoint| endpoint.2.push_str(line)),
        }
    }
    endpoints
}

#[test]
fn every_endpoint_of_the_contract_is_answered() {
    let endpoints = endpoints();
    assert_eq!(endpoints.len(), 9, "{endpoints:?}");
    for (path, method, _) in endpoints {
        let mut client = Client::new(json!({}));
        let patient = client.create_patient();
        client.ask(&create("b", &patient)).expect("as the contract says");
        let id = if path.starts_with("/patient/") { patient.as_str() } else { "hfa-1" };
        let body = match (path.as_str(), method) {
            (_, Method::Get) => None,
            ("/appointments" | "/appointments/{id}", _) => encode(&create("c", &patient)).body,
            _ => encode(&create_patient("pat-2")).body,
        };
        let query = if method == Method::Get { "?practice_id=p" } else { "" };
        let path_and_query = format!("{}{query}", path.replace("{id}", id));
        let request = WireRequest { method, path_and_query, idempotency_key: None, if_match: None, body };
        let status = client.simulator.answer(&request, NOW).expect("as the contract says").status;
        assert!(matches!(status, 200 | 201), "{method:?} {path}: {status}");
    }
}

#[test]
fn every_endpoint_documents_what_we_use_it_for_or_why_not() {
    let used = [
        ("/appointments", Method::Get),
        ("/appointments", Method::Post),
        ("/appointments/{id}", Method::Get),
        ("/appointments/{id}", Method::Put),
        ("/patient/{id}", Method::Get),
        ("/patients", Method::Post),
        ("/patients/search", Method::Post),
    ];
    for (path, method, text) in endpoints() {
        let is_used = used.contains(&(path.as_str(), method));
        let word = if is_used { "        USED " } else { "        NOT USED: " };
        assert!(text.contains(word), "{method:?} {path} does not say {word:?}");
    }
}

#[test]
fn every_field_that_we_write_is_in_the_contract() {
    let patient = HealthFlowPatientId::from("hfp-1");
    for request in one_of_each(&patient).iter().filter_map(|request| encode(request).body) {
        let body: Value = serde_json::from_slice(&request).expect("as the contract says");
        for field in body.as_object().expect("as the contract says").keys() {
            assert!(CONTRACT.contains(&format!("        {field}:")), "{field}");
        }
    }
}

proptest! {
    /// Any answer, of HealthFlow or a proxy, is read without a panic, and a write counts as done only if the contract
    /// says so; a PUT answered 204 is a case of its own, which its booking decides.
    #[test]
    fn no_answer_is_believed_beyond_the_contract(
        status in 0_u16..700,
        retry_after in proptest::option::of(".{0,40}"),
        body in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), r#"\{"(id|code)":"[a-zA-Z_.]{0,20}"\}"#
            .prop_map(String::into_bytes)],
    ) {
        for request in one_of_each(&HealthFlowPatientId::from("hfp-1")) {
            let received = WireReply { retry_after: retry_after.clone(), ..WireReply::bare(status, body.clone()) };
            let reply = decode(&request, Ok(received), NOW);
            let is_unseen = status == 204 && matches!(reply, Ok(Answer::UpdateUnseen));
            prop_assert!(reply.is_err() || is_unseen || matches!(status, 200 | 201), "{status}: {reply:?}");
        }
    }

    /// An identifier of any text survives body, path and query.
    #[test]
    fn any_reference_is_found_again(booking in "\\PC{1,40}", other in "\\PC{1,40}") {
        prop_assume!(!booking.trim().is_empty() && booking != other);
        let mut client = Client::new(json!({}));
        let patient = client.create_patient();
        client.ask(&create(&booking, &patient)).unwrap();
        prop_assert_eq!(found(&mut client, &booking), 1);
        prop_assert_eq!(found(&mut client, &other), 0);
    }

    /// The simulator answers anything.
    #[test]
    fn the_simulator_answers_whatever_comes(
        method in prop_oneof![Just(Method::Get), Just(Method::Post), Just(Method::Put)],
        path_and_query in prop_oneof!["\\PC{0,60}", "/(appointments|patients|patient)(/\\PC{0,9})?\\?\\PC{0,30}"],
        body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100)),
    ) {
        let request = WireRequest { method, path_and_query, idempotency_key: None, if_match: None, body };
        let reply = Simulator::new(Faults::default(), 1).answer(&request, NOW);
        prop_assert!(reply.is_some_and(|reply| serde_json::from_slice::<Value>(&reply.body).is_ok()));
    }
}
