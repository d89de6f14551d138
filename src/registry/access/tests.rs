//! Goal: the registry learns who we are on every request, whoever sends it, and by the password of now. Method: a server that
//! notes the header of each request.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use healthflow_core::event::avro::{Contract, contract};
use healthflow_core::topics::REQUESTED;

use super::*;
use crate::registry::{RetryPolicy, SchemaRegistry};

type Seen = Arc<Mutex<Vec<String>>>;

async fn note(State(seen): State<Seen>, headers: HeaderMap) -> String {
    let shown = headers.get(AUTHORIZATION).map_or("", |value| value.to_str().expect("a text"));
    seen.lock().expect("not poisoned").push(shown.to_owned());
    serde_json::json!({ "id": 7, "schema": ours().json }).to_string()
}

fn ours() -> &'static Contract {
    contract(REQUESTED).expect("one of ours")
}

async fn server() -> (String, Seen) {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let routes = Router::new().fallback(note).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, seen)
}

fn registry(url: &str, file: &Path, scheme: Scheme) -> Result<Arc<SchemaRegistry>, RegistryFault> {
    let settings =
        RegistrySettings { credentials: Some((file.to_owned(), scheme)), ..RegistrySettings::at(url) };
    SchemaRegistry::new(settings, RetryPolicy::default()).map(Arc::new)
}

fn basic(both: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(both))
}

#[tokio::test]
async fn every_request_carries_the_password_that_is_in_the_file_now() {
    let (url, seen) = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "first word: pässword\n").expect("written");
    let asked = registry(&url, &file, Scheme::Basic { user: "sync".into() }).expect("a client");
    assert_eq!(asked.look_up(ours()).await, Ok(Some(7)));
    asked.schema(8).await;
    std::fs::write(&file, "second").expect("written");
    asked.schema(9).await;
    assert_eq!(asked.look_up(ours()).await, Ok(Some(7)));
    // An empty file is a torn write: the last good one stays in use.
    std::fs::write(&file, "").expect("written");
    asked.schema(10).await;
    let (first, second) = (basic("sync:first word: pässword"), basic("sync:second"));
    let expected = [&first, &first, &second, &second, &second];
    assert_eq!(seen.lock().expect("not poisoned").iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_token_goes_as_a_bearer_token() {
    let (url, seen) = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "abc.def\n").expect("written");
    registry(&url, &file, Scheme::Bearer).expect("a client").schema(7).await;
    assert_eq!(*seen.lock().expect("not poisoned"), ["Bearer abc.def"]);
}

#[test]
fn a_start_without_a_secret_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    let fault = |scheme| registry("http://127.0.0.1:1", &file, scheme).err().expect("refused").to_string();
    let (user, path) = (Scheme::Basic { user: "sync".into() }, file.display());
    assert!(fault(user.clone()).contains("cannot be read"), "{}", fault(user));
    std::fs::write(&file, "\n").expect("written");
    let expected = "the schema registry cannot be asked: the password file";
    let line = fault(user.clone());
    assert_eq!(line, format!("{expected} {path} is empty; correct it, or `schema_registry.password_file`"));
    assert!(fault(Scheme::Bearer).ends_with("is empty; correct it, or `schema_registry.token_file`"));
    std::fs::write(&file, "hush hush\nhush").expect("written");
    for scheme in [user, Scheme::Bearer] {
        let line = fault(scheme);
        assert!(line.contains("does not hold exactly one") && !line.contains("hush"), "{line}");
    }
}

/// Goal: a registry that is not who it must be ends a start, and is no outage.
#[tokio::test]
async fn a_registry_without_tls_is_not_trusted() {
    let (url, seen) = server().await;
    let url = url.replace("http://", "https://");
    let registry = SchemaRegistry::new(RegistrySettings::at(&url), RetryPolicy::default()).expect("a client");
    let fault = registry.look_up_patiently(ours()).await.expect_err("it has no TLS");
    let expected = "the schema registry is not trusted: its port does not speak TLS; correct the URL in \
                    `schema_registry`, which begins with https://";
    assert_eq!(fault.to_string(), expected);
    assert!(seen.lock().expect("not poisoned").is_empty(), "nothing is sent in the clear");
}
