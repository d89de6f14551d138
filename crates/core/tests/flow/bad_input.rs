//! Records that cannot be used, and copies: what exactly becomes of each, and of its neighbours.

use healthflow_core::time::DAY_MS;
use std::sync::Arc;

use healthflow_core::event::{Arrival, Identity, Misrouted, Origin, Outgoing, Unusable};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::Operation;
use healthflow_core::settings::GuardMode;
use healthflow_core::sync::{Disposition, FailureReason};
use healthflow_core::topics::Lane;

use crate::desk::*;

pub fn poison(reason: FailureReason, identity: Option<Identity>) -> Arrival {
    Arrival::Unusable(Box::new(Unusable {
        raw_key: Some(b"practice-1".to_vec()),
        raw_value: Some(b"not avro".to_vec()),
        reason,
        detail: Arc::from("no Avro"),
        identity,
        named: Default::default(),
        decision_id: None,
    }))
}

#[test]
fn an_undecodable_record_is_dead_lettered_with_its_bytes_and_blocks_nobody() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive_on(Lane::Requested, poison(FailureReason::Undecodable, None));
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    let letter = desk.dead_letters().pop().expect("a dead letter");
    assert_eq!((letter.reason, letter.disposition), (FailureReason::Undecodable, Disposition::Poison));
    assert_eq!(letter.origin.map(|origin| (origin.lane, origin.offset)), Some((Lane::Requested, 0)));
    desk.pass_ms(1_000);
    assert_eq!(desk.offsets[&Lane::Requested], 2);
}

#[test]
fn a_version_that_cannot_be_true_is_answered_once_and_supersedes_nothing() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let identity = Identity::from(&a_booking("b", 5));
    desk.arrive_on(Lane::Requested, poison(FailureReason::Impossible, Some(identity.clone())));
    desk.arrive_on(Lane::Requested, poison(FailureReason::Impossible, Some(identity)));
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.dead_letters().len(), 1);
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

/// Whoever reads the dead letter must learn that the older version stands there.
#[test]
fn an_invalid_version_names_what_exists_nevertheless() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    let identity = Identity::from(&a_booking("b", 2));
    desk.arrive_on(Lane::Requested, poison(FailureReason::Impossible, Some(identity)));
    let letter = desk.dead_letters().pop().expect("a dead letter");
    assert_eq!(letter.placed_ids.appointment_id.as_deref(), Some("a-1"));
}

#[test]
fn the_same_version_again_is_skipped_and_the_first_content_stands() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.arrive(a_booking("b", 1));
    let mut other = a_booking("b", 1);
    other.visit.duration_minutes = 90;
    desk.arrive(other);
    desk.expect_silence();
    assert_eq!(desk.results().len(), 1);
    let differs: Vec<Option<bool>> = desk
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::DuplicateSkipped { differs, .. } => Some(*differs),
            _ => None,
        })
        .collect();
    assert_eq!(differs, [Some(false), Some(true)]);
}

#[test]
fn a_copy_that_arrives_while_the_first_is_under_way_is_one_piece_of_work() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    let call = desk.expect(Operation::CreateAppointment);
    desk.arrive(a_booking("b", 1));
    desk.answer(&call, created("a-1"));
    desk.expect_silence();
    assert_eq!(desk.results().len(), 1);
    assert_eq!(desk.offsets[&Lane::Requested], 2);
}

#[test]
fn a_restart_repeats_no_result() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.arrive(a_booking("b", 1));
    next.expect_silence();
    assert!(next.results().is_empty());
}

#[test]
fn a_parked_version_whose_retry_record_cannot_be_used_any_more_still_gets_its_result() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking("b", 1));
    let refused =
        healthflow_core::healthflow::Fault::NotSent(healthflow_core::healthflow::fault::NotSent::Connect);
    desk.expect_and_answer(Operation::CreateAppointment, Err(refused));
    let identity = Identity::from(&a_booking("b", 1));
    desk.arrive_on(Lane::Retry, poison(FailureReason::Impossible, Some(identity)));
    assert_eq!(desk.dead_letters().len(), 1);
    assert!(desk.state("b").parked.is_empty());
}

/// What was processed may be read again after a crash, by a worker that cannot use it; the version waits for a person now.
#[test]
fn an_old_retry_record_that_cannot_be_used_does_not_end_a_version_in_review() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let stranger = a_booking_of("b", a_patient("patient-9", "Ada", "Lovelace"));
    desk.arrive(stranger.clone());
    let similar = a_patient("patient-9", "Ada", "Lovelac");
    while desk.reviews().is_empty() {
        desk.expect_and_answer(Operation::SearchPatients, chart("hf-9", &similar));
    }
    desk.arrive_on(Lane::Retry, poison(FailureReason::Impossible, Some(Identity::from(&stranger))));
    assert!(desk.dead_letters().is_empty());
    assert!(desk.state("b").question().is_some());
}

#[test]
fn a_record_whose_schema_is_not_known_yet_holds_the_committable_offset_and_nobody_else() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.delay(Lane::Requested);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(desk.offsets[&Lane::Requested], 0, "the one that is held is not lost");
    desk.arrive_late(Lane::Requested, 0, poison(FailureReason::Undecodable, None));
    assert_eq!((desk.offsets[&Lane::Requested], desk.dead_letters().len()), (2, 1));
}

#[test]
fn a_misrouted_record_is_forwarded_with_its_key_and_bytes_and_asks_nothing() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let record = Misrouted { home: 3, key: b"practice-9".to_vec(), value: b"as it is".to_vec() };
    desk.arrive_on(Lane::Requested, Arrival::Misrouted(Box::new(record.clone())));
    desk.expect_silence();
    let origin = Origin { lane: Lane::Requested, partition: 0, offset: 0 };
    assert_eq!(desk.committed.last(), Some(&Outgoing::Forwarded(Box::new(record), origin)));
    assert_eq!(desk.offsets[&Lane::Requested], 1);
    assert!(desk.facts.contains(&Fact::RecordForwarded { origin, home: 3 }));
}

/// Goal: a publisher with another partitioner fills no log. Method: many records under two keys, within a minute and after it.
#[test]
fn a_misrouted_key_is_reported_once_a_minute() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let stray = |desk: &mut Desk, key: &str| {
        let record = Misrouted { home: 3, key: key.as_bytes().to_vec(), value: b"as it is".to_vec() };
        desk.arrive_on(Lane::Requested, Arrival::Misrouted(Box::new(record)));
    };
    let told = |desk: &Desk| -> Vec<u64> {
        let records = |fact: &Fact| match fact {
            Fact::KeyMisrouted { records, .. } => Some(*records),
            _ => None,
        };
        desk.facts.iter().filter_map(records).collect()
    };
    for _ in 0..20 {
        stray(&mut desk, "practice-9");
        stray(&mut desk, "practice-8");
    }
    assert_eq!(told(&desk), [1, 1]);
    desk.pass_ms(60_000);
    stray(&mut desk, "practice-9");
    assert_eq!(told(&desk), [1, 1, 20]);
}

/// Goal: a producer that counts in seconds, or history, does not make a lane look years late.
#[test]
fn a_request_of_1970_makes_no_lane_late() {
    for (ago_ms, late_ms) in [(4_000, 4_000), (40 * DAY_MS, 0), (START.0 - 1_900_000, 0)] {
        let mut desk = Desk::new(GuardMode::IdempotencyKey);
        let mut booking = a_booking("b", 1);
        booking.requested_at = desk.now.plus_ms(-ago_ms);
        let arrived_at = desk.now;
        desk.arrive(booking);
        let status = desk.processor.status(desk.now);
        let lane = status.tasks[0].lanes.iter().find(|lane| lane.lane == Lane::Requested);
        let since = lane.and_then(|lane| lane.late_since()).expect("it is unfinished");
        assert_eq!(arrived_at.since_ms(since), late_ms);
    }
}
