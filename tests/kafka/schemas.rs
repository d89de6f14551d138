//! A registry that learns of a schema late, or never: what becomes of the records that need it, of those behind them,
//! and of those that come later. The registry is a pretended one, because a real one cannot be made late.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use healthflow_core::event::Arrival;
use healthflow_core::event::avro::{Encoder, contract};
use healthflow_core::processor::Input;
use healthflow_core::topics::{self, Lane};
use healthflow_sync::kafka::Lanes;
use healthflow_sync::registry::{RegistrySettings, RetryPolicy, SchemaRegistry, Translator};
use serde_json::{Value, json};

use crate::lanes::{encoded, publish};
use crate::world::{Kept, LIMIT, settings, world};
use healthflow_testkit::wait::wait_for;

/// The id that the registry learns late.
const LATE: u32 = 777;

#[derive(Default)]
struct Follower {
    schemas: Mutex<HashMap<u32, Value>>,
    knows: AtomicBool,
    denials: AtomicU32,
}

/// Every schema that is looked up is registered.
async fn look_up(State(follower): State<Arc<Follower>>, Path(_): Path<String>, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap();
    let mut schemas = follower.schemas.lock().unwrap();
    let id = u32::try_from(schemas.len()).unwrap() + 1;
    schemas.insert(id, body["schema"].clone());
    json!({ "id": id }).to_string().into_response()
}

async fn by_id(State(follower): State<Arc<Follower>>, Path(id): Path<u32>) -> Response {
    let known = follower.schemas.lock().unwrap().get(&id).cloned();
    let late = (id == LATE && follower.knows.load(Ordering::SeqCst))
        .then(|| contract(topics::REQUESTED).unwrap().json.into());
    match known.or(late) {
        Some(schema) => json!({ "schema": schema }).to_string().into_response(),
        None => {
            follower.denials.fetch_add(1, Ordering::SeqCst);
            let denial = r#"{"error_code": 40403, "message": "Schema not found"}"#;
            (StatusCode::NOT_FOUND, denial).into_response()
        }
    }
}

/// A pretended registry, and lanes that ask it.
fn start(name: &str, policy: RetryPolicy) -> (Arc<Follower>, Lanes, Arc<Kept>) {
    let (world, follower) = (world(), Arc::new(Follower::default()));
    let routes = Router::new()
        .route("/subjects/{subject}", post(look_up))
        .route("/schemas/ids/{id}", get(by_id))
        .with_state(follower.clone());
    let translator = world.runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Translator::connect(
            Arc::new(SchemaRegistry::new(RegistrySettings::at(&url), policy).unwrap()),
            "tests",
        )
        .await
        .unwrap()
    });
    let inbox = Arc::new(Kept::default());
    let lanes = Lanes::start(&settings(name), translator, inbox.clone(), world.now.clone()).unwrap();
    (follower, lanes, inbox)
}

fn late() -> Encoder {
    Encoder::new(contract(topics::REQUESTED).unwrap(), LATE)
}

/// What was reported of each offset, in order.
fn reported(inputs: &[Input]) -> Vec<(i64, &'static str)> {
    let tell = |input: &Input| match input {
        Input::Delayed { offset, .. } => (*offset, "delayed"),
        Input::Arrived { offset, arrival: Arrival::Requested(_), .. } => (*offset, "read"),
        Input::Arrived { offset, arrival: Arrival::Unusable(_), .. } => (*offset, "unusable"),
        other => panic!("{other:?}"),
    };
    inputs.iter().map(tell).collect()
}

/// Goal: bookings of a schema that the registry learns late are read in the end, all of them, and nothing behind them
/// waits. Method: many denials, which the first seconds after a producer's deploy bring.
#[test]
fn a_schema_that_the_registry_learns_late_makes_no_dead_letter() {
    let partition = 40;
    let (pause_max, unknown_wait_min) = (Duration::from_millis(20), Duration::ZERO);
    let hasty = RetryPolicy { pause_max, unknown_wait_min, ..RetryPolicy::default() };
    let (follower, lanes, inbox) = start("learns-late", hasty);
    let mut records: Vec<_> = (0..20).map(|n| encoded(&late(), partition, &format!("late-{n}"))).collect();
    records.push(encoded(&Encoder::new(contract(topics::REQUESTED).unwrap(), 1), partition, "behind"));
    publish(partition, records.into_iter());
    lanes.read(partition, 1, vec![Lane::Requested.at(0)]);
    inbox.wait("the one behind", |inputs| reported(inputs).contains(&(20, "read")).then_some(()));
    wait_for(LIMIT, || (follower.denials.load(Ordering::SeqCst) > 20).then_some(())).unwrap();
    inbox.wait("nothing yet", |inputs| {
        assert_eq!(inputs.len(), 21, "{:?}", reported(inputs));
        Some(())
    });
    follower.knows.store(true, Ordering::SeqCst);
    let reported = inbox.wait("all", |inputs| (inputs.len() == 41).then(|| reported(inputs)));
    assert!(reported.iter().all(|(_, what)| *what != "unusable"), "{reported:?}");
}

/// Goal: records of an id that never comes wait together and not one after the other, later ones only as long as there
/// is room for them, and once the schema is registered after all they are read.
#[test]
fn an_id_that_never_comes_costs_its_lane_one_wait_and_heals() {
    let partition = 41;
    let brief = RetryPolicy {
        pause_max: Duration::from_millis(20),
        unknown_wait: Duration::from_secs(1),
        // For ever, here: only a lane that is full ends the wait.
        unknown_wait_min: Duration::from_secs(600),
        ..RetryPolicy::default()
    };
    let (follower, lanes, inbox) = start("never-comes", brief);
    let records = |count: usize| (0..count).map(|n| encoded(&late(), partition, &format!("b-{n}")));
    let count =
        |inputs: &[Input], what| reported(inputs).iter().filter(|(_, reported)| *reported == what).count();
    publish(partition, records(50));
    lanes.read(partition, 1, vec![Lane::Requested.at(0)]);
    inbox.wait("records", |inputs| (count(inputs, "delayed") == 50).then_some(()));
    lanes.pause(partition, Lane::Requested);
    inbox.wait("one wait for all", |inputs| (count(inputs, "unusable") == 50).then_some(()));
    assert!(follower.denials.load(Ordering::SeqCst) > 20, "it was believed late");
    lanes.resume(partition, Lane::Requested);
    publish(partition, records(10));
    inbox.wait("later ones", |inputs| (count(inputs, "delayed") == 60).then_some(()));
    follower.knows.store(true, Ordering::SeqCst);
    inbox.wait("healed", |inputs| (count(inputs, "read") == 10).then_some(()));
}
