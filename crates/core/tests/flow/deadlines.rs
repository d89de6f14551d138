//! When a version that fails has been tried for long enough: its visit began while it failed, or it grew too old. Both are
//! about how long it was tried, never about how late it came.

use healthflow_core::booking::{Booking, BookingStatus, Source};
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::event::{Arrival, RetryEntry};
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::settings::GuardMode;
use healthflow_core::sync::FailureReason;
use healthflow_core::topics::Lane;

use crate::desk::*;

const GUARD: GuardMode = GuardMode::IdempotencyKey;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

fn no_connection() -> healthflow_core::healthflow::Reply {
    Err(Fault::NotSent(NotSent::Connect))
}

/// A booking whose visit begins and that was asked for so long from now.
fn asked(desk: &Desk, visit_in_ms: i64, asked_in_ms: i64) -> Booking {
    let mut booking = a_booking("b", 1);
    booking.visit.start = desk.now.plus_ms(visit_in_ms);
    booking.requested_at = desk.now.plus_ms(asked_in_ms);
    booking
}

fn reasons(desk: &Desk) -> Vec<FailureReason> {
    desk.dead_letters().iter().map(|letter| letter.reason).collect()
}

/// The booking comes back whenever it is due, and fails for so long, or until it is given up.
fn fail_for_ms(desk: &mut Desk, ms: i64) {
    let until = desk.now.plus_ms(ms);
    let letters = desk.dead_letters().len();
    while desk.now < until && desk.dead_letters().len() == letters {
        let due = desk.retries().last().map_or(desk.now, |entry| entry.schedule.not_before);
        desk.pass_ms(due.since_ms(desk.now).max(0));
        desk.bring_back();
        desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    }
}

/// Goal: a hiccup ends no version of a visit that has begun, or of one of long ago. Method: each kind of such a version
/// arrives, and its first attempt fails.
#[test]
fn a_version_that_comes_after_its_visit_began_survives_the_first_failure() {
    for (what, visit_in_ms, asked_in_ms, status, source) in [
        ("a walk-in", -5 * MINUTE_MS, -MINUTE_MS, BookingStatus::Scheduled, Source::Live),
        ("asked for in the minute it begins", -MINUTE_MS, -MINUTE_MS, BookingStatus::Scheduled, Source::Live),
        ("moved aside until it began", -MINUTE_MS, -HOUR_MS, BookingStatus::Scheduled, Source::Live),
        ("begun long ago", -3 * DAY_MS, -4 * DAY_MS, BookingStatus::Scheduled, Source::Live),
        ("history", -400 * DAY_MS, -401 * DAY_MS, BookingStatus::Scheduled, Source::Backfill),
    ] {
        let mut desk = Desk::new(GUARD);
        let booking = Booking { status, source, ..asked(&desk, visit_in_ms, asked_in_ms) };
        desk.arrive(booking);
        desk.expect_and_answer(Operation::CreateAppointment, no_connection());
        assert_eq!(reasons(&desk), [], "{what}");
        desk.pass_ms(HOUR_MS);
        desk.bring_back();
        desk.expect_and_answer(Operation::CreateAppointment, no_connection());
        assert_eq!(reasons(&desk), [], "{what}, an hour later");
        desk.pass_ms(HOUR_MS);
        desk.bring_back();
        desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
        assert_eq!(desk.results(), [("b".into(), 1, "CREATED")], "{what}");
    }
}

/// Goal: what the desk changes about a visit that has begun reaches HealthFlow though it hiccups. Method: a visit stands,
/// begins, and is cancelled or gets another length; the first update fails.
#[test]
fn a_cancellation_and_a_longer_duration_of_a_begun_visit_survive_the_first_failure() {
    for (status, minutes, outcome) in
        [(BookingStatus::Cancelled, 30, "CANCELLED"), (BookingStatus::Scheduled, 60, "UPDATED")]
    {
        let mut desk = Desk::new(GUARD);
        let first = asked(&desk, HOUR_MS, 0);
        desk.arrive(first.clone());
        desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
        desk.pass_ms(HOUR_MS + MINUTE_MS);
        let mut second = Booking { version: 2, status, requested_at: desk.now, ..first };
        second.visit.duration_minutes = minutes;
        desk.arrive(second);
        desk.expect_and_answer(Operation::UpdateAppointment, no_connection());
        assert_eq!(reasons(&desk), [], "{outcome}");
        desk.pass_ms(HOUR_MS);
        desk.bring_back();
        desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
        assert_eq!(desk.results().last(), Some(&("b".into(), 2, outcome)));
    }
}

/// The cancelled visit would stand: it is tried for as long as any version.
#[test]
fn a_cancellation_that_fails_since_before_the_visit_is_tried_until_it_is_too_old() {
    let mut desk = Desk::new(GUARD);
    let first = asked(&desk, HOUR_MS, 0);
    desk.arrive(first.clone());
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    let second = Booking { version: 2, status: BookingStatus::Cancelled, requested_at: desk.now, ..first };
    desk.arrive(second);
    desk.expect_and_answer(Operation::UpdateAppointment, no_connection());
    desk.pass_ms(3 * HOUR_MS);
    desk.bring_back();
    desk.expect_and_answer(Operation::UpdateAppointment, no_connection());
    assert_eq!(reasons(&desk), []);
}

/// Goal: the deadline exists. Method: a booking asked for in time fails from before its visit until after the grace.
#[test]
fn a_live_booking_that_fails_since_before_its_visit_is_given_up_after_the_grace() {
    let mut desk = Desk::new(GUARD);
    let booking = asked(&desk, MINUTE_MS, -HOUR_MS);
    let start = booking.visit.start;
    desk.arrive(booking);
    desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    fail_for_ms(&mut desk, 2 * HOUR_MS);
    assert_eq!(reasons(&desk), [FailureReason::VisitBegun]);
    let grace_ms = settings(GUARD).retry_visit_grace_ms;
    let letter = desk.dead_letters().pop().expect("it was given up");
    assert!(letter.finished_at >= start.plus_ms(grace_ms), "not before the grace is over");
    assert!(letter.attempts > 2, "it was tried in it: {}", letter.attempts);
}

/// Goal: a redrive after the visit is worth its name. Method: what was given up so is redriven, fails once, then not.
#[test]
fn a_redriven_version_of_a_begun_visit_gets_honest_tries() {
    let mut desk = Desk::new(GUARD);
    let booking = asked(&desk, MINUTE_MS, -HOUR_MS);
    desk.arrive(booking);
    desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    fail_for_ms(&mut desk, 2 * HOUR_MS);
    let letter = desk.dead_letters().pop().expect("it was given up");
    let redriven = AppointmentFailed::from(&letter).into_redrive(desk.now).expect("a booking");
    desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(redriven)));
    desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    assert_eq!(desk.dead_letters().len(), 1, "the first failure does not end it again");
    desk.pass_ms(HOUR_MS);
    desk.bring_back();
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

/// Goal: days in which no worker ran are not tries. Method: a booking fails once, nobody reads its record for four days,
/// and the next attempt fails too.
#[test]
fn days_in_which_nobody_tried_do_not_make_a_version_too_old() {
    let mut desk = Desk::new(GUARD);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    desk.now = desk.now.plus_ms(4 * DAY_MS);
    desk.bring_back();
    desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    assert_eq!(reasons(&desk), []);
    fail_for_ms(&mut desk, 4 * DAY_MS);
    assert_eq!(reasons(&desk), [FailureReason::AgeExhausted], "but time in which it failed does");
}

/// Goal: nor do days in which a person was asked (the age is frozen). Method: a booking fails once, then a review holds its
/// patient for four days, then it fails again.
#[test]
fn days_behind_a_review_do_not_make_a_version_too_old() {
    let mut desk = Desk::new(GUARD);
    desk.arrive(a_booking("first", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-0"));
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    desk.arrive(conflicting("asks", 1));
    desk.bring_back();
    desk.pass_ms(4 * DAY_MS);
    assert_eq!(desk.behind(), [("b".into(), 1, "asks".into())]);
    desk.arrive(cancelled(conflicting("asks", 2)));
    desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    assert_eq!(reasons(&desk), []);
    assert_eq!(desk.retries().last().map(|entry| entry.schedule.attempts), Some(2), "waiting is no attempt");
}

/// A record as a worker with a wrong clock wrote it.
fn with_first_failure(desk: &Desk, in_ms: i64) -> RetryEntry {
    let mut entry = desk.retries().pop().expect("a booking was parked");
    entry.schedule.first_failed_at = Some(desk.now.plus_ms(in_ms));
    entry
}

/// Goal: a first failure that lies in the future does not keep a version for ever. Method: such a record comes back.
#[test]
fn a_first_failure_in_the_future_counts_from_now() {
    let mut desk = Desk::new(GUARD);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    let entry = with_first_failure(&desk, 20 * DAY_MS);
    desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    desk.pass_ms(HOUR_MS);
    desk.expect_and_answer(Operation::CreateAppointment, no_connection());
    fail_for_ms(&mut desk, 4 * DAY_MS);
    assert_eq!(reasons(&desk), [FailureReason::AgeExhausted]);
}
