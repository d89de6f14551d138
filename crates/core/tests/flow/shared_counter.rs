//! A worker that shares a counter of calls with others: it waits for permits, keeps none for later, and goes on alone if it must.

use healthflow_core::fact::Fact;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::limits::SharedCounterLimits;
use healthflow_core::limits::shared_counter::{Answer, Change, CounterTrouble, PermitAsk};
use healthflow_core::processor::{Effect, Input};
use healthflow_core::settings::{GuardMode, Settings};

use crate::desk::*;

const LIMITS: SharedCounterLimits = SharedCounterLimits::for_tests();

/// A worker that heard the counter a moment ago.
fn desk() -> Desk {
    let settings =
        Settings { shared_counter: Some(LIMITS), ..crate::limits::settings(GuardMode::IdempotencyKey) };
    let mut desk = Desk::new(GuardMode::IdempotencyKey).crash_within(settings);
    desk.reads_wait = true;
    give(&mut desk, 0);
    desk
}

/// What was asked since somebody looked last.
fn asks(desk: &mut Desk) -> Vec<PermitAsk> {
    let others = std::mem::take(&mut desk.others);
    let ask = |effect| if let Effect::AskPermits { ask } = effect { Some(*ask) } else { None };
    others.into_iter().filter_map(ask).collect()
}

/// The counter answers the newest ask with so many permits to be used at once.
fn give(desk: &mut Desk, permits: usize) {
    let ask = asks(desk).pop().expect("the counter is asked");
    let now_us = desk.now.0 * 1_000;
    let answer = Answer { now_us, again_us: 0, ends_us: None, slots_us: vec![now_us; permits] };
    desk.handle(Input::PermitsAnswered { number: ask.number, answer: Ok(answer) });
}

#[test]
fn a_call_goes_out_under_a_permit_and_not_before() {
    let mut desk = desk();
    desk.pass_ms(10);
    desk.arrive_at_once(rescheduled("b-1", 1));
    assert!(desk.calls.is_empty(), "there is no permit");
    let until = desk.now.plus_ms(LIMITS.permit_life_ms);
    give(&mut desk, 1);
    assert_eq!(desk.expect(Operation::ReadPatient).permit_until, Some(until));
}

#[test]
fn a_permit_of_a_tenth_of_a_second_ago_is_no_permit() {
    let mut desk = desk();
    desk.pass_ms(10);
    desk.arrive_at_once(rescheduled("b-1", 1));
    give(&mut desk, 1);
    let call = desk.expect(Operation::ReadPatient);
    desk.pass_ms(10);
    give(&mut desk, 3);
    desk.pass_ms(120);
    desk.answer(&call, Err(Fault::Throttled { retry_after_ms: Some(1) }));
    desk.pass_ms(60);
    assert!(desk.calls.is_empty(), "what was in hand is over: {:?}", desk.calls);
}

#[test]
fn whoever_healthflow_asks_to_wait_tells_the_counter() {
    let mut desk = desk();
    desk.pass_ms(10);
    desk.arrive_at_once(rescheduled("b-1", 1));
    give(&mut desk, 1);
    let call = desk.expect(Operation::ReadPatient);
    desk.answer(&call, Err(Fault::Throttled { retry_after_ms: Some(9_000) }));
    desk.pass_ms(400);
    let told = asks(&mut desk).pop().expect("it says that it is there");
    assert!((8_000_000..=9_000_000).contains(&told.hold_us) && told.want == 0, "{told:?}");
}

#[test]
fn without_an_answer_a_worker_goes_on_alone_and_comes_back() {
    let mut desk = desk();
    desk.arrive_at_once(rescheduled("b-1", 1));
    desk.pass_ms(1_000);
    let is_told =
        |desk: &Desk| desk.facts.contains(&Fact::CounterChanged(Change::Away(CounterTrouble::NoAnswer)));
    assert!(is_told(&desk));
    let call = desk.expect(Operation::ReadPatient);
    assert_eq!(call.permit_until, None);
    assert!(desk.processor.status(desk.now).counter.is_some_and(|counter| counter.away));
    give(&mut desk, 0);
    let is_back = |fact: &Fact| matches!(fact, Fact::CounterChanged(Change::Back { .. }));
    assert!(desk.facts.iter().any(is_back));
    assert!(desk.processor.status(desk.now).counter.is_some_and(|counter| !counter.away));
}
