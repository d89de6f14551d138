//! Dead letters that are redriven: re-opened by the record that quotes the generation after theirs, and by nothing else
//! (rule K10).

use healthflow_core::booking::Version;
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::event::{Arrival, Identity, Outgoing, RetryEntry};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::settings::GuardMode;
use healthflow_core::sync::FailureReason;
use healthflow_core::topics::Lane;

use crate::bad_input::poison;
use crate::desk::*;

const GUARD: GuardMode = GuardMode::IdempotencyKey;

/// A booking whose first version was refused for its slot.
fn refused() -> Desk {
    let mut desk = Desk::new(GUARD);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::SlotTaken));
    assert_eq!(finals(&desk), [(1, "SLOT_TAKEN", 1)]);
    desk
}

/// Every final result: version, how it ended, generation.
fn finals(desk: &Desk) -> Vec<(Version, &'static str, u32)> {
    let result = |record: &Outgoing| match record {
        Outgoing::Synced(done) => Some((done.identity.version, done.outcome.code(), done.generation)),
        Outgoing::Failed(letter) => {
            Some((letter.identity.as_ref()?.version, letter.reason.code(), letter.generation))
        }
        _ => None,
    };
    desk.committed.iter().filter_map(result).collect()
}

/// The redrive of the newest dead letter.
fn redrive(desk: &Desk) -> RetryEntry {
    let letter = desk.dead_letters().pop().expect("something failed");
    AppointmentFailed::from(&letter).into_redrive(desk.now).expect("a valid booking")
}

fn publish(desk: &mut Desk, entry: RetryEntry) {
    desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
}

/// A record that nobody understood speaks of no version. Published again once it is understood, it is a first reading,
/// whatever was answered meanwhile, and however often it comes.
#[test]
fn a_record_that_was_not_understood_gets_one_result_however_often_it_is_published_again() {
    let mut desk = Desk::new(GUARD);
    desk.arrive_on(Lane::Requested, poison(FailureReason::Undecodable, None));
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(a_booking("b", 1));
    assert_eq!(finals(&desk), [(1, "CREATED", 0)]);
    // Another one, whose booking has a newer version by now.
    desk.arrive_on(Lane::Requested, poison(FailureReason::Undecodable, None));
    desk.arrive(a_booking("c", 2));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    for _ in 0..3 {
        desk.arrive(a_booking("c", 1));
    }
    assert_eq!(finals(&desk), [(1, "CREATED", 0), (2, "CREATED", 0), (1, "SUPERSEDED", 0)]);
}

/// A retry record whose schema could not be had: its version is still parked under the generation that it quotes.
#[test]
fn a_retry_record_that_was_not_understood_goes_on_where_it_was() {
    let mut desk = Desk::new(GUARD);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    let entry = desk.retries().pop().expect("it was parked");
    desk.arrive_on(Lane::Retry, poison(FailureReason::Undecodable, None));
    desk.pass_ms(60_000);
    publish(&mut desk, entry.clone());
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    publish(&mut desk, entry);
    assert_eq!(
        finals(&desk).iter().map(|(version, how, _)| (*version, *how)).collect::<Vec<_>>(),
        [(1, "CREATED")]
    );
}

#[test]
fn a_redriven_version_gets_a_result_under_the_next_generation() {
    let mut desk = refused();
    let entry = redrive(&desk);
    publish(&mut desk, entry);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(finals(&desk), [(1, "SLOT_TAKEN", 1), (1, "CREATED", 2)]);
    assert!(desk.facts.iter().any(|fact| matches!(fact, Fact::BookingReopened { version: 1, .. })));
    let state = desk.state("b");
    assert!(state.is_answered(1) && state.parked.is_empty() && state.intent.is_none());
}

/// An operator who is not sure redrives twice: at once, and again when it is done.
#[test]
fn the_same_redrive_twice_is_one() {
    let mut desk = refused();
    let entry = redrive(&desk);
    publish(&mut desk, entry.clone());
    publish(&mut desk, entry.clone());
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    publish(&mut desk, entry);
    desk.expect_silence();
    assert_eq!(finals(&desk).len(), 2);
}

#[test]
fn a_redrive_that_fails_again_leaves_a_dead_letter_that_only_its_own_redrive_re_opens() {
    let mut desk = refused();
    let first = redrive(&desk);
    publish(&mut desk, first.clone());
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::SlotTaken));
    assert_eq!(finals(&desk), [(1, "SLOT_TAKEN", 1), (1, "SLOT_TAKEN", 3)]);
    publish(&mut desk, first);
    desk.expect_silence();
    let second = redrive(&desk);
    publish(&mut desk, second);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(finals(&desk).last(), Some(&(1, "CREATED", 4)));
}

#[test]
fn a_copy_of_the_booking_re_opens_nothing() {
    let mut desk = refused();
    desk.arrive(a_booking("b", 1));
    desk.expect_silence();
    let mut next = desk.crash(GUARD);
    next.arrive(a_booking("b", 1));
    next.expect_silence();
    assert_eq!((finals(&desk).len(), finals(&next).len()), (1, 0));
}

/// The record is read again by whoever comes next, until it is answered for.
#[test]
fn a_restart_in_the_middle_of_a_redrive_repeats_and_loses_nothing() {
    let mut desk = refused();
    let entry = redrive(&desk);
    publish(&mut desk, entry.clone());
    desk.expect(Operation::CreateAppointment);
    let mut next = desk.crash(GUARD);
    publish(&mut next, entry.clone());
    next.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(finals(&next), [(1, "CREATED", 2)]);
    let mut last = next.crash(GUARD);
    publish(&mut last, entry);
    last.expect_silence();
    assert!(finals(&last).is_empty());
}

#[test]
fn a_redrive_is_parked_and_comes_back_like_any_other_booking() {
    let mut desk = refused();
    let entry = redrive(&desk);
    publish(&mut desk, entry);
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    desk.bring_back();
    desk.pass_ms(10_000);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(finals(&desk).last(), Some(&(1, "CREATED", 3)));
}

/// It waits as any other does, and gets its second result as any other would.
#[test]
fn a_redriven_version_whose_record_cannot_be_used_any_more_still_gets_its_result() {
    let mut desk = refused();
    let entry = redrive(&desk);
    publish(&mut desk, entry);
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    let identity = Some(Identity::from(&a_booking("b", 1)));
    desk.arrive_on(Lane::Retry, poison(FailureReason::Impossible, identity));
    assert_eq!(finals(&desk), [(1, "SLOT_TAKEN", 1), (1, "IMPOSSIBLE", 4)]);
    assert!(desk.state("b").is_answered(1) && desk.state("b").parked.is_empty());
}

/// Only the newest wish counts: once a newer version has its result, the older one could only be superseded.
#[test]
fn what_a_newer_version_replaced_is_not_redriven() {
    let mut desk = refused();
    let entry = redrive(&desk);
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    publish(&mut desk, entry);
    desk.expect_silence();
    assert_eq!(finals(&desk), [(1, "SLOT_TAKEN", 1), (2, "CREATED", 0)]);
    assert!(desk.state("b").parked.is_empty());
}

#[test]
fn a_newer_version_overtakes_one_that_is_being_redriven() {
    let mut desk = refused();
    let entry = redrive(&desk);
    publish(&mut desk, entry);
    let call = desk.expect(Operation::CreateAppointment);
    desk.arrive(rescheduled("b", 2));
    desk.answer(&call, created("a-1"));
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(finals(&desk)[1..], [(1, "CREATED", 2), (2, "UPDATED", 0)]);
}

/// A change that was refused leaves the appointment where it stands, and says so; redriven, it changes that one.
#[test]
fn a_redriven_change_is_written_to_the_appointment_that_stands() {
    let mut desk = Desk::new(GUARD);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(rescheduled("b", 2));
    desk.expect_and_answer(Operation::UpdateAppointment, Err(Fault::SlotTaken));
    let letter = desk.dead_letters().pop().expect("it failed");
    assert_eq!(
        (letter.reason, letter.placed_ids.appointment_id.as_deref()),
        (FailureReason::SlotTaken, Some("a-1"))
    );
    let entry = redrive(&desk);
    publish(&mut desk, entry);
    desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(finals(&desk).last(), Some(&(2, "UPDATED", 2)));
}

/// Another machine's clock may be ahead: the first copy then waits, while the second one runs.
#[test]
fn a_copy_of_a_redrive_that_comes_due_after_its_version_was_parked_anew_is_passed_over() {
    let mut desk = refused();
    let entry = redrive(&desk);
    let mut ahead = entry.clone();
    ahead.schedule.not_before = desk.now.plus_ms(20_000);
    publish(&mut desk, ahead);
    publish(&mut desk, entry);
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    desk.pass_ms(30_000);
    desk.expect_silence();
    assert_eq!(desk.offsets[&Lane::Retry], 2, "nothing of it is left");
    desk.bring_back();
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(finals(&desk).last(), Some(&(1, "CREATED", 3)));
}
