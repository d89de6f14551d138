//! HealthFlow asks us to wait (429, or 503 with `Retry-After`): everybody does, for the usual pause. A longer wait is one
//! booking's own until another one hears the same, for it may be the limit of an endpoint, of a practice, or a mistake.

use std::collections::BTreeMap;

use healthflow_core::booking::Booking;
use healthflow_core::event::Arrival;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::fault::{NotSent, Unknown};
use healthflow_core::healthflow::{Fault, Operation, Reply, Request};
use healthflow_core::settings::GuardMode;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

use crate::desk::*;

const USUAL_MS: i64 = 30_000;
const HOUR_MS: u64 = 3_600_000;
const GUARDS: [GuardMode; 4] =
    [GuardMode::IdempotencyKey, GuardMode::UniqueReference, GuardMode::Reference, GuardMode::Search];

fn throttled(retry_after_ms: u64) -> Reply {
    Err(Fault::Throttled { retry_after_ms: Some(retry_after_ms) })
}

fn unavailable(retry_after_ms: u64) -> Reply {
    Err(Fault::Unknown(Unknown::Unavailable { retry_after_ms }))
}

/// A booking of another practice, an hour later with each version.
fn of_practice(practice: usize, version: u64) -> Booking {
    let mut booking = rescheduled(&format!("b-{practice}"), version);
    booking.key.practice = format!("practice-{practice}").as_str().into();
    booking
}

fn practice(call: &Call) -> String {
    match &call.request {
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            content.practice.to_string()
        }
        other => panic!("not a write: {other:?}"),
    }
}

/// Every pause that was told: until when, and for whose sake.
fn pauses(desk: &Desk) -> Vec<(Timestamp, &'static str, String)> {
    let pause = |fact: &Fact| match fact {
        Fact::AccountPaused { until, why, practice, booking } => {
            let booking = booking.as_ref().map_or("", |booking| booking.as_str());
            Some((*until, why.code(), format!("{practice}/{booking}")))
        }
        _ => None,
    };
    desk.facts.iter().filter_map(pause).collect()
}

/// Several practices with an appointment each; of so many a change is on its way.
fn asked(changes: usize) -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    for number in 0..12 {
        desk.arrive(of_practice(number, 1));
        desk.expect_and_answer(Operation::CreateAppointment, created(&format!("a-{number}")));
    }
    (0..changes).for_each(|number| desk.arrive_at_once(of_practice(number, 2)));
    desk.pass_ms(200);
    desk
}

/// One booking was told to wait; the next of several others that came meanwhile asks.
fn until_somebody_else_asks(desk: &mut Desk, reply: Reply) -> Call {
    let call = desk.expect(Operation::UpdateAppointment);
    let told_at = desk.now;
    desk.answer(&call, reply);
    (1..5).for_each(|number| desk.arrive(of_practice(number, 2)));
    desk.pass_ms(told_at.plus_ms(USUAL_MS - 500).since_ms(desk.now));
    assert!(desk.calls.is_empty(), "everybody waits: {:?}", desk.calls);
    desk.pass_ms(1_000);
    assert_eq!(desk.calls.len(), 1, "one asks first: {:?}", desk.calls);
    desk.calls.remove(0)
}

#[test]
fn a_long_wait_of_one_booking_stops_the_others_for_the_usual_pause_only() {
    for reply in [throttled(HOUR_MS), unavailable(HOUR_MS)] {
        let mut desk = asked(1);
        let told_at = desk.now;
        let probe = until_somebody_else_asks(&mut desk, reply.clone());
        assert_ne!(practice(&probe), "practice-0", "not the one that was asked to wait");
        let why = if matches!(reply, Err(Fault::Throttled { .. })) { "throttled" } else { "unavailable" };
        let told = [(told_at.plus_ms(200 + USUAL_MS), why, "practice-0/b-0".to_owned())];
        assert_eq!(pauses(&desk), told);
        let retry = desk.retries().pop().expect("it waits by itself");
        assert_eq!((retry.schedule.attempts, &*retry.schedule.last_error), (1, why));
        assert_eq!(
            retry.schedule.not_before.since_ms(told[0].0),
            600_000 - USUAL_MS,
            "the longest honest wait"
        );
        desk.answer(&probe, updated("a-1"));
        desk.pass_ms(100);
        assert_eq!(desk.calls.len(), 3, "all the others go on");
    }
}

#[test]
fn only_a_second_booking_that_is_to_wait_makes_a_long_wait_count_for_all() {
    let (mut desk, half_an_hour) = (asked(1), 1_800_000);
    let probe = until_somebody_else_asks(&mut desk, throttled(HOUR_MS));
    let again_at = desk.now;
    let whose = format!("{}/", practice(&probe));
    desk.answer(&probe, throttled(half_an_hour));
    desk.pass_ms(half_an_hour as i64 - 1_000);
    assert!(desk.calls.is_empty(), "everybody waits");
    let (until, why, last) = pauses(&desk).pop().expect("that is told");
    assert_eq!((until.since_ms(again_at), why), (half_an_hour as i64, "throttled"));
    assert!(last.starts_with(&whose), "{last}");
    desk.pass_ms(1_500);
    assert!(!desk.calls.is_empty(), "and no longer");
}

#[test]
fn a_second_booking_that_is_not_told_for_how_long_confirms_the_first() {
    let mut desk = asked(1);
    let probe = until_somebody_else_asks(&mut desk, throttled(HOUR_MS));
    desk.answer(&probe, Err(Fault::Throttled { retry_after_ms: None }));
    desk.pass_ms(3_500_000);
    assert!(desk.calls.is_empty());
}

/// A second 429 that asks for less says that less is meant.
#[test]
fn a_second_booking_that_is_asked_for_less_makes_everybody_wait_for_less() {
    let mut desk = asked(1);
    let probe = until_somebody_else_asks(&mut desk, throttled(HOUR_MS));
    desk.answer(&probe, throttled(5_000));
    desk.pass_ms(5_500);
    assert!(!desk.calls.is_empty());
}

#[test]
fn what_is_not_said_about_the_wait_stops_nobody() {
    for reply in [timeout(), Err(Fault::Forbidden), unavailable(1_000)] {
        let mut desk = asked(1);
        let probe = until_somebody_else_asks(&mut desk, throttled(HOUR_MS));
        desk.answer(&probe, reply.clone());
        desk.pass_ms(2_000);
        assert!(desk.calls.len() >= 3, "{reply:?}: {:?}", desk.calls);
    }
}

#[test]
fn a_call_that_never_left_has_not_asked() {
    let mut desk = asked(1);
    let probe = until_somebody_else_asks(&mut desk, throttled(HOUR_MS));
    desk.answer(&probe, Err(Fault::NotSent(NotSent::Connect)));
    desk.pass_ms(500);
    assert_eq!(desk.calls.len(), 1, "another one asks in its place");
}

#[test]
fn what_was_under_way_does_not_confirm_a_long_wait() {
    let mut desk = asked(10);
    let calls = std::mem::take(&mut desk.calls);
    let told_at = desk.now;
    calls.iter().for_each(|call| desk.answer(call, throttled(HOUR_MS)));
    desk.arrive(of_practice(10, 2));
    desk.pass_ms(USUAL_MS + 1_000);
    assert_eq!(desk.calls.len(), 1, "one asks after the usual pause");
    assert_eq!(pauses(&desk).len(), 1, "one pause is told once");
    assert!(pauses(&desk)[0].0.since_ms(told_at) <= USUAL_MS + 1_000);
}

/// Else nobody could say whether the wait is its own: it would ask first again and again.
#[test]
fn who_was_told_to_wait_asks_a_second_after_the_others() {
    let mut desk = asked(1);
    desk.expect_and_answer(Operation::UpdateAppointment, throttled(5_000));
    desk.arrive(of_practice(1, 2));
    desk.pass_ms(5_200);
    let asks: Vec<String> = desk.calls.iter().map(practice).collect();
    assert_eq!(asks, ["practice-1"]);
    desk.pass_ms(1_000);
    let asks: Vec<String> = desk.calls.iter().map(practice).collect();
    assert_eq!(asks, ["practice-1", "practice-0"]);
}

/// Goal: an endpoint with a limit of its own stops nobody but who needs it. Method: HealthFlow throttles every creation of a
/// patient for ever, while bookings of known patients come all the time.
#[test]
fn an_endpoint_with_a_limit_of_its_own_does_not_stop_the_others_again_and_again() {
    for retry_after_ms in [5_000, 600_000] {
        let mut desk = Desk::new(GuardMode::IdempotencyKey);
        let end = desk.now.plus_ms(600_000);
        let (mut known, mut parked, mut paused_ms) = (0, 0, 0);
        for new in 0..3 {
            let name = format!("New{new}{new}");
            desk.arrive(a_booking_of(&format!("new-{new}"), a_patient(&name, &name, &format!("{name}son"))));
        }
        while desk.now < end {
            desk.arrive(of_practice(known, 1));
            known += 1;
            for call in std::mem::take(&mut desk.calls) {
                let reply = match call.request.operation() {
                    Operation::SearchPatients => nobody(),
                    Operation::CreatePatient => throttled(retry_after_ms),
                    _ => created(&format!("a-{known}")),
                };
                desk.answer(&call, reply);
            }
            let retries = desk.retries();
            for entry in retries[parked..].iter().cloned() {
                desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
            }
            parked = retries.len();
            let before = desk.now;
            desk.pass_ms(500);
            let is_paused = desk.processor.status(desk.now).paused_until.is_some();
            paused_ms += if is_paused { desk.now.since_ms(before) } else { 0 };
        }
        assert!(desk.results().len() + 100 > known, "{} of {known}", desk.results().len());
        assert!(paused_ms <= 3 * USUAL_MS, "{retry_after_ms}: nothing was sent for {paused_ms} ms of 600 s");
        let told =
            |fact: &&Fact| matches!(fact, Fact::CallThrottled { operation: Operation::CreatePatient, .. });
        assert!(desk.facts.iter().filter(told).count() >= 2, "it is told who waits");
    }
}

#[test]
fn a_503_with_retry_after_stops_all_calls_and_leaves_the_write_in_doubt() {
    for guard in GUARDS {
        let mut desk = Desk::new(guard);
        desk.arrive(a_booking("b", 1));
        let call = desk.expect(Operation::CreateAppointment);
        desk.answer(&call, unavailable(10_000));
        desk.arrive(of_practice(2, 1));
        assert_eq!(desk.processor.status(desk.now).open_doubts, 1, "{guard:?}: it may have happened");
        desk.pass_ms(9_000);
        assert!(desk.calls.is_empty(), "{guard:?}");
        desk.pass_ms(1_500);
        let asks: BTreeMap<String, usize> = desk.calls.iter().map(|call| (practice(call), 1)).collect();
        assert!(asks.contains_key("practice-2"), "{guard:?}: {asks:?}");
        if matches!(guard, GuardMode::Reference | GuardMode::Search) {
            assert_eq!(asks.len(), 1, "{guard:?}: what may stand is not created again");
            desk.calls.clear();
            desk.pass_ms(66_000);
            desk.expect(Operation::FindAppointment);
        }
    }
}

#[test]
fn a_look_up_waits_for_as_long_as_it_is_asked_to() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(75_000);
    desk.expect_and_answer(Operation::FindAppointment, throttled(120_000));
    desk.pass_ms(118_000);
    assert!(desk.calls.is_empty());
    desk.pass_ms(3_000);
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    assert_eq!(desk.processor.status(desk.now).open_doubts, 0);
}
