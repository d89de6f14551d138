//! Times that a worker with a wrong clock wrote down: whoever reads them later waits no longer than anything can have to
//! wait, and repeats nothing that is older than it looks.

use healthflow_core::event::{Arrival, RetryEntry};
use healthflow_core::healthflow::fault::{Missing, NotSent, Unknown};
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::time::{DAY_MS, Timestamp};
use healthflow_core::topics::Lane;

use crate::desk::*;

const GUARD: GuardMode = GuardMode::IdempotencyKey;
const AHEAD_MS: i64 = 20 * DAY_MS;

/// The next owner, on a machine whose clock is right.
fn with_the_right_clock(desk: &Desk, settings: Settings) -> Desk {
    let now = Timestamp(desk.now.0 - AHEAD_MS);
    Desk::within(settings, desk.durable.clone(), desk.offsets.clone(), now)
}

/// A desk whose clock is that far ahead.
fn ahead() -> Desk {
    let mut desk = Desk::acquired(GUARD, TaskState::default(), [].into(), Timestamp(START.0 + AHEAD_MS));
    desk.pass_ms(LAG_MS + 1);
    desk
}

fn back(desk: &mut Desk, entry: &RetryEntry) {
    desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry.clone())));
}

/// Goal: a booking that was parked until 20 days from now comes back in minutes. Method: it fails at a worker that is so far
/// ahead, and its record is read by one that is not.
#[test]
fn a_retry_of_a_wrong_clock_is_due_within_the_longest_wait() {
    let mut wrong = ahead();
    wrong.arrive(a_booking("b", 1));
    wrong.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    let entry = wrong.retries().pop().expect("it was parked");
    let mut right = with_the_right_clock(&wrong, settings(GUARD));
    right.pass_ms(LAG_MS + 1);
    back(&mut right, &entry);
    right.expect_silence();
    right.pass_ms(settings(GUARD).longest_wait_ms());
    right.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(right.results(), [("b".into(), 1, "CREATED")]);
}

/// Goal: a clock that is behind reads honest records without waiting for days. Method: the same, the other way round.
#[test]
fn an_honest_retry_is_due_within_the_longest_wait_of_a_clock_that_is_behind() {
    let mut right = Desk::new(GUARD);
    right.arrive(a_booking("b", 1));
    right.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    let entry = right.retries().pop().expect("it was parked");
    let mut behind = with_the_right_clock(&right, settings(GUARD));
    back(&mut behind, &entry);
    behind.pass_ms(settings(GUARD).longest_wait_ms() + LAG_MS);
    behind.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(behind.results(), [("b".into(), 1, "CREATED")]);
}

/// Goal: an appointment that the practice deleted is created anew though its last write seems to lie in the future. Method: it
/// is written by a worker that is 20 days ahead, and is gone for the next one.
#[test]
fn what_was_written_in_the_future_is_believed_to_be_gone_in_time() {
    let mut wrong = ahead();
    wrong.arrive(a_booking("b", 1));
    wrong.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    let mut right = with_the_right_clock(&wrong, settings(GUARD));
    right.arrive(rescheduled("b", 2));
    right.expect_and_answer(Operation::UpdateAppointment, Err(Fault::NotFound(Missing::Appointment)));
    right.pass_ms(LEASE_MS + settings(GUARD).settle_ms());
    right.bring_back();
    right.pass_ms(settings(GUARD).longest_wait_ms());
    right.expect_and_answer(Operation::UpdateAppointment, Err(Fault::NotFound(Missing::Appointment)));
    right.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert_eq!(right.results().last(), Some(&("b".into(), 2, "CREATED")));
}

/// Goal: a key whose age nobody can tell is not used again (W5). Method: an intent 20 days ahead is found open; its create is
/// looked up once it is quiet, not repeated.
#[test]
fn a_create_of_a_wrong_clock_is_looked_up_and_not_repeated() {
    let mut wrong = ahead();
    wrong.arrive(a_booking("b", 1));
    wrong.expect_and_answer(Operation::CreateAppointment, Err(Fault::Unknown(Unknown::Timeout)));
    let mut right = with_the_right_clock(&wrong, settings(GUARD));
    right.arrive(a_booking("b", 1));
    right.expect_silence();
    right.pass_ms(LEASE_MS + settings(GUARD).settle_ms());
    right.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
}
