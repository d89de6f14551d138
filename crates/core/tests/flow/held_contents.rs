//! What waits for people past the room in memory (rule K4): its content is read from the topic once it goes on, and nothing is lost
//! or done twice meanwhile.

use healthflow_core::event::{Arrival, Decision, Verdict};
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::patient::HealthFlowPatientId;
use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::{Hold, TaskState};
use healthflow_core::sync::FailureReason;
use healthflow_core::time::DAY_MS;
use healthflow_core::topics::Lane;

use crate::desk::*;

fn no_room() -> Settings {
    Settings { review_contents_max: 0, ..settings(GuardMode::IdempotencyKey) }
}

/// A desk without room for contents; "asks" is in question, and `count` bookings wait behind it.
fn ambiguous(count: usize) -> Desk {
    let mut desk = Desk::within(no_room(), TaskState::default(), Default::default(), START);
    desk.pass_ms(LAG_MS + 1);
    desk.arrive(adas_booking("asks", 1));
    desk.find(&["hf-1", "hf-2"]);
    (0..count).for_each(|number| desk.arrive(adas_booking(&format!("waits-{number}"), 1)));
    desk.expect_silence();
    desk
}

fn link(desk: &mut Desk, id: &str, chart: &str) {
    let key = adas_booking("asks", 1).key;
    let verdict = Verdict::Link(HealthFlowPatientId(chart.into()));
    let decision = Decision {
        id: id.into(),
        key,
        version: 1,
        generation: 1,
        verdict,
        by: "frontdesk-2".into(),
        at: START,
    };
    desk.arrive_on(Lane::Decisions, Arrival::Decided(Box::new(decision)));
}

fn all_created(desk: &mut Desk, bookings: &[&str]) {
    for booking in bookings {
        desk.expect_and_answer(Operation::CreateAppointment, created(&format!("a-{booking}")));
        assert_eq!(desk.results().last(), Some(&((*booking).into(), 1, "CREATED")));
    }
    assert!(desk.durable.held.is_empty());
}

#[test]
fn a_decision_waits_for_the_content_of_what_it_is_about_and_those_behind_follow_in_order() {
    let mut desk = ambiguous(2);
    desk.contents_wait = true;
    link(&mut desk, "d-1", "hf-2");
    desk.expect_silence();
    assert_eq!(desk.offsets.get(&Lane::Decisions), Some(&0), "it is read again if the worker dies now");
    desk.contents_wait = false;
    desk.pass_ms(1);
    all_created(&mut desk, &["asks", "waits-0", "waits-1"]);
    assert_eq!(desk.offsets[&Lane::Decisions], 1);
}

#[test]
fn of_two_decisions_that_wait_for_content_the_first_one_counts() {
    let mut desk = ambiguous(0);
    desk.contents_wait = true;
    link(&mut desk, "d-1", "hf-2");
    link(&mut desk, "d-2", "hf-1");
    desk.contents_wait = false;
    desk.pass_ms(1);
    let reasons: Vec<FailureReason> = desk.dead_letters().iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, [FailureReason::DecisionStale]);
    all_created(&mut desk, &["asks"]);
}

/// Goal: what was let go and is still being read goes on with the next owner. Method: the worker dies in between.
#[test]
fn what_was_let_go_before_its_content_came_goes_on_with_the_next_owner() {
    let mut desk = ambiguous(2);
    desk.contents_wait = true;
    link(&mut desk, "d-1", "hf-2");
    let of = desk.asked_contents.remove(0);
    let (incarnation, found) = (desk.incarnation, desk.durable.contents_of(&of));
    desk.handle(Input::ContentsRead { partition: 0, incarnation, found });
    desk.expect_and_answer(Operation::CreateAppointment, created("a-asks"));
    assert_eq!(desk.state("waits-1").hold(1), Some(Hold::Released));
    desk.expect_silence();
    let mut desk = Desk::within(no_room(), desk.durable.clone(), desk.offsets.clone(), desk.now);
    desk.pass_ms(LAG_MS + 1);
    all_created(&mut desk, &["waits-0", "waits-1"]);
}

/// Goal: what lies in no good commit yet is not taken for lost, though others wait for their content. Method: an older booking waits
/// behind the same review without its content, and a newer one was held a moment ago.
#[test]
fn who_was_held_a_moment_ago_is_not_lost_while_others_are_read() {
    let mut desk = ambiguous(1);
    desk.hold_commits = true;
    desk.contents_wait = true;
    desk.arrive(a_booking_of_another("other"));
    desk.arrive(adas_booking("waits-1", 1));
    link(&mut desk, "d-1", "hf-2");
    for is_of_others in [false, true] {
        let of = desk.asked_contents.remove(0);
        let (incarnation, found) = (desk.incarnation, desk.durable.contents_of(&of));
        assert_eq!(found.len() < of.len(), is_of_others, "one of the others is not in the topic yet");
        desk.handle(Input::ContentsRead { partition: 0, incarnation, found });
    }
    (desk.hold_commits, desk.contents_wait) = (false, false);
    while !desk.commits.is_empty() {
        desk.commit_is_good();
    }
    desk.pass_ms(1_000);
    assert!(desk.dead_letters().is_empty(), "nothing is lost");
}

/// Goal: a version whose content comes late is not live beside a newer one that waits elsewhere. Method: the newer one is parked.
#[test]
fn an_older_version_whose_content_comes_late_gives_way_to_a_newer_one_that_is_parked() {
    let mut desk = ambiguous(0);
    desk.contents_wait = true;
    desk.arrive(adas_booking("asks", 2));
    while let Some(call) = desk.calls.pop() {
        desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
    }
    assert_eq!(desk.retries().len(), 1, "the newer one is parked");
    desk.contents_wait = false;
    desk.pass_ms(1);
    assert_eq!(desk.results().last(), Some(&("asks".into(), 1, "SUPERSEDED")));
    assert!(desk.durable.held.is_empty());
}

/// Goal: a content is not sought in the topic before it lies there. Method: a booking is held while a commit is under way that does not
/// carry it, and let go once that one is good and before the next one is.
#[test]
fn what_is_not_committed_yet_is_not_sought_in_the_topic() {
    let mut desk = ambiguous(0);
    desk.hold_commits = true;
    desk.arrive(a_booking_of_another("other"));
    desk.arrive(adas_booking("waits", 1));
    desk.pass_ms(1_000);
    desk.commit_is_good();
    link(&mut desk, "d-1", "hf-2");
    assert!(desk.durable.held.len() < 2, "it is in no good commit yet");
    desk.hold_commits = false;
    while !desk.commits.is_empty() {
        desk.commit_is_good();
    }
    let other = desk.calls.remove(0);
    desk.answer(&other, created("a-other"));
    all_created(&mut desk, &["asks", "waits"]);
    assert!(desk.dead_letters().is_empty(), "nothing is taken for lost");
}

#[test]
fn a_newer_version_does_not_wait_for_the_content_of_the_older_one() {
    let mut desk = ambiguous(0);
    desk.contents_wait = true;
    desk.arrive(cancelled(adas_booking("asks", 2)));
    assert_eq!(desk.results(), [("asks".into(), 2, "CANCELLED")]);
    desk.contents_wait = false;
    desk.pass_ms(1);
    assert_eq!(desk.results().last(), Some(&("asks".into(), 1, "SUPERSEDED")));
    assert!(desk.durable.held.is_empty());
}

#[test]
fn a_look_reads_the_content_and_forgets_it_again() {
    let mut desk = ambiguous(0);
    for _ in 0..2 {
        let asked = desk.others.len();
        desk.pass_ms(DAY_MS);
        desk.find(&["hf-1", "hf-2"]);
        assert!(desk.others.len() > asked, "it is read each time");
    }
    assert_eq!(desk.state("asks").hold(1), Some(Hold::Question));
}

#[test]
fn a_content_that_is_gone_from_the_topic_is_lost_and_said_to_be() {
    let mut desk = ambiguous(0);
    desk.contents_wait = true;
    link(&mut desk, "d-1", "hf-2");
    let incarnation = desk.incarnation;
    desk.handle(Input::ContentsRead { partition: 0, incarnation, found: Vec::new() });
    desk.pass_ms(1);
    let reasons: Vec<FailureReason> = desk.dead_letters().iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, [FailureReason::DecisionStale, FailureReason::RecordLost]);
    assert_eq!(desk.offsets[&Lane::Decisions], 1);
}
