//! The limits that the operator states: who has nothing left waits, everybody else goes on, and a new owner begins with nothing.

use healthflow_core::booking::Booking;
use healthflow_core::healthflow::{LimitsTold, Operation, PolicyTold, Request};
use healthflow_core::limits::window::{Fixed, Length, Window};
use healthflow_core::limits::{Operations, Policy, Scope};
use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::time::Timestamp;

use crate::desk::*;
use crate::limits::settings;

/// Shorter than a booking waits in memory.
const WINDOW_MS: i64 = 20_000;

fn writes_in(window_ms: i64, scope: Scope, calls: u32) -> Settings {
    within("writes", window_ms, scope, calls)
}

fn within(operations: &str, window_ms: i64, scope: Scope, calls: u32) -> Settings {
    let operations = Operations::NONE.with_named(operations).expect("they are operations");
    let window = Window::Fixed(Fixed::aligned(Length::Part(window_ms)));
    let policy = Policy { name: "writes".into(), scope, operations, calls, window, burst: 0 };
    Settings { limits: vec![policy], ..settings(GuardMode::IdempotencyKey) }
}

/// A desk within these limits, at the begin of a window that it owns as a whole.
fn desk(settings: Settings) -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey).crash_within(settings);
    next_window(&mut desk);
    desk
}

/// To the begin of the next window.
fn next_window(desk: &mut Desk) {
    desk.pass_ms(WINDOW_MS - desk.now.0.rem_euclid(WINDOW_MS));
}

fn of_practice(practice: usize, number: usize) -> Booking {
    let mut booking = rescheduled(&format!("b-{practice}-{number}"), 1);
    booking.key.practice = format!("practice-{practice}").as_str().into();
    booking.patient.id = format!("patient-{practice}-{number}").as_str().into();
    booking
}

/// The practices of the calls that wait for their answer.
fn practices(desk: &Desk) -> Vec<String> {
    let practice = |call: &Call| match &call.request {
        Request::CreateAppointment { content, .. } => content.practice.to_string(),
        other => panic!("not a create: {other:?}"),
    };
    let mut all: Vec<String> = desk.calls.iter().map(practice).collect();
    all.sort();
    all
}

#[test]
fn a_practice_that_used_its_limit_up_holds_up_no_other() {
    let mut desk = desk(writes_in(WINDOW_MS, Scope::Practice, 2));
    (0..5).for_each(|number| desk.arrive_at_once(of_practice(0, number)));
    desk.arrive_at_once(of_practice(1, 0));
    desk.pass_ms(1_000);
    assert_eq!(practices(&desk), ["practice-0", "practice-0", "practice-1"]);
    next_window(&mut desk);
    desk.pass_ms(2_000);
    assert_eq!(practices(&desk).len(), 5, "two more in the next window");
}

#[test]
fn a_new_owner_begins_with_nothing_left_of_the_window() {
    let settings = writes_in(WINDOW_MS, Scope::Practice, 2);
    let mut desk = desk(settings.clone());
    desk.arrive(of_practice(0, 0));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-0"));
    let mut next = desk.crash_within(settings);
    next.arrive(of_practice(0, 1));
    next.expect_silence();
    next_window(&mut next);
    next.pass_ms(2_000);
    assert_eq!(practices(&next), ["practice-0"]);
}

#[test]
fn a_long_wait_for_a_limit_spends_no_attempt_and_names_it() {
    let mut desk = desk(within("reads", 3 * WINDOW_MS, Scope::Account, 1));
    while desk.now.0.rem_euclid(3 * WINDOW_MS) != 0 {
        next_window(&mut desk);
    }
    (0..3).for_each(|number| desk.arrive_at_once(of_practice(number, 0)));
    desk.pass_ms(59_000);
    assert_eq!(desk.calls.len(), 1, "one had its read: {:?}", desk.calls);
    let parked: Vec<(u32, String)> = desk
        .retries()
        .iter()
        .map(|one| (one.schedule.attempts, one.schedule.last_error.to_string()))
        .collect();
    assert_eq!(parked, [(0, "limit".to_owned()), (0, "limit".to_owned())]);
}

#[test]
fn a_known_limit_that_healthflow_tells_is_used_up_holds_only_what_counts_in_it() {
    let mut desk = desk(writes_in(WINDOW_MS, Scope::Practice, 50));
    desk.arrive(of_practice(0, 0));
    let call = desk.expect(Operation::CreateAppointment);
    let policy = PolicyTold {
        name: "writes".into(),
        remaining: Some(0),
        reset_ms: Some(20_000),
        ..PolicyTold::default()
    };
    let told = LimitsTold { policies: vec![policy], asks_to_wait: false };
    desk.handle(Input::LimitsTold { call: call.id, told });
    desk.answer(&call, created("a-0"));
    let told_at: Timestamp = desk.now;
    desk.arrive_at_once(of_practice(0, 1));
    desk.arrive_at_once(of_practice(1, 0));
    desk.pass_ms(1_000);
    assert_eq!(practices(&desk), ["practice-1"]);
    desk.pass_ms(told_at.plus_ms(21_500).since_ms(desk.now));
    assert_eq!(practices(&desk), ["practice-0", "practice-1"]);
}
