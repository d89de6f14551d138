//! Bookings with many versions, as a producer's clock makes them: each version gets one result, in whatever order they come,
//! and what cannot be remembered is answered once more rather than skipped (rule K5).

use std::collections::BTreeMap;

use healthflow_core::booking::Version;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::Operation;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;

use crate::desk::*;

/// A minute by the clock of a producer, in milliseconds, and the first one.
const MINUTE: Version = 60_000;
const FIRST: Version = 1_795_521_600_000;

fn answer_all(desk: &mut Desk) {
    desk.pass_ms(200);
    while let Some(call) = desk.calls.pop() {
        let reply = match call.request.operation() {
            Operation::CreateAppointment => created("a-1"),
            _ => updated("a-1"),
        };
        desk.answer(&call, reply);
        desk.pass_ms(200);
    }
}

fn live(desk: &mut Desk, versions: impl IntoIterator<Item = Version>) {
    for version in versions {
        desk.arrive_at_once(a_booking("b", version));
        answer_all(desk);
    }
}

/// How many results each version has.
fn results(desk: &Desk) -> BTreeMap<Version, usize> {
    let mut results = BTreeMap::new();
    for (_, version, _) in desk.results() {
        *results.entry(version).or_default() += 1;
    }
    results
}

fn result_of(desk: &Desk, version: Version) -> Option<&'static str> {
    desk.results().iter().rev().find(|(_, of, _)| *of == version).map(|(_, _, outcome)| *outcome)
}

fn forgetful() -> Settings {
    Settings { answered_bytes_max: 60, ..settings(GuardMode::IdempotencyKey) }
}

fn forgetful_desk() -> Desk {
    Desk::within(forgetful(), TaskState::default(), BTreeMap::new(), START)
}

fn forgotten(desk: &Desk) -> usize {
    desk.facts.iter().filter(|fact| matches!(fact, Fact::AnswerForgotten { .. })).count()
}

/// Thirty-two gaps and a late first version: it was skipped as a duplicate, and nobody heard of it.
#[test]
fn a_late_first_version_after_many_newer_ones_is_superseded() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    live(&mut desk, 2..=34);
    live(&mut desk, [1]);
    assert_eq!(result_of(&desk, 1), Some("SUPERSEDED"));
    live(&mut desk, 1..=34);
    assert_eq!(results(&desk), (1..=34).map(|version| (version, 1)).collect());
}

#[test]
fn three_thousand_versions_in_falling_order_get_one_result_each() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    live(&mut desk, [3_000]);
    for version in (1..3_000).rev() {
        desk.arrive_at_once(a_booking("b", version));
    }
    answer_all(&mut desk);
    assert_eq!(results(&desk), (1..=3_000).map(|version| (version, 1)).collect());
    assert_eq!(forgotten(&desk), 0);
}

/// Every third minute in order, the others later and backwards; then the worker dies, and all of it is read again.
#[test]
fn versions_from_a_clock_get_one_result_each_across_a_restart() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let clock: Vec<Version> = (0..240).map(|minute| FIRST + minute * MINUTE).collect();
    let in_order = clock.iter().copied().step_by(3);
    let late: Vec<Version> =
        clock.iter().copied().filter(|version| !in_order.clone().any(|one| one == *version)).collect();
    live(&mut desk, in_order);
    live(&mut desk, late.into_iter().rev());
    assert_eq!(results(&desk), clock.iter().map(|version| (*version, 1)).collect());

    let mut next = desk.crash(GuardMode::IdempotencyKey);
    live(&mut next, clock);
    assert_eq!((results(&next).len(), forgotten(&next)), (0, 0), "the next owner remembers them all");
}

/// What is lost at the bound: the lowest versions are answered once more. Nothing is skipped that was never answered.
#[test]
fn beyond_the_bound_an_old_version_is_superseded_counted_and_never_skipped() {
    let mut desk = forgetful_desk();
    let clock: Vec<Version> = (0..60).map(|minute| FIRST + 2 * minute * MINUTE).collect();
    live(&mut desk, clock.iter().copied());
    assert_eq!(results(&desk), clock.iter().map(|version| (*version, 1)).collect());
    assert_eq!(forgotten(&desk), 0, "they came in order");

    let never_seen = FIRST + MINUTE;
    live(&mut desk, [never_seen]);
    assert_eq!((result_of(&desk, never_seen), forgotten(&desk)), (Some("SUPERSEDED"), 1));

    let mut next = desk.crash_within(forgetful());
    let (lowest, highest) = (clock[0], clock[59]);
    live(&mut next, [lowest, highest]);
    assert_eq!(
        results(&next),
        BTreeMap::from([(lowest, 1)]),
        "a copy of what was forgotten has a second one"
    );
    assert_eq!((result_of(&next, lowest), forgotten(&next)), (Some("SUPERSEDED"), 1));
}

/// A version that may have been answered is not written where a newer one only waits.
#[test]
fn what_may_be_forgotten_gives_way_to_a_version_that_waits() {
    let mut desk = forgetful_desk();
    let clock: Vec<Version> = (0..60).map(|minute| FIRST + 2 * minute * MINUTE).collect();
    desk.arrive_at_once(a_booking("b", clock[59]));
    for version in &clock[..59] {
        desk.arrive_at_once(a_booking("b", *version));
    }
    desk.expect_and_answer(
        Operation::CreateAppointment,
        Err(healthflow_core::healthflow::Fault::NotSent(
            healthflow_core::healthflow::fault::NotSent::Connect,
        )),
    );
    assert_eq!(desk.retries().len(), 1, "the newest waits for its next attempt");
    let mut next = desk.crash_within(forgetful());
    next.arrive(a_booking("b", clock[0]));
    next.expect_silence();
    assert_eq!(result_of(&next, clock[0]), Some("SUPERSEDED"));
}
