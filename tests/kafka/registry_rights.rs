//! A schema registry in which we may read and not write, or not even that: the shipped program before a real registry,
//! with a guard between them as a registry with rights, or one in read-only mode, has it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use healthflow_core::event::result::ResultOutcome;
use serde_json::json;

use crate::rig::Rig;
use crate::world::{LIMIT, world};
use healthflow_testkit::wait::wait_for;

/// What the guard lets through.
#[derive(Clone, Copy)]
enum Rule {
    /// Whatever reads, look-ups of a schema among it.
    ReadOnly,
    /// The same; but of one subject nothing is registered.
    WithoutSubject(&'static str),
    /// Nothing, under this status.
    Nothing(u16),
}

struct Guard {
    registry_url: String,
    client: reqwest::Client,
    rule: Mutex<Rule>,
    refused_writes: Mutex<Vec<String>>,
}

impl Guard {
    /// A guard before the registry at `registry_url`, and the guard's own address.
    fn post(registry_url: &str) -> (Arc<Guard>, String) {
        let (registry_url, client) = (registry_url.to_owned(), reqwest::Client::new());
        let (rule, refused_writes) = (Mutex::new(Rule::ReadOnly), Mutex::default());
        let guard = Arc::new(Guard { registry_url, client, rule, refused_writes });
        let routes = Router::new().fallback(pass).with_state(guard.clone());
        let url = world().runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move { axum::serve(listener, routes).await });
            url
        });
        (guard, url)
    }

    fn rules(&self, rule: Rule) {
        *self.rule.lock().unwrap() = rule;
    }

    /// The attempts to write since the last call, a line each.
    fn refused_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.refused_writes.lock().unwrap())
    }
}

async fn pass(State(guard): State<Arc<Guard>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let (rule, path) = (*guard.rule.lock().unwrap(), uri.path().to_owned());
    // As Confluent's security plugin says it.
    let forbidden = |status: u16| {
        let body =
            json!({ "error_code": u32::from(status) * 100 + 1, "message": "User is denied operation" });
        (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
    };
    let is_look_up =
        method == Method::POST && path.starts_with("/subjects/") && path.matches('/').count() == 2;
    match rule {
        Rule::Nothing(status) => return forbidden(status),
        Rule::WithoutSubject(subject) if path == format!("/subjects/{subject}") => {
            let denial = r#"{"error_code": 40403, "message": "Schema not found"}"#;
            return (StatusCode::NOT_FOUND, denial).into_response();
        }
        _ if method != Method::GET && !is_look_up => {
            guard.refused_writes.lock().unwrap().push(format!("{method} {path}"));
            return forbidden(403);
        }
        Rule::ReadOnly | Rule::WithoutSubject(_) => {}
    }
    let request = guard.client.request(method, format!("{}{uri}", guard.registry_url));
    let request = request.header("content-type", "application/vnd.schemaregistry.v1+json").body(body);
    let reply = request.send().await.unwrap();
    let status = reply.status();
    (status, reply.bytes().await.unwrap()).into_response()
}

/// Goal: if everything is registered, no one needs the right to write. Method: a worker that confirms a booking, and
/// the commands, before a registry that refuses every write and notes who tried.
#[test]
fn workers_and_commands_do_their_work_on_a_registry_that_may_only_be_read() {
    let mut rig = Rig::open("read-only", &[]);
    let (guard, url) = Guard::post(&rig.registry_url());
    rig.start_workers_with(&[("schema_registry.url", &url)]);
    let practice = rig.practice(1);
    rig.publish(&[rig.event(&practice, "b-1", 1)]);
    let synced = || rig.results().iter().any(|result| result.outcome == ResultOutcome::Created);
    wait_for(LIMIT, || synced().then_some(())).expect("the booking is confirmed");
    let booking = serde_json::to_string(&rig.event(&practice, "b-2", 1)).unwrap();
    let file = rig.file("booking.json", &booking);
    let redrive = ["redrive", "--practice", &practice, "--reason", "REJECTED"];
    let tail = ["tail", "appointments.synced", "--from-beginning", "--limit", "1"];
    for words in [&["send", &file][..], &redrive, &tail, &["topics", "--check"], &["topics"]] {
        rig.operate_at(&url, words).unwrap_or_else(|why| panic!("{words:?}: {why:#}"));
    }
    assert_eq!(guard.refused_writes(), Vec::<String>::new());
    rig.close_after(2);
}

/// Goal: the refusal of a worker or a command names the missing right, or who has to run what; in one line, and at
/// once.
#[test]
fn what_the_registry_forbids_or_lacks_ends_a_start_with_one_line() {
    let mut rig = Rig::open("no-rights", &[]);
    let (guard, url) = Guard::post(&rig.registry_url());
    let redrive = ["redrive", "--practice", "p", "--reason", "REJECTED"];
    let in_vain =
        |rig: &Rig, words: &[&str]| format!("{:#}", rig.operate_at(&url, words).expect_err("it is refused"));
    for (worker, status) in [401, 403].into_iter().enumerate() {
        guard.rules(Rule::Nothing(status));
        let right = format!("does not let us read subject appointments.requested-value (status {status})");
        rig.start_workers_with(&[("schema_registry.url", &url)]);
        let last = rig.wait_refused(worker);
        assert!(last.contains(&right), "{last}");
        let said = in_vain(&rig, &redrive);
        assert!(said.contains(&right), "{said}");
    }
    guard.rules(Rule::WithoutSubject("appointments.synced-value"));
    rig.start_workers_with(&[("schema_registry.url", &url)]);
    rig.wait_refused(2);
    let remedy = "appointments.synced: this version's schema is not registered; run 'healthflow-sync topics'";
    assert!(rig.log(2).contains(remedy), "{}", rig.log(2));
    let said = in_vain(&rig, &redrive);
    assert!(said.contains("schema of appointments.synced is not registered"), "{said}");
    assert!(said.contains("run `healthflow-sync topics`"), "{said}");
    assert_eq!(guard.refused_writes(), Vec::<String>::new());
    let said = in_vain(&rig, &["topics"]);
    assert!(
        said.contains("does not let us register schemas under subject appointments.synced-value"),
        "{said}"
    );
    assert_eq!(guard.refused_writes(), ["POST /subjects/appointments.synced-value/versions"]);
}
