//! Goal: whatever the registry does, a schema that exists is fetched in the end, and no record waits for ever for one
//! that does not. Method: a small server that answers from a script, one line a request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use serde_json::json;

use super::*;
use healthflow_core::event::avro::{Encoder, Undecodable, contract};
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::status::SchemaTrouble;
use healthflow_core::topics;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What the server does with a request.
#[derive(Clone)]
enum Act {
    Answer(u16, String),
    Hang,
}

#[derive(Default)]
struct Script {
    acts: VecDeque<Act>,
    requests: usize,
}

type Shared = Arc<Mutex<Script>>;

const UNKNOWN: &str = r#"{"error_code": 40403, "message": "Schema not found"}"#;

fn ours() -> &'static Contract {
    contract(topics::REQUESTED).expect("one of ours")
}

fn found() -> Act {
    Act::Answer(200, json!({ "schema": ours().json }).to_string())
}

fn answer(status: u16, body: &str) -> Act {
    Act::Answer(status, body.to_owned())
}

async fn act(State(script): State<Shared>) -> Response {
    let act = {
        let mut script = script.lock().expect("not poisoned");
        script.requests += 1;
        // The last line of the script goes on for ever.
        if script.acts.len() > 1 { script.acts.pop_front() } else { script.acts.front().cloned() }
    };
    match act {
        Some(Act::Answer(status, body)) => {
            (StatusCode::from_u16(status).expect("a status"), body).into_response()
        }
        Some(Act::Hang) => std::future::pending().await,
        None => StatusCode::IM_A_TEAPOT.into_response(),
    }
}

fn policy() -> RetryPolicy {
    RetryPolicy {
        request_timeout: Duration::from_millis(200),
        pause_min: Duration::from_millis(1),
        pause_max: Duration::from_millis(4),
        unknown_wait: Duration::from_secs(600),
        unknown_wait_min: Duration::from_millis(10),
        unwanted_after: Duration::from_secs(600),
    }
}

async fn serve(listener: tokio::net::TcpListener, script: Shared) {
    axum::serve(listener, Router::new().fallback(act).with_state(script)).await.expect("serves");
}

async fn registry(acts: impl IntoIterator<Item = Act>, policy: RetryPolicy) -> (Arc<SchemaRegistry>, Shared) {
    let script: Shared = Arc::new(Mutex::new(Script { acts: acts.into_iter().collect(), requests: 0 }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, script.clone()));
    (
        Arc::new(
            SchemaRegistry::new(RegistrySettings::at(&format!("http://{address}/")), policy)
                .expect("a client"),
        ),
        script,
    )
}

fn requests(script: &Shared) -> usize {
    script.lock().expect("not poisoned").requests
}

/// What a record of schema 7 becomes.
fn decode(schema: Arc<WriterSchema>) -> Result<AppointmentRequested, Undecodable> {
    let mut bytes = Vec::new();
    Encoder::new(ours(), 7).encode(&healthflow_core::event::sample::event(), &mut bytes).expect("fits");
    schema.decoder(ours()).decode(&bytes)
}

#[tokio::test]
async fn a_schema_is_asked_for_once() {
    let (registry, script) = registry([found()], policy()).await;
    assert!(registry.cached(7).is_none());
    assert!(decode(registry.schema(7).await).is_ok());
    assert!(decode(registry.cached(7).expect("known now")).is_ok());
    registry.schema(7).await;
    assert_eq!(requests(&script), 1);
}

#[tokio::test]
async fn errors_silence_and_nonsense_are_waited_out() {
    let acts = [
        answer(500, UNKNOWN.replace("40403", "50001").as_str()),
        answer(503, ""),
        answer(404, "<html>no such route</html>"),
        answer(401, r#"{"error_code": 401, "message": "Unauthorized"}"#),
        answer(429, r#"{"error_code": 42901, "message": "slow down"}"#),
        answer(200, "not JSON"),
        Act::Hang,
        found(),
    ];
    let expected = acts.len();
    let (registry, script) = registry(acts, policy()).await;
    assert!(decode(registry.schema(7).await).is_ok());
    assert_eq!(requests(&script), expected);
}

#[tokio::test]
async fn a_registry_that_is_down_is_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    drop(listener);
    let registry = Arc::new(
        SchemaRegistry::new(RegistrySettings::at(&format!("http://{address}")), policy()).expect("a client"),
    );
    let mut waiting = tokio::spawn({
        let registry = registry.clone();
        async move { decode(registry.schema(7).await) }
    });
    let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
    assert!(early.is_err(), "nothing is decided while the registry is down");
    let listener = tokio::net::TcpListener::bind(address).await.expect("its port again");
    tokio::spawn(serve(listener, Arc::new(Mutex::new(Script { acts: [found()].into(), requests: 0 }))));
    assert!(waiting.await.expect("no panic").is_ok());
}

/// Waits for a condition, with a limit.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

fn schema_state(registry: &Arc<SchemaRegistry>) -> SchemaState {
    registry.schema_state(&tokio::runtime::Handle::current(), 7)
}

fn denied(registry: &SchemaRegistry) -> Vec<u32> {
    let mut status = Status::default();
    registry.fill(&mut status);
    status.schemas.iter().map(|schema| schema.id).collect()
}

/// Goal: a follower that learns of a schema seconds after its leader makes no dead letter. Method: many denials, then
/// the schema.
#[tokio::test]
async fn a_schema_that_the_registry_learns_late_is_waited_for() {
    let acts = std::iter::repeat_n(answer(404, UNKNOWN), 20).chain([found()]);
    let (registry, script) = registry(acts, policy()).await;
    assert!(decode(registry.schema(7).await).is_ok());
    assert_eq!(requests(&script), 21);
}

/// Goal: an id that stays unknown is denied in the end, shown in the status meanwhile, and known as soon as it is
/// registered after all.
#[tokio::test]
async fn an_id_that_stays_unknown_is_denied_and_heals() {
    let brief = RetryPolicy { unknown_wait: Duration::from_millis(20), ..policy() };
    let (registry, script) = registry([answer(404, UNKNOWN)], brief).await;
    assert_eq!(decode(registry.schema(7).await), Err(Undecodable::UnknownSchema(7)));
    assert!(registry.cached(7).is_none(), "a denial is not kept as if it were a schema");
    assert_eq!(denied(&registry), [7]);
    script.lock().expect("not poisoned").acts = [found()].into();
    until("known", || matches!(schema_state(&registry), SchemaState::Known(_))).await;
    assert!(decode(registry.schema(7).await).is_ok());
    assert!(denied(&registry).is_empty());
}

#[tokio::test]
async fn silence_is_no_denial_however_long_it_lasts() {
    let brief = RetryPolicy { unknown_wait: Duration::from_millis(20), ..policy() };
    let (registry, script) = registry([answer(404, UNKNOWN), answer(503, "")], brief).await;
    // Pauses of up to 4 ms: many times as long as it would wait for an id that is denied.
    until("many silent answers", || {
        assert!(matches!(schema_state(&registry), SchemaState::Asked));
        requests(&script) > 60
    })
    .await;
    script.lock().expect("not poisoned").acts = [found()].into();
    assert!(decode(registry.schema(7).await).is_ok());
}

#[tokio::test]
async fn an_id_that_is_not_needed_any_more_is_not_requested_and_forgotten() {
    let forgetful = RetryPolicy { unwanted_after: Duration::from_millis(5), ..policy() };
    let (registry, script) = registry([answer(404, UNKNOWN)], forgetful).await;
    schema_state(&registry);
    until("denied", || requests(&script) > 0).await;
    until("forgotten", || registry.asked.is_empty()).await;
    let before = requests(&script);
    assert!(matches!(schema_state(&registry), SchemaState::Asked), "it begins anew");
    until("asked again", || requests(&script) > before).await;
}

/// Goal: a producer that invents ids fills neither memory nor the registry's connections.
#[tokio::test]
async fn ids_that_are_asked_for_have_a_limit() {
    let patient = RetryPolicy { request_timeout: Duration::from_secs(60), ..policy() };
    let (registry, script) = registry([Act::Hang], patient).await;
    for id in 0..2_000 {
        let state = registry.schema_state(&tokio::runtime::Handle::current(), id);
        assert!(matches!(state, SchemaState::Asked));
    }
    until("requests", || requests(&script) >= 8).await;
    assert_eq!((registry.asked.len(), requests(&script)), (1_000, 8));
}

#[tokio::test]
async fn a_refusal_ends_a_registration() {
    let refusal = r#"{"error_code": 409, "message": "Incompatible: field x"}"#;
    let (registry, script) = registry([answer(409, refusal)], policy()).await;
    let fault = registry.register(ours()).await.expect_err("refused");
    let expected = "the schema registry refuses the schema of appointments.requested: Incompatible: field x";
    assert_eq!(fault.to_string(), expected);
    assert_eq!(requests(&script), 1);
}

/// Goal: a start waits for a registry that is down, and fails where only a person can help, with one line that names
/// the missing right, in whatever words the registry or a proxy refuses, or the command that registers.
#[tokio::test]
async fn a_look_up_outlives_an_outage_and_ends_with_what_is_missing() {
    let read = "read subject appointments.requested-value";
    for (status, words) in [
        (401, r#"{"error_code": 40101, "message": "Unauthorized"}"#),
        (403, r#"{"error_code": 40301, "message": "User is denied operation Read on Subject"}"#),
        (403, "<html>a proxy</html>"),
        (401, ""),
    ] {
        let acts =
            [answer(503, ""), Act::Hang, answer(200, "no JSON"), answer(200, "{}"), answer(status, words)];
        let (registry, script) = registry(acts, policy()).await;
        let looked_up = tokio::time::timeout(LIMIT, registry.look_up_patiently(ours())).await;
        let fault = looked_up.expect("it does not wait").expect_err("we may not");
        assert!(fault.to_string().contains(&format!("does not let us {read} (status {status})")), "{fault}");
        assert!(!fault.to_string().contains('\n'), "{fault}");
        assert_eq!(requests(&script), 5);
    }
    let none = r#"{"error_code": 40403, "message": "Schema not found"}"#;
    let (registry, _) = registry([answer(404, none)], policy()).await;
    let fault = registry.look_up_patiently(ours()).await.expect_err("it is not there");
    assert!(fault.to_string().contains("run `healthflow-sync topics`"), "{fault}");
    for (fault, right) in [
        (registry_that_forbids().await.register(ours()).await.map(|_| ()), "register schemas under subject"),
        (registry_that_forbids().await.set_compatibility(ours()).await, "set the compatibility of subject"),
        (registry_that_forbids().await.compatibility(ours()).await.map(|_| ()), "read the compatibility of"),
    ] {
        let fault = fault.expect_err("we may not").to_string();
        assert!(fault.contains(right), "{fault}");
    }
}

async fn registry_that_forbids() -> Arc<SchemaRegistry> {
    registry([answer(403, "no")], policy()).await.0
}

#[tokio::test]
async fn what_is_looked_up_needs_no_fetching() {
    let (registry, script) = registry([answer(503, ""), answer(200, r#"{"id": 7}"#)], policy()).await;
    assert_eq!(registry.look_up_patiently(ours()).await, Ok(7));
    assert!(decode(registry.cached(7).expect("known")).is_ok());
    assert_eq!(requests(&script), 2);
}

/// The contract's schema without the type of its patient, which has a schema of its own.
fn divided() -> (String, String) {
    let mut json: serde_json::Value = serde_json::from_str(ours().json).expect("JSON");
    let fields = json["fields"].as_array_mut().expect("fields");
    let patient = fields.iter_mut().find(|field| field["name"] == "patient").expect("a patient");
    let mut taken = std::mem::replace(&mut patient["type"], json!("com.dentscheduler.Patient"));
    taken["namespace"] = json!("com.dentscheduler");
    (json.to_string(), taken.to_string())
}

fn reference(subject: &str) -> serde_json::Value {
    json!({ "name": subject, "subject": subject, "version": 1 })
}

/// An answer about a version of a subject.
fn version(schema: &str, references: &[serde_json::Value]) -> Act {
    let body = json!({ "id": 90, "version": 1, "subject": "s", "schema": schema, "references": references });
    Act::Answer(200, body.to_string())
}

/// Goal: the schemas that a schema refers to are fetched with it, each once, and a reference that a follower does not
/// know yet is awaited like the schema itself. Method: two references, of which one refers to the other.
#[tokio::test]
async fn what_a_schema_refers_to_comes_with_it() {
    let (main, patient) = divided();
    let other = r#"{"type": "enum", "name": "Other", "symbols": ["A"]}"#;
    let acts = [
        version(&main, &[reference("other"), reference("patient")]),
        answer(404, UNKNOWN),
        version(&main, &[reference("other"), reference("patient")]),
        version(other, &[]),
        version(&patient, &[reference("other")]),
    ];
    let (registry, script) = registry(acts, policy()).await;
    assert!(decode(registry.schema(7).await).is_ok());
    assert_eq!(requests(&script), 5);
}

/// Requests to a registry that answers nonsense must end.
#[tokio::test]
async fn references_that_go_in_circles_or_on_for_ever_have_an_end() {
    let (main, _) = divided();
    let (registry, script) = registry([version(&main, &[reference("itself")])], policy()).await;
    let refused = decode(registry.schema(7).await).expect_err("the patient is nowhere");
    assert!(refused.to_string().contains("names the type com.dentscheduler.Patient"), "{refused}");
    assert_eq!(requests(&script), 2, "the schema and its reference");
    let many: Vec<_> = (0..200).map(|number| reference(&format!("s-{number}"))).collect();
    let (registry, script) = super::tests::registry([version(&main, &many)], policy()).await;
    assert!(decode(registry.schema(7).await).is_err());
    assert_eq!(requests(&script), 65);
}

/// Goal: a schema that we cannot read is logged before its first record, once, and shown for as long as it is seen.
#[tokio::test]
async fn a_schema_that_means_something_else_is_reported_before_its_records_come() {
    let local = ours().json.replace("timestamp-millis", "local-timestamp-millis");
    let (registry, script) = registry([version(&local, &[])], policy()).await;
    registry.look_at_latest(ours()).await.expect("an answer");
    registry.look_at_latest(ours()).await.expect("an answer");
    let mut status = Status { taken_at: Timestamp(1_000_000), ..Status::default() };
    registry.fill(&mut status);
    let [schema] = &status.schemas[..] else { panic!("{status:?}") };
    assert_eq!((schema.id, schema.trouble), (90, SchemaTrouble::Unreadable));
    let what = schema.what.as_deref().expect("says what differs");
    assert!(what.contains("requested_at is a long of the logical type local-timestamp-millis"), "{what}");
    // Its records need no further request.
    assert!(decode(registry.cached(90).expect("is here")).is_err());
    assert_eq!(requests(&script), 2);
}
