//! Reading with care (rule K6), as far as the rest of a task has to do with it.

use healthflow_core::event::{Arrival, Unusable};
use healthflow_core::healthflow::Operation;
use healthflow_core::partition::reading::HeldRange;
use healthflow_core::processor::{Effect, Input};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{ReadMark, ReadingState, TaskPositions, TaskState};
use healthflow_core::sync::FailureReason;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

use crate::desk::*;

/// An owner that finds the first record of the retry lane suspected alone: `ended` processes were lost under its mark.
fn after_an_end_under(ended: &[i64]) -> Desk {
    let ended = ended.iter().copied().map(Timestamp).collect();
    let mark = ReadMark { lane: Lane::Retry, from: 0, to: 0, records: 1, alone: true, ended };
    let reading = ReadingState { live_since: Some(Timestamp(1)), marked: Some(mark), suspects: Vec::new() };
    let next_offsets = Lane::ALL.map(|lane| lane.at(0)).to_vec();
    let positions = TaskPositions { partition_count: 1, next_offsets, reading, ..TaskPositions::default() };
    let state = TaskState { positions: Some(positions), ..TaskState::default() };
    let mut desk = Desk::acquired(GuardMode::IdempotencyKey, state, Default::default(), START);
    desk.pass_ms(LAG_MS + 1);
    desk
}

/// The next record of a lane is fetched, and not decoded.
pub fn hold(desk: &mut Desk, lane: Lane) {
    let (offset, incarnation) = (desk.next[&lane], desk.incarnation);
    desk.next.insert(lane, offset + 1);
    desk.handle(Input::Held { partition: 0, incarnation, lane, offset, size_bytes: 100 });
    desk.pass_ms(300);
}

/// The record is decoded, and harms nobody.
fn decode(desk: &mut Desk) {
    let (raw_key, raw_value) = (Some(b"pr-0".to_vec()), Some(b"nonsense".to_vec()));
    let (reason, detail) = (FailureReason::Undecodable, "nonsense".into());
    let unusable = Unusable { raw_key, raw_value, reason, detail, identity: None };
    desk.arrive_late(Lane::Retry, 0, Arrival::Unusable(Box::new(unusable)));
}

fn releases(desk: &Desk) -> Vec<HeldRange> {
    let release = |effect: &Effect| match effect {
        Effect::Decode { release, .. } => Some(*release),
        _ => None,
    };
    desk.others.iter().filter_map(release).collect()
}

/// Goal: an end while a record is read alone is that record's own. Method: a call is under way when it is fetched, and
/// another booking wants to be sent.
#[test]
fn a_record_is_read_alone_once_no_call_is_under_way() {
    let mut desk = after_an_end_under(&[]);
    desk.arrive(a_booking("a", 1));
    let call = desk.expect(Operation::CreateAppointment);
    hold(&mut desk, Lane::Retry);
    desk.arrive(a_booking_of_another("b"));
    desk.expect_silence();
    assert_eq!(releases(&desk), []);
    desk.answer(&call, created("hfa-1"));
    desk.expect_silence();
    assert_eq!(releases(&desk), [HeldRange { lane: Lane::Retry, from: 0, to: 0, dead_lettered_after: None }]);
    decode(&mut desk);
    desk.expect(Operation::CreateAppointment);
}

/// Goal: nothing is sent while a record is read alone. Method: a booking arrives under its mark.
#[test]
fn nothing_is_sent_while_a_record_is_read_alone() {
    let mut desk = after_an_end_under(&[]);
    hold(&mut desk, Lane::Retry);
    assert_eq!(releases(&desk).len(), 1);
    desk.arrive(a_booking("a", 1));
    desk.expect_silence();
    decode(&mut desk);
    desk.expect(Operation::CreateAppointment);
}

/// Goal: what is dead-lettered is not read, so nobody waits for it. Method: a record that used up its ends is fetched while a call
/// is under way.
#[test]
fn a_record_that_is_dead_lettered_undecoded_keeps_nobody_waiting() {
    let mut desk = after_an_end_under(&[2, 3]);
    desk.arrive(a_booking("a", 1));
    desk.expect(Operation::CreateAppointment);
    hold(&mut desk, Lane::Retry);
    assert_eq!(
        releases(&desk),
        [HeldRange { lane: Lane::Retry, from: 0, to: 0, dead_lettered_after: Some(3) }]
    );
    desk.arrive(a_booking_of_another("b"));
    desk.expect(Operation::CreateAppointment);
}
