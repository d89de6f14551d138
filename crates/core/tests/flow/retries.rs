//! Bookings that wait: the delayed retry, its exact places, and when it ends.

use healthflow_core::event::{Arrival, RetryEntry, Schedule};
use healthflow_core::healthflow::fault::{NotSent, Unknown};
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::settings::GuardMode;
use healthflow_core::sync::FailureReason;
use healthflow_core::topics::Lane;

use crate::desk::*;

fn parked() -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    assert_eq!(desk.retries().len(), 1);
    desk
}

#[test]
fn a_failed_booking_lets_the_committable_offset_pass_and_comes_back_after_its_delay() {
    let mut desk = parked();
    assert_eq!(desk.offsets[&Lane::Requested], 1);
    let due = desk.retries()[0].schedule.not_before;
    desk.bring_back();
    assert!(desk.calls.is_empty());
    desk.pass_ms(due.since_ms(desk.now) + 200);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
    assert_eq!(desk.offsets[&Lane::Retry], 1);
}

#[test]
fn a_late_record_never_holds_up_an_earlier_one_behind_it() {
    let mut desk = parked();
    let mut late = desk.retries()[0].clone();
    late.schedule.not_before = desk.now.plus_ms(500_000);
    desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(late)));
    desk.arrive(rescheduled("c", 1));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    desk.bring_back();
    desk.pass_ms(10_000);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert_eq!(desk.results(), [("c".into(), 1, "CREATED")]);
}

#[test]
fn only_the_newest_parking_of_a_version_is_taken() {
    let mut desk = parked();
    desk.bring_back();
    desk.pass_ms(10_000);
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    let [first, second]: [RetryEntry; 2] = desk.retries().try_into().expect("it was parked twice");
    assert_eq!((first.generation, second.generation), (1, 2));
    assert_eq!(second.schedule.attempts, 2);
    let outdated = Schedule { not_before: desk.now, ..first.schedule.clone() };
    let outdated = RetryEntry { schedule: outdated, ..first };
    desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(outdated)));
    desk.expect_silence();
    desk.pass_ms(1_000);
    assert_eq!(desk.offsets[&Lane::Retry], 2, "the outdated one is passed over");
}

#[test]
fn a_newer_version_goes_first_and_supersedes_the_one_that_waits() {
    let mut desk = parked();
    desk.bring_back();
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "SUPERSEDED"), ("b".into(), 2, "CREATED")]);
}

#[test]
fn a_record_read_again_while_its_version_waits_elsewhere_is_skipped() {
    let desk = parked();
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.arrive(rescheduled("b", 1));
    next.expect_silence();
    assert!(next.results().is_empty());
}

#[test]
fn a_booking_is_given_up_after_the_longest_age() {
    let mut desk = parked();
    for _ in 0..2_000 {
        desk.bring_back();
        let due = desk.retries().last().map_or(desk.now, |entry| entry.schedule.not_before);
        desk.now = desk.now.plus_ms(due.since_ms(desk.now).max(0));
        desk.pass_ms(1_000);
        let Some(call) = desk.calls.pop() else { break };
        desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
        if !desk.dead_letters().is_empty() {
            break;
        }
    }
    let letter = desk.dead_letters().pop().expect("it is given up");
    assert_eq!(letter.reason, FailureReason::AgeExhausted);
    assert!(desk.now.since_ms(START) >= 72 * 3_600_000);
}

#[test]
fn a_failed_search_of_an_outdated_version_does_not_hold_up_the_newer_one() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    let search = desk.expect(Operation::SearchPatients);
    let mut newer = a_booking_of("b", a_patient("p", "Grace", "Hopper"));
    newer.version = 2;
    desk.arrive(newer);
    desk.answer(&search, Err(Fault::Unknown(Unknown::Reset)));
    assert!(desk.retries().is_empty());
    desk.expect(Operation::SearchPatients);
    assert_eq!(desk.results(), [("b".into(), 1, "SUPERSEDED")]);
}
