//! HealthFlow's answers tell what is left of its limits: the worker obeys before it hears a 429.

use healthflow_core::booking::Booking;
use healthflow_core::fact::{Fact, PauseCause};
use healthflow_core::healthflow::{LimitsTold, Operation, PolicyTold};
use healthflow_core::processor::Input;
use healthflow_core::settings::GuardMode;

use crate::desk::*;

fn of_practice(practice: usize, version: u64) -> Booking {
    let mut booking = rescheduled(&format!("b-{practice}"), version);
    booking.key.practice = format!("practice-{practice}").as_str().into();
    booking
}

fn left(remaining: u64, reset_ms: i64) -> LimitsTold {
    let policy = PolicyTold {
        name: "minute".into(),
        calls: Some(1_000),
        window_s: Some(60),
        remaining: Some(remaining),
        reset_ms: Some(reset_ms),
    };
    LimitsTold { policies: vec![policy], asks_to_wait: false }
}

/// Many practices with an appointment each; an answer tells this, and then so many changes come.
fn told(told: LimitsTold, changes: usize) -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    for number in 0..=30 {
        desk.arrive(of_practice(number, 1));
        desk.expect_and_answer(Operation::CreateAppointment, created(&format!("a-{number}")));
    }
    tell_with_a_change(&mut desk, 0, told);
    (1..=changes).for_each(|number| desk.arrive_at_once(of_practice(number, 2)));
    desk
}

fn tell_with_a_change(desk: &mut Desk, number: usize, told: LimitsTold) {
    desk.arrive(of_practice(number, 2));
    let call = desk.expect(Operation::UpdateAppointment);
    desk.handle(Input::LimitsTold { call: call.id, told });
    desk.answer(&call, updated(&format!("a-{number}")));
}

fn reported(desk: &Desk) -> Vec<&Fact> {
    let is_one = |fact: &&Fact| matches!(fact, Fact::AccountPaused { .. } | Fact::LimitUnknown { .. });
    desk.facts.iter().filter(is_one).collect()
}

#[test]
fn all_calls_wait_for_the_reset_if_nothing_is_left() {
    let mut desk = told(left(0, 8_000), 3);
    desk.pass_ms(7_000);
    assert!(desk.calls.is_empty(), "everybody waits: {:?}", desk.calls);
    assert!(
        matches!(
            reported(&desk)[..],
            [Fact::LimitUnknown { .. }, Fact::AccountPaused { why: PauseCause::UsedUp, .. }]
        ),
        "{:?}",
        reported(&desk)
    );
    desk.pass_ms(2_000);
    assert_eq!(desk.calls.len(), 3, "and no longer");
}

#[test]
fn a_far_reset_stops_the_others_for_the_usual_pause_and_one_asks_then() {
    let mut desk = told(left(0, 3_000_000), 3);
    desk.pass_ms(29_000);
    assert!(desk.calls.is_empty(), "everybody waits: {:?}", desk.calls);
    desk.pass_ms(2_000);
    assert_eq!(desk.calls.len(), 1, "one asks: {:?}", desk.calls);
}

#[test]
fn little_that_is_left_is_spread_until_the_reset() {
    let mut desk = told(left(4, 20_000), 12);
    desk.pass_ms(19_000);
    assert!((2..=5).contains(&desk.calls.len()), "{}", desk.calls.len());
    desk.pass_ms(3_000);
    assert_eq!(desk.calls.len(), 12, "then there is more");
}

#[test]
fn a_limit_that_nobody_configured_is_reported_once() {
    let mut desk = told(left(900, 20_000), 0);
    assert!(matches!(reported(&desk)[..], [Fact::LimitUnknown { calls: 1_000, window_s: Some(60), .. }]));
    let looser = PolicyTold {
        name: "hour".into(),
        calls: Some(100_000_000),
        window_s: Some(3_600),
        ..PolicyTold::default()
    };
    let both =
        LimitsTold { policies: vec![left(899, 19_000).policies.remove(0), looser], asks_to_wait: false };
    tell_with_a_change(&mut desk, 1, both);
    assert_eq!(reported(&desk).len(), 1, "not twice, nor what our own limit keeps anyway");
}
