//! What waits for a person (rule K4): it lies in the review topic with its content, without calls, attempts or offsets, and goes
//! on as soon as the question is gone.

use healthflow_core::booking::Version;
use healthflow_core::event::Outgoing;
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{Hold, TaskState};
use healthflow_core::sync::{FailureReason, ReviewReason};
use healthflow_core::topics::Lane;

use crate::desk::*;

/// A desk at which `count` bookings of one patient wait for the review of "asks": which of two charts is the patient's?
fn held(count: usize) -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("first", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-0"));
    desk.arrive(conflicting("asks", 1));
    assert_eq!(desk.reviews().len(), 1);
    (0..count).for_each(|number| desk.arrive(a_booking(&format!("held-{number}"), 1)));
    desk
}

/// What was taken out of the review topic, in order.
fn released(desk: &Desk) -> Vec<(String, Version)> {
    let of = |record: &Outgoing| match record {
        Outgoing::Released(of) => Some((of.booking.booking.to_string(), of.version)),
        _ => None,
    };
    desk.committed.iter().filter_map(of).collect()
}

/// Answers the creates of `count` held bookings; whose they were.
fn create_all(desk: &mut Desk, count: usize) -> Vec<String> {
    let mut order = Vec::new();
    for number in 0..count {
        desk.expect_and_answer(Operation::CreateAppointment, created(&format!("a-{}", number + 1)));
        order.push(desk.results().last().expect("a result").0.clone());
    }
    order
}

#[test]
fn what_waits_behind_a_review_says_whose_and_pins_nothing() {
    let mut desk = held(2);
    assert_eq!(desk.behind(), [("held-0".into(), 1, "asks".into()), ("held-1".into(), 1, "asks".into())]);
    assert!(desk.retries().is_empty(), "nothing goes through the retry topic");
    assert_eq!(desk.offsets[&Lane::Requested], 4, "no offset is kept back");
    let records = desk.committed.len();
    desk.pass_ms(20 * 3_600_000);
    desk.expect_silence();
    let written = desk.committed[records..].iter().filter(|record| !matches!(record, Outgoing::State(_)));
    assert_eq!(written.count(), 0, "waiting writes nothing");
}

#[test]
fn a_newer_version_that_names_the_chart_ends_its_review_and_lets_the_others_go_in_order() {
    let mut desk = held(2);
    desk.arrive(a_booking("asks", 2));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-9"));
    assert_eq!(create_all(&mut desk, 2), ["held-0", "held-1"]);
    let results = desk.results();
    assert!(
        results.contains(&("asks".into(), 1, "SUPERSEDED"))
            && results.contains(&("asks".into(), 2, "CREATED"))
    );
    assert_eq!(released(&desk), [("asks".into(), 1), ("held-0".into(), 1), ("held-1".into(), 1)]);
    assert!(desk.durable.held.is_empty());
}

#[test]
fn a_cancellation_ends_the_review_of_its_booking() {
    let mut desk = held(1);
    desk.arrive(cancelled(conflicting("asks", 2)));
    assert_eq!(create_all(&mut desk, 1), ["held-0"]);
    assert!(desk.results().contains(&("asks".into(), 2, "CANCELLED")));
}

#[test]
fn a_newer_version_that_asks_the_same_takes_the_place_of_the_older_one() {
    let mut desk = held(1);
    desk.arrive(conflicting("asks", 2));
    desk.expect_silence();
    assert_eq!(desk.results().last(), Some(&("asks".into(), 1, "SUPERSEDED")));
    assert_eq!(desk.reviews().last().map(|case| case.booking.version), Some(2));
    assert_eq!(desk.state("asks").question(), Some(2));
    assert_eq!(desk.state("held-0").hold(1), Some(Hold::Behind), "the others wait on");
    // An older one that comes late replaces nothing.
    let mut late = conflicting("late", 2);
    desk.arrive(late.clone());
    late.version = 1;
    desk.arrive(late);
    assert_eq!(desk.behind().len(), 3);
}

/// Goal: nobody is forgotten in review. Method: the worker dies at each moment between the answer that lets a booking go and
/// that booking's own result.
#[test]
fn who_was_let_go_goes_on_with_the_next_owner() {
    let mut desk = held(2);
    desk.arrive(a_booking("asks", 2));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-9"));
    assert_eq!(desk.state("held-1").hold(1), Some(Hold::Released), "in the transaction of the answer");
    let mut desk = desk.crash(GuardMode::IdempotencyKey);
    desk.pass_ms(LAG_MS + 1);
    // The create of the first one was under way, and is repeated under its key.
    assert_eq!(create_all(&mut desk, 2), ["held-0", "held-1"]);
    assert!(desk.durable.held.is_empty());
}

#[test]
fn what_waits_behind_a_review_waits_on_with_the_next_owner() {
    let mut desk = held(1).crash(GuardMode::IdempotencyKey);
    desk.pass_ms(LAG_MS + 1);
    desk.arrive(a_booking("more", 1));
    desk.expect_silence();
    desk.arrive(a_booking("asks", 2));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-9"));
    assert_eq!(create_all(&mut desk, 2), ["held-0", "more"]);
}

#[test]
fn what_was_let_go_and_fails_leaves_the_review_topic_for_the_retry_topic() {
    let mut desk = held(1);
    desk.arrive(cancelled(conflicting("asks", 2)));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    assert_eq!(desk.retries().len(), 1);
    assert_eq!(released(&desk).last(), Some(&("held-0".into(), 1)));
    desk.bring_back();
    desk.pass_ms(4_000);
    assert_eq!(create_all(&mut desk, 1), ["held-0"]);
}

/// Goal: a doubt that only a person can settle is put to one, though its booking waits for another question. Method: without
/// references, the answer to a create is lost; another booking's review holds the patient by the time two appointments are found.
#[test]
fn what_waits_behind_a_review_is_asked_about_once_nobody_can_tell_what_became_of_its_write() {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(a_booking("first", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-0"));
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.arrive(conflicting("asks", 1));
    desk.bring_back();
    desk.pass_ms(100_000);
    assert_eq!(desk.behind(), [("b".into(), 1, "asks".into())]);
    desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-7", "a-8"]));
    desk.pass_ms(1_000);
    let asked: Vec<_> =
        desk.reviews().iter().map(|case| (case.booking.key.booking.to_string(), case.reason)).collect();
    let expected =
        [("asks".into(), ReviewReason::LinkConflict), ("b".into(), ReviewReason::AmbiguousAppointment)];
    assert_eq!(asked, expected);
    assert!(desk.state("b").leaves_write_to_a_person());
}

/// Somebody deleted the records of the review topic: nobody can ever decide about them.
#[test]
fn what_is_gone_from_the_review_topic_gets_its_dead_letter() {
    let desk = held(1);
    let state = TaskState { held: Default::default(), ..desk.durable.clone() };
    let mut desk = Desk::within(settings(GuardMode::IdempotencyKey), state, desk.offsets.clone(), desk.now);
    desk.pass_ms(LAG_MS + 1);
    let reasons: Vec<FailureReason> = desk.dead_letters().iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, [FailureReason::RecordLost; 2]);
    desk.arrive(a_booking("more", 1));
    assert_eq!(create_all(&mut desk, 1), ["more"], "the question is gone with its record");
}

/// Goal: what an earlier worker held is not lost with its key. Method: its one record of the booking is restored; the worker dies before
/// it has asked anew, and again after the answer.
#[test]
fn what_an_earlier_worker_held_is_asked_anew_and_laid_under_its_own_key() {
    let desk = held(0);
    let mut state = desk.durable.clone();
    state.held.values_mut().for_each(|held| held.is_of_old = true);
    let mut desk = Desk::within(settings(GuardMode::IdempotencyKey), state, desk.offsets.clone(), desk.now);
    desk.pass_ms(LAG_MS + 1);
    let review = desk.reviews().pop().expect("it is asked anew");
    assert_eq!((review.booking.key.booking.as_str(), review.generation), ("asks", 2));
    let is_tombstone = |record: &&Outgoing| matches!(record, Outgoing::ReleasedOfOld(_));
    assert_eq!(desk.committed.iter().filter(is_tombstone).count(), 1);
    let lies: Vec<bool> = desk.durable.held.values().map(|held| held.is_of_old).collect();
    assert_eq!(lies, [false], "under its own key, and nowhere else");
    desk.arrive(a_booking("asks", 2));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-9"));
    assert!(desk.durable.held.is_empty());
}

/// Goal: nobody waits for a booking of which nothing is left. Method: the newer version that took the place of the question is lost
/// with its topic, before it had a result.
#[test]
fn who_is_held_for_a_booking_of_which_nothing_is_left_goes_on() {
    let desk = held(1);
    let mut state = desk.durable.clone();
    let asks = conflicting("asks", 1).key;
    state.bookings.entry_mut(&asks).parked.clear();
    state.release_held(&asks.version(1));
    let mut desk = Desk::within(settings(GuardMode::IdempotencyKey), state, desk.offsets.clone(), desk.now);
    desk.pass_ms(LAG_MS + 1);
    assert_eq!(create_all(&mut desk, 1), ["held-0"]);
}
