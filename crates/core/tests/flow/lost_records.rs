//! Retry records that are gone from their topic, and topics that end under a task at work (rule K9).

use std::collections::HashSet;

use healthflow_core::booking::Booking;
use healthflow_core::event::failed::DeadContent;
use healthflow_core::fact::{DropCause, Fact};
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::life::LaneEnd;
use healthflow_core::partition::start::mark_lost;
use healthflow_core::processor::{Effect, Input};
use healthflow_core::settings::GuardMode;
use healthflow_core::sync::{Disposition, FailureReason};

use crate::desk::*;

const Q_MS: i64 = 75_000;

/// The worker dies, and the retry topic is recreated before another one acquires the task.
fn after_the_retry_topic_is_gone(desk: &Desk, guard: GuardMode) -> Desk {
    let mut state = desk.durable.clone();
    mark_lost(&mut state, &HashSet::new());
    Desk::acquired(guard, state, desk.offsets.clone(), desk.now)
}

/// The versions that were dead-lettered because their record is gone.
fn lost(desk: &Desk) -> Vec<(String, u64)> {
    let letters = desk.dead_letters();
    let lost = letters.iter().filter(|letter| letter.reason == FailureReason::RecordLost);
    let name = |letter: &&healthflow_core::event::DeadLetter| {
        assert_eq!((letter.disposition, &letter.content), (Disposition::Operator, &DeadContent::Lost));
        let identity = letter.identity.clone().expect("its ids are known");
        (identity.key.booking.as_str().to_owned(), identity.version)
    };
    lost.map(|letter| name(&letter)).collect()
}

fn parked() -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(rescheduled("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    assert_eq!(desk.retries().len(), 1);
    desk
}

#[test]
fn a_version_whose_retry_record_is_gone_gets_its_dead_letter_once_with_the_first_commit() {
    let desk = after_the_retry_topic_is_gone(&parked(), GuardMode::IdempotencyKey);
    assert_eq!(lost(&desk), [("b".to_owned(), 1)]);
    let state = desk.state("b");
    assert!(state.is_answered(1) && state.parked.is_empty() && state.lost.is_empty());
    // Nothing of it is left to be said, to the next owner or to a copy.
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.arrive(rescheduled("b", 1));
    next.expect_silence();
    assert!(next.dead_letters().is_empty());
    next.arrive(rescheduled("b", 2));
    next.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(next.results(), [("b".into(), 2, "CREATED")]);
}

#[test]
fn a_lost_version_in_doubt_gets_its_dead_letter_once_the_doubt_is_settled_whoever_settles_it() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(Q_MS - 1_000);
    assert_eq!(desk.retries().len(), 1);
    let first = after_the_retry_topic_is_gone(&desk, GuardMode::Reference);
    assert_eq!((lost(&first), first.state("b").lost), (Vec::new(), vec![1]));
    // The next owner does not find the topic recreated: it knows from state.
    let mut second = first.crash(GuardMode::Reference);
    second.pass_ms(2 * Q_MS);
    second.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    assert_eq!(lost(&second), [("b".to_owned(), 1)]);
    let letters = second.dead_letters();
    assert_eq!(
        letters[0].placed_ids.appointment_id.as_deref(),
        Some("a-1"),
        "it says what stands nevertheless"
    );
    assert!(second.crash(GuardMode::Reference).dead_letters().is_empty());
}

#[test]
fn a_lost_version_that_is_published_again_before_its_dead_letter_ends_on_its_merits() {
    let mut desk = Desk::new(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.pass_ms(Q_MS - 1_000);
    let mut next = after_the_retry_topic_is_gone(&desk, GuardMode::Reference);
    next.arrive(a_booking("b", 1));
    next.pass_ms(2 * Q_MS);
    next.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
    next.bring_back();
    next.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
    assert_eq!(next.results(), [("b".into(), 1, "CREATED")]);
    assert!(next.dead_letters().is_empty());
    assert!(next.state("b").lost.is_empty());
}

#[test]
fn a_lost_version_whose_doubt_only_a_person_could_settle_gets_its_dead_letter_nevertheless() {
    let mut desk = Desk::new(GuardMode::Search);
    let of_another = || Booking { visit: a_booking("b", 1).visit, ..a_booking_of_another("c") };
    for booking in [a_booking("b", 1), Booking { patient: a_booking("b", 1).patient, ..of_another() }] {
        desk.arrive(booking);
        desk.expect_and_answer(Operation::CreateAppointment, timeout());
    }
    desk.pass_ms(Q_MS - 1_000);
    let mut next = after_the_retry_topic_is_gone(&desk, GuardMode::Search);
    next.pass_ms(2 * Q_MS);
    for call in std::mem::take(&mut next.calls) {
        next.answer(&call, appointments(&["a-1"]));
    }
    next.pass_ms(1_000);
    assert_eq!(lost(&next), [("b".to_owned(), 1), ("c".to_owned(), 1)]);
    assert!(next.state("b").intent.is_some(), "what it may have made is not taken for another booking's");
}

#[test]
fn a_topic_that_ends_drops_its_task_which_is_acquired_anew_after_a_pause() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let (incarnation, topic, why) = (desk.incarnation, "appointments.retry", LaneEnd::TopicRecreated);
    let ended = |incarnation| Input::LaneEnded { partition: 0, incarnation, topic, why };
    desk.others.clear();
    desk.handle(ended(incarnation + 1));
    assert!(desk.others.is_empty(), "of another life of the task it says nothing");
    desk.handle(ended(incarnation));
    let [Effect::Drop { .. }, Effect::Acquire { not_before, .. }] = desk.others[..] else {
        panic!("{:?}", desk.others)
    };
    assert!(not_before > desk.now, "it does not spin");
    let told = Fact::TaskDropped { partition: 0, why: DropCause::LaneEnded { topic, why } };
    assert!(desk.facts.contains(&told));
    desk.acquire_again();
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}
