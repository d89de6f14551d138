//! Why HealthFlow is not reached, as a whole worker says it: in its log, on `/status` and on `/health/ready`, never with a
//! patient's data.

use serde_json::json;

use crate::rig::{PARTITIONS, Rig};
use crate::world::{LIMIT, world};
use healthflow_core::event::result::ResultOutcome;
use healthflow_testkit::wait::wait_for;

/// What no place may show of the booking's patient.
const OF_THE_PATIENT: [&str; 3] = ["Lopez", "1987-04-21", "60614"];

fn page(rig: &Rig, path: &str) -> String {
    world().runtime.block_on(rig.workers[0].page(path)).unwrap_or_default()
}

/// Waits until all three places name `cause`.
fn named_everywhere(rig: &Rig, cause: &str) {
    let places = || [rig.log(0), page(rig, "/status"), page(rig, "/health/ready")];
    let named = || places().iter().all(|text| text.contains(cause)).then_some(());
    wait_for(LIMIT, named).unwrap_or_else(|| panic!("{cause} is not in each of {:#?}", places()));
    for text in places() {
        assert!(OF_THE_PATIENT.iter().all(|value| !text.contains(value)), "{text}");
    }
}

/// Goal: whoever looks at a worker that gets nothing done sees why, wherever they look, and nothing once it is over.
#[test]
fn what_healthflow_answers_unexpectedly_is_named() {
    let mut rig = Rig::open("causes", &[]);
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    rig.set_faults(&json!({"down": "unavailable"}));
    let practice = rig.practice(1);
    rig.publish(&[rig.event(&practice, "b-1", 1)]);
    named_everywhere(&rig, "status 503 to POST /patients/search");
    rig.set_faults(&json!({"down": "no"}));
    wait_for(LIMIT, || (!rig.results().is_empty()).then_some(())).expect("it ends");
    let is_over = || page(&rig, "/status").contains(r#""healthflow_trouble":null"#).then_some(());
    wait_for(LIMIT, is_over).unwrap_or_else(|| panic!("still in trouble: {}", page(&rig, "/status")));
    assert_eq!(page(&rig, "/health/ready"), "ready\n");
    let closed = rig.close_after(1);
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
}

/// Goal: an address on which nobody listens is named as such.
#[test]
fn a_healthflow_that_refuses_the_connection_is_named() {
    let mut rig = Rig::open("refusing", &[]);
    rig.start_workers_with(&[("healthflow.base_url", "http://127.0.0.1:1")]);
    rig.wait_live(0, PARTITIONS as usize);
    let practice = rig.practice(2);
    rig.publish(&[rig.event(&practice, "b-1", 1)]);
    named_everywhere(&rig, "the connection is refused");
    rig.workers.clear();
    rig.start_workers();
    let closed = rig.close_after(1);
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
}
