//! Goal: whatever the registry does, a schema that exists is got in the end, and one that does not is not waited for.
//! Method: a small server that answers from a script, one line a request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::*;
use crate::event::avro::{Encoder, Undecodable, contract};
use crate::event::requested::AppointmentRequested;
use crate::event::topics;

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

fn patience() -> Patience {
    Patience {
        request_timeout: Duration::from_millis(200),
        pause_min: Duration::from_millis(1),
        pause_max: Duration::from_millis(4),
        unknown_tries: 3,
        unknown_lasts: Duration::from_secs(600),
    }
}

async fn serve(listener: tokio::net::TcpListener, script: Shared) {
    axum::serve(listener, Router::new().fallback(act).with_state(script)).await.expect("serves");
}

async fn registry(acts: impl IntoIterator<Item = Act>, patience: Patience) -> (Arc<SchemaRegistry>, Shared) {
    let script: Shared = Arc::new(Mutex::new(Script { acts: acts.into_iter().collect(), requests: 0 }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, script.clone()));
    (Arc::new(SchemaRegistry::new(&format!("http://{address}/"), patience).expect("a client")), script)
}

fn requests(script: &Shared) -> usize {
    script.lock().expect("not poisoned").requests
}

/// What a record of schema 7 becomes.
fn decode(schema: Arc<WriterSchema>) -> Result<AppointmentRequested, Undecodable> {
    let mut bytes = Vec::new();
    Encoder::new(ours(), 7).encode(&crate::event::tests::sample::event(), &mut bytes).expect("fits");
    schema.decoder(ours()).decode(&bytes)
}

#[tokio::test]
async fn a_schema_is_asked_for_once() {
    let (registry, script) = registry([found()], patience()).await;
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
    let (registry, script) = registry(acts, patience()).await;
    assert!(decode(registry.schema(7).await).is_ok());
    assert_eq!(requests(&script), expected);
}

#[tokio::test]
async fn a_registry_that_is_down_is_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    drop(listener);
    let registry = Arc::new(SchemaRegistry::new(&format!("http://{address}"), patience()).expect("a client"));
    let mut waiting = tokio::spawn({
        let registry = registry.clone();
        async move { decode(registry.schema(7).await) }
    });
    let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
    assert!(early.is_err(), "no verdict while the registry is away");
    let listener = tokio::net::TcpListener::bind(address).await.expect("its port again");
    tokio::spawn(serve(listener, Arc::new(Mutex::new(Script { acts: [found()].into(), requests: 0 }))));
    assert!(waiting.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn an_id_that_stays_unknown_is_given_up_and_not_asked_for_again_at_once() {
    let (registry, script) = registry([answer(404, UNKNOWN)], patience()).await;
    assert_eq!(decode(registry.schema(7).await), Err(Undecodable::UnknownSchema(7)));
    assert_eq!(decode(registry.cached(7).expect("remembered")), Err(Undecodable::UnknownSchema(7)));
    assert_eq!(requests(&script), 3);
}

#[tokio::test]
async fn an_id_that_was_unknown_becomes_known() {
    let forgetful = Patience { unknown_lasts: Duration::ZERO, ..patience() };
    let acts = [answer(404, UNKNOWN), answer(404, UNKNOWN), answer(404, UNKNOWN), found()];
    let (registry, _) = registry(acts, forgetful).await;
    assert_eq!(decode(registry.schema(7).await), Err(Undecodable::UnknownSchema(7)));
    let forgotten = async {
        while registry.cached(7).is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), forgotten).await.expect("it is forgotten");
    assert!(decode(registry.schema(7).await).is_ok());
}

#[tokio::test]
async fn an_outage_in_between_starts_the_count_again() {
    let acts = [answer(404, UNKNOWN), answer(404, UNKNOWN), answer(500, ""), answer(404, UNKNOWN), found()];
    let (registry, _) = registry(acts, patience()).await;
    assert!(decode(registry.schema(7).await).is_ok());
}

#[tokio::test]
async fn a_fetch_in_the_background_runs_once_and_tells() {
    let (registry, script) = registry([answer(503, ""), found()], patience()).await;
    let runtime = tokio::runtime::Handle::current();
    let (tell, told) = tokio::sync::oneshot::channel();
    registry.fetch(&runtime, 7, move || {
        let _ = tell.send(());
    });
    registry.fetch(&runtime, 7, || panic!("the same id is under way"));
    told.await.expect("it tells");
    assert!(registry.cached(7).is_some());
    assert_eq!(requests(&script), 2);
}

#[tokio::test]
async fn a_refusal_ends_a_registration_and_an_outage_does_not() {
    let refusal = r#"{"error_code": 409, "message": "Incompatible: field x"}"#;
    let (registry, script) = registry([answer(500, ""), answer(409, refusal)], patience()).await;
    let fault = registry.register_patiently(ours()).await.expect_err("refused");
    let expected = "the schema registry refuses the schema of appointments.requested: Incompatible: field x";
    assert_eq!(fault.to_string(), expected);
    assert_eq!(requests(&script), 2);
}

#[tokio::test]
async fn what_is_registered_needs_no_fetching() {
    let (registry, script) = registry([answer(503, ""), answer(200, r#"{"id": 7}"#)], patience()).await;
    assert_eq!(registry.register_patiently(ours()).await, Ok(7));
    assert!(decode(registry.cached(7).expect("known")).is_ok());
    assert_eq!(requests(&script), 2);
}
