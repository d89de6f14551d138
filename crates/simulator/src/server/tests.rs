//! The port: tokens, control, dropped connections, as a client sees them.

use serde_json::{Value, json};

use super::super::answer::Faults;
use super::*;

/// A running simulator and a client; it ends with the runtime of the test.
struct Running {
    url: String,
    client: reqwest::Client,
    host: Arc<Host>,
}

impl Running {
    async fn open(faults: Value) -> Self {
        let mut simulator = Simulator::new(Faults::default(), 1);
        simulator.patch_faults(&faults).unwrap();
        let host = Arc::new(Host::new(simulator, Some("secret")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, host.clone()));
        let client = reqwest::Client::builder().retry(reqwest::retry::never()).build().unwrap();
        Running { url, client, host }
    }

    async fn create_patient(&self, token: &str) -> reqwest::Result<reqwest::Response> {
        let body = json!({"practice_id": "p", "given_name": "Ann", "family_name": "Lee",
            "date_of_birth": "1980-01-01", "postal_code": "60601"});
        let request = self.client.post(format!("{}/patients", self.url)).bearer_auth(token);
        request.body(body.to_string()).send().await
    }

    async fn control(&self, path: &str) -> Value {
        let reply = self.client.get(format!("{}/control/{path}", self.url)).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap()
    }

    async fn set_faults(&self, knobs: Value) -> u16 {
        let request = self.client.put(format!("{}/control/faults", self.url)).body(knobs.to_string());
        request.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn callers_show_the_token() {
    let running = Running::open(json!({})).await;
    assert_eq!(running.create_patient("secret").await.unwrap().status(), 201);
    assert_eq!(running.create_patient("guess").await.unwrap().status(), 401);
    let anonymous =
        running.client.get(format!("{}/patients?practice_id=p", running.url)).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    assert_eq!(running.control("audit").await["patients"], 1);
}

#[tokio::test]
async fn a_dropped_connection_gives_no_answer_though_the_write_is_carried_out() {
    let running = Running::open(json!({"drop_after": 1.0})).await;
    for existing in 1..=3 {
        let error = running.create_patient("secret").await.unwrap_err();
        assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{error:?}");
        let ledger = running.control("ledger").await;
        assert_eq!(ledger["patients"].as_array().unwrap().len(), existing);
    }
    assert_eq!(running.control("audit").await["writes_unanswered"], 3);
    assert_eq!(running.set_faults(json!({"drop_after": 0.0})).await, 200);
    assert_eq!(running.create_patient("secret").await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_server_that_takes_no_request_closes_the_connection() {
    let running = Running::open(json!({"down": "refused"})).await;
    assert!(running.create_patient("secret").await.is_err());
    assert_eq!(running.control("audit").await["patients"], 0);
}

#[tokio::test]
async fn a_late_write_lands_by_itself() {
    let running = Running::open(json!({"late_landing": 1.0, "late_landing_ms": 50})).await;
    let sent = Instant::now();
    assert!(running.create_patient("secret").await.is_err());
    let limit = Duration::from_secs(10);
    while running.control("audit").await["patients"] == 0 {
        assert!(sent.elapsed() < limit, "nothing landed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(sent.elapsed() >= Duration::from_millis(49));
}

#[tokio::test]
async fn latency_is_kept_and_the_limit_is_reported() {
    let running = Running::open(json!({"latency_ms": 40, "requests_per_second": 0.01})).await;
    let sent = Instant::now();
    let reply = running.create_patient("secret").await.unwrap();
    assert!(sent.elapsed() >= Duration::from_millis(39));
    assert_eq!(reply.status(), 201);
    assert_eq!(reply.headers()["ratelimit-policy"], r#""default";q=1;w=1"#);
    assert_eq!(reply.headers()["ratelimit"], r#""default";r=0;t=1"#);
    let reply = running.create_patient("secret").await.unwrap();
    assert_eq!(reply.status(), 429);
    let seconds: u64 = reply.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=100).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn the_knobs_answer() {
    let running = Running::open(json!({})).await;
    assert_eq!(running.control("health").await["status"], "ok");
    assert_eq!(running.set_faults(json!({"search_lag_ms": 7})).await, 200);
    assert_eq!(running.control("faults").await["search_lag_ms"], 7);
    assert_eq!(running.set_faults(json!({"no_such_knob": 7})).await, 400);
    let patients = json!([{"practice_id": "p", "given_name": "A"}, {"practice_id": "p"}]).to_string();
    let reply =
        running.client.post(format!("{}/control/patients", running.url)).body(patients).send().await.unwrap();
    assert_eq!(&reply.bytes().await.unwrap()[..], br#"{"ids":["hfp-1","hfp-2"]}"#);
    let delete = |id: &str| running.client.delete(format!("{}/control/patients/{id}", running.url)).send();
    assert_eq!(delete("hfp-2").await.unwrap().status(), 200);
    assert_eq!(delete("hfp-2").await.unwrap().status(), 404);
    assert_eq!(running.host.simulator().audit().patients, 1);
    assert_eq!(running.control("writes").await, json!([]));
}
