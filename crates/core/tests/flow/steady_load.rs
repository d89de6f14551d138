//! Intents are written far enough ahead that sending never waits for a commit (rule W1): under steady load every place in
//! flight is taken again in the millisecond in which it becomes free.

use std::collections::{BTreeMap, VecDeque};

use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::time::Timestamp;

use crate::desk::*;

const BOOKINGS: usize = 4_000;
const MAX_IN_FLIGHT: usize = 64;
/// As fast as HealthFlow answers in `make bench`, and slower than a transaction of its batches was there.
const CALL_MS: i64 = 20;
const COMMIT_MS: i64 = 30;

/// In how many milliseconds a place was free until the work ran out: from the first in which every place was taken, and from the
/// first call on.
fn milliseconds_with_a_free_place(ready_queue_max: usize) -> [usize; 2] {
    let settings = Settings {
        max_in_flight: MAX_IN_FLIGHT,
        ready_queue_max,
        requests_per_second: 1e6,
        ..settings(GuardMode::IdempotencyKey)
    };
    let (bookings, state) = of_known_patients(BOOKINGS);
    let mut desk = Desk::within(settings, state, BTreeMap::new(), START);
    for booking in bookings {
        desk.hold_commits = true;
        desk.arrive_at_once(booking);
    }
    let (mut answers, mut commits): (VecDeque<(Timestamp, Call)>, VecDeque<Timestamp>) = Default::default();
    let (mut sent, mut was_full, mut free) = (0, false, [0, 0]);
    while sent < BOOKINGS {
        desk.pass_ms(1);
        while answers.front().is_some_and(|(at, _)| *at <= desk.now) {
            let Some((_, call)) = answers.pop_front() else { break };
            desk.handle(Input::Answered { call: call.id, reply: created(&format!("a-{sent}")) });
        }
        commits.resize(desk.commits.len(), desk.now.plus_ms(COMMIT_MS));
        while commits.front().is_some_and(|at| *at <= desk.now) {
            commits.pop_front();
            desk.commit_is_good();
        }
        for call in desk.calls.drain(..) {
            sent += 1;
            answers.push_back((desk.now.plus_ms(CALL_MS), call));
        }
        was_full |= answers.len() == MAX_IN_FLIGHT;
        let is_free = sent < BOOKINGS && answers.len() < MAX_IN_FLIGHT;
        free[0] += usize::from(was_full && is_free);
        free[1] += usize::from(sent > 0 && is_free);
    }
    free
}

#[test]
fn under_steady_load_no_call_waits_for_a_commit() {
    assert_eq!(milliseconds_with_a_free_place(10_000)[0], 0);
}

#[test]
fn with_too_few_intents_ahead_calls_do_wait_for_commits() {
    assert!(milliseconds_with_a_free_place(MAX_IN_FLIGHT)[1] > 100);
}
