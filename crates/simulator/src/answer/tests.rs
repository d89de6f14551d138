//! The pretend HealthFlow's answers and faults, in virtual time.

use serde_json::json;

use super::*;
use healthflow_core::healthflow::wire::Method;

const NOW: Timestamp = Timestamp(1_795_521_600_000);

fn simulator(faults: Value) -> Simulator {
    let mut simulator = Simulator::new(Faults::default(), 1);
    simulator.patch_faults(&faults).unwrap();
    simulator
}

fn wire(method: Method, path: &str, key: Option<&str>, body: Value) -> WireRequest {
    let body = (!body.is_null()).then(|| body.to_string().into_bytes());
    WireRequest {
        method,
        path_and_query: path.into(),
        idempotency_key: key.map(str::to_owned),
        if_match: None,
        body,
    }
}

fn get(path: &str) -> WireRequest {
    wire(Method::Get, path, None, Value::Null)
}

fn patient(reference: &str) -> Value {
    json!({"practice_id": "p", "external_id": reference, "given_name": "Zoë", "family_name": "O'Brien",
        "date_of_birth": "1980-02-29", "postal_code": "60601-1234"})
}

fn appointment(reference: &str, patient_id: &str) -> Value {
    json!({"practice_id": "p", "external_id": reference, "patient_id": patient_id, "location_id": "l",
        "status": "scheduled", "start": "2026-12-01T09:30:00-06:00", "time_zone": "America/Chicago",
        "duration_minutes": 30, "provider_id": "d", "procedure_codes": ["D0120"]})
}

/// Status and JSON of an answer that must come.
fn asked(simulator: &mut Simulator, request: &WireRequest, now: Timestamp) -> (u16, Value) {
    let reply = simulator.answer(request, now).expect("an answer");
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
}

fn create_patient(simulator: &mut Simulator, reference: &str) -> String {
    let (status, body) = asked(simulator, &wire(Method::Post, "/patients", None, patient(reference)), NOW);
    assert_eq!(status, 201, "{body}");
    body["id"].as_str().unwrap().to_owned()
}

fn create(reference: &str, key: Option<&str>) -> WireRequest {
    wire(Method::Post, "/appointments", key, appointment(reference, "hfp-1"))
}

fn listed(simulator: &mut Simulator, reference: &str, now: Timestamp) -> usize {
    let path = format!("/appointments?practice_id=p&external_id={reference}");
    asked(simulator, &get(&path), now).1["appointments"].as_array().unwrap().len()
}

#[test]
fn what_is_written_is_stored_and_found() {
    let mut simulator = simulator(json!({}));
    let patient_id = create_patient(&mut simulator, "pat-1");
    let (status, created) = asked(&mut simulator, &create("b 1", None), NOW);
    assert_eq!((status, created["patient_id"].as_str()), (201, Some(patient_id.as_str())));
    let path = format!("/appointments/{}", created["id"].as_str().unwrap());
    let mut changed = appointment("b 1", &patient_id);
    changed["status"] = "cancelled".into();
    assert_eq!(asked(&mut simulator, &wire(Method::Put, &path, None, changed), NOW.plus_ms(5)).0, 200);
    assert_eq!(asked(&mut simulator, &get(&path), NOW).1["status"], "cancelled");
    assert_eq!(listed(&mut simulator, "b%201", NOW), 1);
    assert_eq!(listed(&mut simulator, "b", NOW), 0);
    let ledger = serde_json::to_value(simulator.ledger()).unwrap();
    let entry = &ledger["appointments"][0];
    assert_eq!((entry["writes"].as_u64(), entry["created_at_ms"].as_i64()), (Some(2), Some(NOW.0)));
    assert_eq!(entry["updated_at_ms"], NOW.0 + 5);
}

#[test]
fn searches_fold_names_and_codes_and_keep_practices_apart() {
    let mut simulator = simulator(json!({"page_size": 2}));
    for reference in ["pat-1", "pat-2", "pat-3"] {
        create_patient(&mut simulator, reference);
    }
    let mut search = |body: Value| {
        let (status, body) = asked(&mut simulator, &wire(Method::Post, "/patients/search", None, body), NOW);
        assert_eq!(status, 200, "{body}");
        (body["patients"].as_array().unwrap().len(), body["next_cursor"].clone())
    };
    assert_eq!(search(json!({"practice_id": "p", "external_id": "pat-2"})), (1, Value::Null));
    let born = json!({"practice_id": "p", "date_of_birth": "1980-02-29"});
    let (found, cursor) = search(born.clone());
    assert_eq!(found, 2);
    let mut rest = born;
    rest["cursor"] = cursor;
    assert_eq!(search(rest), (1, Value::Null));
    assert_eq!(search(json!({"practice_id": "p", "given_name": "ZOE", "postal_code": "60601"})).0, 2);
    assert_eq!(search(json!({"practice_id": "p", "family_name": "obrien", "postal_code": "60601"})).0, 2);
    assert_eq!(search(json!({"practice_id": "p", "family_name": "obrien", "postal_code": "60602"})).0, 0);
    assert_eq!(search(json!({"practice_id": "q", "date_of_birth": "1980-02-29"})).0, 0);
}

#[test]
fn what_breaks_the_contract_is_refused_by_field_and_rule() {
    let mut simulator = simulator(json!({}));
    create_patient(&mut simulator, "pat-1");
    let mut refused = |path: &str, body: Value| {
        let (status, body) = asked(&mut simulator, &wire(Method::Post, path, None, body), NOW);
        assert_eq!(status, 422, "{body}");
        format!(
            "{} {}",
            body["fields"][0]["field"].as_str().unwrap(),
            body["fields"][0]["rule"].as_str().unwrap()
        )
    };
    let but = |mut body: Value, field: &str, value: Value| {
        body[field] = value;
        body
    };
    let visit = || appointment("b", "hfp-1");
    for (field, value, rule) in [
        ("start", json!("2026-12-01T09:30:00-05:00"), "start offset_mismatch"),
        ("start", json!("tomorrow"), "start format"),
        ("time_zone", json!("Mars/Olympus"), "time_zone unknown"),
        ("status", json!("maybe"), "status unknown"),
        ("duration_minutes", json!(0), "duration_minutes too_small"),
        ("provider_id", json!(""), "provider_id required"),
        ("note", json!("x".repeat(5_000)), "note too_long"),
    ] {
        assert_eq!(refused("/appointments", but(visit(), field, value)), rule);
    }
    for (field, value, rule) in [
        ("date_of_birth", json!("29.2.1980"), "date_of_birth format"),
        ("date_of_birth", json!("2030-01-01"), "date_of_birth in_future"),
        ("given_name", json!("x".repeat(300)), "given_name too_long"),
        ("sex", json!("?"), "sex unknown"),
    ] {
        assert_eq!(refused("/patients", but(patient("x"), field, value)), rule);
    }
    assert_eq!(asked(&mut simulator, &wire(Method::Post, "/patients", None, json!("no object")), NOW).0, 400);
    assert_eq!(asked(&mut simulator, &create("b", None), NOW).0, 201);
    let orphan = wire(Method::Post, "/appointments", None, appointment("b", "hfp-9"));
    assert_eq!(asked(&mut simulator, &orphan, NOW), (404, error_json("PATIENT_NOT_FOUND")));
    assert_eq!(asked(&mut simulator, &get("/nowhere"), NOW).0, 404);
    assert_eq!(asked(&mut simulator, &wire(Method::Put, "/patients", None, json!({})), NOW).0, 405);
}

fn error_json(code: &str) -> Value {
    json!({"code": code, "message": "see the contract", "fields": []})
}

#[test]
fn a_key_repeats_its_first_answer_until_it_is_forgotten() {
    let mut simulator = simulator(json!({"idempotency_key_retention_ms": 1_000}));
    create_patient(&mut simulator, "pat-1");
    let first = asked(&mut simulator, &create("b", Some("k")), NOW);
    assert_eq!(asked(&mut simulator, &create("b", Some("k")), NOW.plus_ms(999)), first);
    let other = asked(&mut simulator, &create("c", Some("k")), NOW);
    assert_eq!((other.0, other.1["code"].as_str()), (409, Some("KEY_REUSED")));
    simulator.patch_faults(&json!({"replays_for_other_bytes": true})).unwrap();
    assert_eq!(asked(&mut simulator, &create("c", Some("k")), NOW), first);
    assert_eq!(simulator.audit().duplicate_appointments, 0);
    assert_ne!(asked(&mut simulator, &create("b", Some("k")), NOW.plus_ms(1_000)), first);
    let audit = simulator.audit();
    assert_eq!((audit.duplicate_appointments, audit.replayed), (1, 2));
    assert_eq!(audit.examples, ["p/b"]);
}

#[test]
fn without_keys_a_repeat_is_a_duplicate_unless_references_are_unique() {
    let mut simulator = simulator(json!({"honours_idempotency_keys": false}));
    create_patient(&mut simulator, "pat-1");
    let (_, first) = asked(&mut simulator, &create("b", Some("k")), NOW);
    simulator.patch_faults(&json!({"unique_external_id": true})).unwrap();
    let (status, body) = asked(&mut simulator, &create("b", Some("k")), NOW);
    assert_eq!((status, &body["code"], &body["existing_id"]), (409, &json!("ALREADY_EXISTS"), &first["id"]));
    simulator.patch_faults(&json!({"unique_external_id": false})).unwrap();
    assert_eq!(asked(&mut simulator, &create("b", Some("k")), NOW).0, 201);
    create_patient(&mut simulator, "pat-1");
    let audit = simulator.audit();
    assert_eq!((audit.duplicate_appointments, audit.duplicate_patients, audit.duplicate_people), (1, 1, 1));
}

#[test]
fn a_slot_belongs_to_one_scheduled_appointment() {
    let mut simulator = simulator(json!({"slot_conflicts": true}));
    create_patient(&mut simulator, "pat-1");
    let (_, first) = asked(&mut simulator, &create("b", None), NOW);
    assert_eq!(asked(&mut simulator, &create("c", None), NOW), (409, error_json("SLOT_TAKEN")));
    let path = format!("/appointments/{}", first["id"].as_str().unwrap());
    let mut changed = appointment("b", "hfp-1");
    assert_eq!(asked(&mut simulator, &wire(Method::Put, &path, None, changed.clone()), NOW).0, 200);
    changed["status"] = "cancelled".into();
    assert_eq!(asked(&mut simulator, &wire(Method::Put, &path, None, changed), NOW).0, 200);
    assert_eq!(asked(&mut simulator, &create("c", None), NOW).0, 201);
}

/// Goal: a provider has one visit at a time. Method: visits of half an hour that touch, overlap by a minute, across
/// midnight, of another provider, of another practice's provider of the same name.
#[test]
fn a_slot_is_taken_by_whatever_overlaps_it() {
    let mut simulator = simulator(json!({"slot_conflicts": true}));
    create_patient(&mut simulator, "pat-1");
    let mut ask = |booking: &str, start: &str, minutes: u32, provider: &str| {
        let mut body = appointment(booking, "hfp-1");
        body["start"] = start.into();
        body["duration_minutes"] = minutes.into();
        body["provider_id"] = provider.into();
        asked(&mut simulator, &wire(Method::Post, "/appointments", None, body), NOW).0
    };
    assert_eq!(ask("a", "2030-01-07T17:45:00-06:00", 30, "d"), 201);
    assert_eq!(ask("b", "2030-01-07T18:14:00-06:00", 30, "d"), 409);
    assert_eq!(ask("b", "2030-01-07T18:15:00-06:00", 30, "d"), 201);
    assert_eq!(ask("c", "2030-01-07T17:16:00-06:00", 30, "d"), 409);
    assert_eq!(ask("c", "2030-01-07T17:15:00-06:00", 30, "d"), 201);
    assert_eq!(ask("e", "2030-01-07T06:00:00-06:00", 1_440, "d"), 409);
    assert_eq!(ask("e", "2030-01-07T06:00:00-06:00", 1_440, "other"), 201);
}

#[test]
fn faults_happen_before_or_after_the_effect_as_set() {
    for (knob, existing, status) in [
        ("server_error_before", 0, Some(500)),
        ("server_error_after", 1, Some(500)),
        ("drop_before", 0, None),
        ("drop_after", 1, None),
        ("unreadable_after", 1, Some(200)),
    ] {
        let mut simulator = simulator(json!({}));
        create_patient(&mut simulator, "pat-1");
        simulator
            .patch_faults(&json!({knob: 1.0, "faults_strike": "appointment_creates", "hang_ms": 70}))
            .unwrap();
        let handling = simulator.handle(&create("b", None), NOW);
        let answered = match handling.ending {
            Ending::Reply(reply) => Some(reply.status),
            Ending::Dropped => None,
            Ending::Refused => panic!("{knob}: nothing is refused"),
        };
        assert_eq!(answered, status, "{knob}");
        assert_eq!(handling.reply_at, NOW.plus_ms(if status.is_none() { 70 } else { 0 }), "{knob}");
        assert_eq!(simulator.writes()[1].answered, status, "{knob}");
        assert_eq!(listed(&mut simulator, "b", NOW), existing, "{knob}");
    }
}

#[test]
fn a_late_write_lands_at_its_time_and_not_before() {
    let mut simulator = simulator(json!({}));
    create_patient(&mut simulator, "pat-1");
    simulator
        .patch_faults(&json!({"late_landing": 1, "late_landing_ms": 500, "faults_strike": "writes"}))
        .unwrap();
    let handling = simulator.handle(&create("b", Some("k")), NOW);
    assert_eq!((handling.ending, handling.lands_at), (Ending::Dropped, Some(NOW.plus_ms(500))));
    assert_eq!(simulator.next_landing(), Some(NOW.plus_ms(500)));
    assert_eq!(listed(&mut simulator, "b", NOW.plus_ms(499)), 0);
    assert_eq!(simulator.audit().pending, 1);
    simulator.advance(NOW.plus_ms(2_000));
    assert_eq!(listed(&mut simulator, "b", NOW.plus_ms(2_000)), 1);
    let landed = &simulator.writes()[1];
    assert_eq!((landed.carried_out_at_ms, landed.effect), (Some(NOW.plus_ms(500)), "created"));
    assert_eq!(simulator.next_landing(), None);
}

#[test]
fn a_late_write_whose_key_was_repeated_meanwhile_does_nothing() {
    let mut simulator = simulator(json!({}));
    create_patient(&mut simulator, "pat-1");
    simulator.patch_faults(&json!({"late_landing": 1, "late_landing_ms": 500})).unwrap();
    simulator.handle(&create("b", Some("k")), NOW);
    simulator.patch_faults(&json!({"late_landing": 0})).unwrap();
    assert_eq!(asked(&mut simulator, &create("b", Some("k")), NOW.plus_ms(100)).0, 201);
    assert_eq!(listed(&mut simulator, "b", NOW.plus_ms(900)), 1);
    assert_eq!(simulator.writes()[1].effect, "replayed");
}

#[test]
fn searches_lag_behind_writes() {
    let mut simulator = simulator(json!({"search_lag_ms": 300}));
    create_patient(&mut simulator, "pat-1");
    let (_, created) = asked(&mut simulator, &create("b", None), NOW);
    assert_eq!(listed(&mut simulator, "b", NOW.plus_ms(299)), 0);
    let path = format!("/appointments/{}", created["id"].as_str().unwrap());
    assert_eq!(asked(&mut simulator, &get(&path), NOW).0, 404);
    assert_eq!(listed(&mut simulator, "b", NOW.plus_ms(300)), 1);
    assert_eq!(asked(&mut simulator, &get(&path), NOW.plus_ms(300)).0, 200);
}

#[test]
fn the_rate_limit_holds_and_retry_after_is_right() {
    let mut simulator = simulator(json!({"requests_per_second": 2.0, "latency_ms": 20}));
    let request = get("/patients?practice_id=p");
    let mut status = |ms: i64| {
        let handling = simulator.handle(&request, NOW.plus_ms(ms));
        let Ending::Reply(reply) = handling.ending else { panic!("an answer") };
        assert_eq!(handling.reply_at, NOW.plus_ms(ms + 20));
        assert_eq!(reply.limits.policy.as_deref(), Some(r#""default";q=2;w=1"#));
        (reply.status, reply.retry_after)
    };
    let throttled = (429, Some("1".to_owned()));
    assert_eq!(status(0), (200, None));
    assert_eq!(status(0), (200, None));
    assert_eq!(status(0), throttled);
    assert_eq!(status(499), throttled);
    assert_eq!(status(500), (200, None));
    assert_eq!(status(500), throttled);
    assert_eq!((simulator.audit().throttled, simulator.audit().peak_requests_per_second), (3, 6));
}

#[test]
fn the_quota_of_a_day_ends_at_midnight() {
    let mut simulator = simulator(json!({"requests_per_day": 1}));
    let request = get("/patients?practice_id=p");
    assert_eq!(asked(&mut simulator, &request, NOW).0, 200);
    let reply = simulator.answer(&request, NOW).unwrap();
    assert_eq!((reply.status, reply.retry_after.as_deref()), (429, Some("43200")));
    assert_eq!(asked(&mut simulator, &request, NOW.plus_ms(43_200_000)).0, 200);
}

#[test]
fn down_is_down_and_does_nothing() {
    let mut simulator = simulator(json!({"down": "unavailable"}));
    assert_eq!(asked(&mut simulator, &wire(Method::Post, "/patients", None, patient("x")), NOW).0, 503);
    simulator.patch_faults(&json!({"down": "refused"})).unwrap();
    assert_eq!(simulator.handle(&get("/patients?practice_id=p"), NOW).ending, Ending::Refused);
    simulator.patch_faults(&json!({"down": "no", "unauthorised": true})).unwrap();
    assert_eq!(asked(&mut simulator, &get("/patients?practice_id=p"), NOW).0, 401);
    assert_eq!(simulator.audit().patients, 0);
}

#[test]
fn what_a_practice_deletes_is_gone_and_leaves_orphans_to_be_found() {
    let mut simulator = simulator(json!({}));
    let patient_id = create_patient(&mut simulator, "pat-1");
    let (_, created) = asked(&mut simulator, &create("b", None), NOW);
    let id = created["id"].as_str().unwrap();
    assert!(simulator.delete_patient(&patient_id));
    assert!(!simulator.delete_patient(&patient_id));
    assert_eq!((simulator.audit().orphans, simulator.audit().patients), (1, 0));
    let path = format!("/appointments/{id}");
    let put = wire(Method::Put, &path, None, appointment("b", &patient_id));
    assert_eq!(asked(&mut simulator, &put, NOW), (404, error_json("PATIENT_NOT_FOUND")));
    assert!(simulator.delete_appointment(id));
    assert_eq!(asked(&mut simulator, &put, NOW), (404, error_json("APPOINTMENT_NOT_FOUND")));
    assert_eq!((listed(&mut simulator, "b", NOW), simulator.audit().orphans), (0, 0));
}

#[test]
fn seeded_patients_are_there_and_only_our_copies_of_them_count() {
    let mut simulator = simulator(json!({"down": "unavailable"}));
    let body: PatientBody = serde_json::from_value(patient("pat-1")).unwrap();
    let ids = simulator.seed_patients(vec![body.clone(), body], NOW);
    assert_eq!(ids.len(), 2);
    assert_eq!((simulator.audit().patients_seeded, simulator.audit().duplicate_people), (2, 0));
    simulator.patch_faults(&json!({"down": "no"})).unwrap();
    create_patient(&mut simulator, "pat-9");
    assert_eq!(simulator.audit().duplicate_people, 1);
}

#[test]
fn knobs_that_cannot_be_are_refused_and_change_nothing() {
    let mut simulator = simulator(json!({"latency_ms": 20}));
    for bad in [
        json!({"latency": 1}),
        json!({"latency_ms": -1}),
        json!({"latency_ms": 999_999_999}),
        json!({"drop_after": 1.5}),
        json!({"down": "maybe"}),
        json!({"page_size": 0}),
        json!({"requests_per_second": -1.0}),
        json!([]),
    ] {
        assert!(simulator.patch_faults(&bad).is_err(), "{bad}");
    }
    assert_eq!(*simulator.faults(), Faults { latency_ms: 20, ..Faults::default() });
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let life = |seed: u64| {
        let mut simulator = Simulator::new(Faults { drop_before: 0.5, ..Faults::default() }, seed);
        (0..64).map(|_| simulator.answer(&get("/patients?practice_id=p"), NOW).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(life(7), life(7));
    assert_ne!(life(7), life(8));
    let answered = life(7).iter().filter(|answered| **answered).count();
    assert!((16..48).contains(&answered), "{answered} of 64");
}
