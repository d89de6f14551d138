//! When a write may go out: under an intent that is committed, within the lease (rules W1, W2), and what a lost commit does.

use healthflow_core::booking::BookingStatus;
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::processor::{Effect, Input};
use healthflow_core::settings::GuardMode;

use crate::desk::*;

#[test]
fn nothing_is_sent_before_its_intent_is_known_to_stand() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.hold_commits = true;
    desk.arrive(a_booking("b", 1));
    desk.pass_ms(1_000);
    assert!(desk.calls.is_empty());
    desk.commit_is_good();
    desk.expect(Operation::CreateAppointment);
}

#[test]
fn a_newer_version_is_not_sent_under_an_older_intent() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.hold_commits = true;
    desk.arrive(rescheduled("b", 1));
    desk.arrive(rescheduled("b", 2));
    desk.commit_is_good();
    desk.pass_ms(50);
    assert!(desk.calls.is_empty(), "the intent that stands speaks of version 1");
    desk.pass_ms(100);
    desk.commit_is_good();
    desk.expect(Operation::CreateAppointment);
    assert_eq!(desk.state("b").newest, 2);
}

#[test]
fn an_expired_lease_is_renewed_by_a_commit_before_anything_is_sent() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.pass_ms(LEASE_MS * 3);
    desk.hold_commits = true;
    desk.arrive(a_booking("b", 1));
    desk.commit_is_good();
    let call = desk.expect(Operation::CreateAppointment);
    let lease_until = call.lease_until.expect("a write has a lease");
    assert!(lease_until > desk.now && lease_until <= desk.now.plus_ms(LEASE_MS));
}

/// An owner that was fenced while it restored finds what its successor intends; the successor may yet withdraw it.
#[test]
fn a_new_owner_writes_nothing_before_its_first_commit_is_good() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    desk.expect(Operation::CreateAppointment);
    desk.hold_commits = true;
    desk.arrive(a_booking_of_another("c"));
    desk.commit_is_lost();
    desk.acquire_again();
    desk.arrive(a_booking("b", 1));
    desk.pass_ms(500);
    assert!(desk.calls.is_empty(), "the create in doubt may be repeated, but not yet");
    desk.commit_is_good();
    desk.expect(Operation::CreateAppointment);
}

#[test]
fn what_the_sender_refused_for_its_lease_is_sent_after_a_renewal_and_is_no_attempt() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    let call = desk.expect(Operation::CreateAppointment);
    desk.answer(&call, Err(Fault::NotSent(NotSent::LeaseOver)));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert!(desk.retries().is_empty());
}

/// Goal: a read whose permit was over at the socket goes out again and is no attempt: a booking that is late would else be given
/// up for a try that never was. Method: the answer of the sender.
#[test]
fn a_read_that_the_sender_refused_is_no_attempt_either() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    for _ in 0..3 {
        let search = desk.expect(Operation::SearchPatients);
        desk.answer(&search, Err(Fault::NotSent(NotSent::LeaseOver)));
    }
    desk.expect(Operation::SearchPatients);
    assert!(desk.retries().is_empty());
}

/// Goal: a slot is known to be free as soon as anybody knows it. Method: a cancellation changes nothing, for what stands was
/// cancelled already, and state says that it still occupies its time, as it does after a read.
#[test]
fn a_cancellation_that_changes_nothing_says_that_nothing_is_occupied() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let booking = a_booking("b", 1);
    desk.arrive(booking.clone());
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    let stood = desk.state("b").placement.expect("it stands");
    desk.arrive(cancelled(a_booking("b", 2)));
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    let mut durable = desk.durable.clone();
    let known = durable.bookings.entry_mut(&booking.key).placement.as_mut().expect("it is known");
    (known.spans, known.status) = (stood.spans, stood.status);
    let mut next = Desk::acquired(GuardMode::IdempotencyKey, durable, desk.offsets.clone(), desk.now);
    next.arrive(cancelled(a_booking("b", 3)));
    next.pass_ms(1_000);
    assert!(next.calls.is_empty(), "{:?}", next.calls);
    let known = next.state("b").placement.expect("it is known");
    assert_eq!((known.spans, known.status), (Vec::new(), BookingStatus::Cancelled));
}

#[test]
fn reads_need_no_lease() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    assert!(desk.expect(Operation::SearchPatients).lease_until.is_none());
}

#[test]
fn a_lost_commit_drops_the_task_with_its_memory_and_acquires_it_again() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.hold_commits = true;
    desk.arrive(a_booking("b", 1));
    desk.commit_is_lost();
    assert!(desk.others.iter().any(|effect| matches!(effect, Effect::Drop { partition: 0, .. })));
    let acquisitions = desk.others.iter().filter(|effect| matches!(effect, Effect::Acquire { .. }));
    assert_eq!(acquisitions.count(), 2);
    desk.pass_ms(1_000);
    assert!(desk.calls.is_empty(), "nothing of the dropped life is sent");
}

#[test]
fn an_answer_for_a_dropped_life_is_thrown_away() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    let call = desk.expect(Operation::CreateAppointment);
    desk.hold_commits = true;
    desk.arrive(a_booking_of_another("c"));
    desk.commit_is_lost();
    desk.answer(&call, created("a-1"));
    assert!(desk.results().is_empty());
}

#[test]
fn a_revoked_task_finishes_its_calls_commits_and_is_released() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    let call = desk.expect(Operation::CreateAppointment);
    desk.hold_commits = true;
    desk.arrive(a_booking_of_another("c"));
    desk.handle(Input::TaskRevoked { partition: 0 });
    desk.hold_commits = false;
    desk.commit_is_good();
    desk.pass_ms(200);
    assert!(desk.calls.is_empty(), "nothing new is sent");
    assert!(!desk.others.iter().any(|effect| matches!(effect, Effect::Release { .. })));
    desk.answer(&call, created("a-1"));
    assert!(desk.others.iter().any(|effect| matches!(effect, Effect::Release { .. })));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
    assert!(desk.state("c").intent.is_none(), "what was not sent leaves no doubt to the successor");
    assert_eq!(desk.offsets[&healthflow_core::topics::Lane::Requested], 1, "c is the successor's");
}

#[test]
fn a_drained_task_waits_for_its_commit_and_not_for_the_clock() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.hold_commits = true;
    desk.arrive(a_booking("b", 1));
    desk.handle(Input::TaskRevoked { partition: 0 });
    desk.pass_ms(6_000);
    let wakeup = desk.processor.next_wakeup(desk.now);
    assert!(wakeup.is_none_or(|at| at > desk.now), "else the worker spins until the commit has ended");
}

/// Goal: the group does not wait for what is not under way. Method: a task is wanted back in the pause before it is acquired
/// again.
#[test]
fn a_task_that_is_not_being_acquired_yet_is_given_back_at_once() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.hold_commits = true;
    desk.arrive(a_booking("b", 1));
    desk.commit_is_lost();
    desk.handle(Input::TaskRevoked { partition: 0 });
    assert!(matches!(desk.others.last(), Some(Effect::Release { .. })), "{:?}", desk.others.last());
}

/// Goal: no task is the group's gift and nobody's work. Method: it is wanted back while it is acquired, and given again before
/// that has ended, as a group does that had its answer otherwise.
#[test]
fn a_task_that_is_ours_again_before_it_was_given_back_is_acquired_anew() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.hold_commits = true;
    desk.arrive(a_booking("b", 1));
    desk.commit_is_lost();
    desk.hold_commits = false;
    desk.pass_ms(6_000);
    desk.handle(Input::TaskRevoked { partition: 0 });
    desk.handle(Input::TaskAssigned { partition: 0 });
    let [.., Effect::Drop { incarnation: over, .. }, Effect::Acquire { incarnation, .. }] = desk.others[..]
    else {
        panic!("{:?}", desk.others);
    };
    assert!(over < incarnation, "what the life before read counts no more");
    desk.acquire_again();
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.handle(Input::TaskRevoked { partition: 0 });
    desk.pass_ms(200);
    assert!(matches!(desk.others.last(), Some(Effect::Release { .. })), "{:?}", desk.others.last());
}

#[test]
fn a_stop_gives_every_task_back_and_ends() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.handle(Input::StopRequested);
    desk.pass_ms(200);
    assert!(matches!(desk.others.last(), Some(Effect::Stop)));
}
