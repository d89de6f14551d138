//! A HealthFlow that gets slower, the more calls it has: the worker has fewer under way, and everything again afterwards.

use std::collections::{BTreeMap, BTreeSet};

use healthflow_core::life::CallId;
use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::time::Timestamp;

use crate::desk::*;

const BOOKINGS: usize = 5_000;
const MAX_IN_FLIGHT: usize = 64;
const CALL_MS: i64 = 200;
/// So many calls do not slow each other down in the overload.
const CAPACITY: usize = 8;
/// The worker allows an answer to take three times as long as usual.
const IN_OVERLOAD_MAX: usize = 5 * CAPACITY;

#[test]
fn an_overloaded_healthflow_gets_fewer_calls_and_all_again_once_it_is_well() {
    let settings = Settings {
        max_in_flight: MAX_IN_FLIGHT,
        ready_queue_max: 10_000,
        requests_per_second: 1e6,
        ..settings(GuardMode::IdempotencyKey)
    };
    let (bookings, state) = of_known_patients(BOOKINGS);
    let mut desk = Desk::within(settings, state, BTreeMap::new(), START);
    for booking in bookings {
        desk.arrive_at_once(booking);
    }
    let mut under_way = BTreeSet::<(Timestamp, CallId)>::new();
    let mut live = |desk: &mut Desk, ms: i64, is_well: bool| {
        let end = desk.now.plus_ms(ms);
        while desk.now < end {
            desk.pass_ms(20);
            while under_way.first().is_some_and(|(at, _)| *at <= desk.now) {
                let Some((_, call)) = under_way.pop_first() else { break };
                desk.handle(Input::Answered { call, reply: created(&format!("a-{}", call.0)) });
            }
            for call in desk.calls.drain(..) {
                let slowed = if is_well { 1 } else { (under_way.len() + 1).div_ceil(CAPACITY) as i64 };
                under_way.insert((desk.now.plus_ms(CALL_MS * slowed), call.id));
            }
        }
        under_way.len()
    };
    assert_eq!(live(&mut desk, 2_000, true), MAX_IN_FLIGHT);
    let in_overload = live(&mut desk, 10_000, false);
    assert!((CAPACITY..=IN_OVERLOAD_MAX).contains(&in_overload), "{in_overload} calls");
    assert_eq!(desk.processor.status(desk.now).in_flight_limit, in_overload);
    assert_eq!(live(&mut desk, 10_000, true), MAX_IN_FLIGHT);
    assert!(!desk.results().is_empty() && desk.results().len() < BOOKINGS, "there was work all the time");
}
