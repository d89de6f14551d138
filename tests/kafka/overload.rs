//! A whole worker before a HealthFlow that gets slower, the more calls it has.

use std::cell::Cell;

use serde_json::json;

use crate::rig::{PARTITIONS, Rig};
use crate::strangers::of_stranger;
use crate::world::LIMIT;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_testkit::wait::wait_for;

const MAX_IN_FLIGHT: usize = 16;
/// A few seconds of work while HealthFlow is quick.
const WAVE: usize = 200;

/// Bookings of new patients, spread over the practices, from number `first` on.
fn wave(rig: &Rig, practices: &[String], first: usize) -> Vec<AppointmentRequested> {
    let of = |number: usize| rig.event(&practices[number % practices.len()], &format!("b-{number}"), 1);
    (first..first + WAVE).map(|number| of_stranger(number, of(number))).collect()
}

/// Goal: the worker has fewer calls under way while HealthFlow has too many, and as many as it may soon after. Method: HealthFlow
/// works on two calls at the same time, then on all; there is always work; the metric says what the worker does.
#[test]
fn an_overloaded_healthflow_gets_fewer_calls() {
    let most = MAX_IN_FLIGHT.to_string();
    let settings = [("worker.max_in_flight", &*most), ("healthflow.requests_per_second", "10000")];
    let mut rig = Rig::open("overload", &settings);
    rig.set_faults(&json!({"latency_ms": 100}));
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let practices: Vec<String> = (0..PARTITIONS).map(|partition| rig.practice(partition)).collect();
    let published = Cell::new(0);
    let limit = || rig.counter(0, "healthflow_sync_healthflow_in_flight_limit_calls") as usize;
    let reaches = |what: &str, condition: &dyn Fn(usize, usize) -> bool| {
        let looks = || {
            let existing = rig.existing("appointments").len();
            if published.get() < existing + WAVE / 2 {
                rig.publish(&wave(&rig, &practices, published.get()));
                published.set(published.get() + WAVE);
            }
            condition(existing, limit()).then_some(())
        };
        wait_for(LIMIT, looks).unwrap_or_else(|| panic!("{what}: {}", limit()));
    };
    reaches("no appointments", &|existing, _| existing >= 50);
    assert_eq!(limit(), MAX_IN_FLIGHT);
    rig.set_faults(&json!({"saturates_at": 2}));
    reaches("the limit never fell", &|_, limit| limit <= MAX_IN_FLIGHT / 2);
    rig.set_faults(&json!({"saturates_at": 0}));
    reaches("the limit never rose again", &|_, limit| limit == MAX_IN_FLIGHT);
    rig.close_after(published.get());
}
