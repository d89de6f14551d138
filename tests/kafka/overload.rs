//! A whole worker before a HealthFlow that gets slower, the more calls it has.

use serde_json::json;

use crate::rig::{PARTITIONS, Rig};
use crate::world::LIMIT;
use healthflow_core::booking::PatientId;
use healthflow_core::event::result::ResultOutcome;
use healthflow_testkit::wait::wait_for;

const MAX_IN_FLIGHT: usize = 16;
/// Enough that there is work until the end, at a few calls each.
const BOOKINGS: usize = 800;

/// Goal: the worker has fewer calls under way while HealthFlow has too many, and as many as it may soon after. Method: HealthFlow
/// works on two calls at the same time, then on all; the metric says what the worker does.
#[test]
fn an_overloaded_healthflow_gets_fewer_calls() {
    let most = MAX_IN_FLIGHT.to_string();
    let settings = [("worker.max_in_flight", &*most), ("healthflow.requests_per_second", "10000")];
    let mut rig = Rig::open("overload", &settings);
    rig.set_faults(&json!({"latency_ms": 100}));
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let practices: Vec<String> = (0..PARTITIONS).map(|partition| rig.practice(partition)).collect();
    let events: Vec<_> = (0..BOOKINGS)
        .map(|number| {
            let mut event = rig.event(&practices[number % practices.len()], &format!("b-{number}"), 1);
            event.patient.patient_id = PatientId::from(format!("p-{number}")).into();
            let (year, month, day) = (1950 + number / 300, 1 + number / 25 % 12, 1 + number % 25);
            event.patient.date_of_birth = format!("{year}-{month:02}-{day:02}").into();
            event
        })
        .collect();
    rig.publish(&events);
    let limit = || rig.counter(0, "healthflow_sync_healthflow_in_flight_limit_calls") as usize;
    let reaches = |what: &str, condition: &dyn Fn() -> bool| {
        wait_for(LIMIT, || condition().then_some(())).unwrap_or_else(|| panic!("{what}: {}", limit()));
    };
    reaches("no results", &|| rig.results().len() >= 50);
    assert_eq!(limit(), MAX_IN_FLIGHT);
    rig.set_faults(&json!({"saturates_at": 2}));
    reaches("the limit never fell", &|| limit() <= MAX_IN_FLIGHT / 2);
    rig.set_faults(&json!({"saturates_at": 0}));
    reaches("the limit never rose again", &|| limit() == MAX_IN_FLIGHT);
    assert!(rig.results().len() < BOOKINGS, "there was work all the time");
    let closed = rig.close_after(events.len());
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
}
