//! A record that waits long at the head of the retry lane does not keep the committed offset from moving: it is written again at the
//! tail, with all that is known of it.

use healthflow_core::booking::Booking;
use healthflow_core::event::{Arrival, Outgoing, RetryEntry, Schedule};
use healthflow_core::fact::Fact;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::topics::Lane;

use crate::desk::*;

const REPARK_AFTER_MS: i64 = 60_000;
const BACKOFF_MAX_MS: i64 = 600_000;

/// Parks bookings by failing once each; what waits in the retry topic.
fn parked(desk: &mut Desk, count: usize) -> Vec<RetryEntry> {
    for number in 0..count {
        let mut booking: Booking = a_booking(&format!("b-{number}"), 1);
        booking.patient.id = format!("pt-{number}").as_str().into();
        desk.arrive(booking);
        let call = desk.calls.remove(0);
        desk.answer(&call, Err(healthflow_core::healthflow::Fault::Forbidden));
    }
    let entries = desk.retries();
    assert_eq!(entries.len(), count);
    entries
}

fn desk() -> Desk {
    let settings = Settings {
        retry_repark_after_ms: REPARK_AFTER_MS,
        retry_backoff_min_ms: BACKOFF_MAX_MS,
        retry_backoff_max_ms: BACKOFF_MAX_MS,
        ..settings(GuardMode::Reference)
    };
    let mut desk = Desk::within(settings, TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    desk
}

fn reparked(desk: &Desk) -> usize {
    desk.facts.iter().filter(|fact| matches!(fact, Fact::BookingReparked { .. })).count()
}

fn told(schedule: &Schedule) -> impl PartialEq + std::fmt::Debug + use<> {
    let Schedule { attempts, not_before, first_failed_at, last_failed_at, last_error, slot_since } =
        schedule.clone();
    (attempts, not_before, first_failed_at, last_failed_at, last_error, slot_since)
}

/// Goal: the committed offset moves past what waits long, nothing is forgotten, and the old records are worthless. Method: three
/// that wait for ten minutes; after one they are written again, once, in the transaction that moves the offset.
#[test]
fn what_waits_long_does_not_pin_its_lane() {
    let mut desk = desk();
    let first = parked(&mut desk, 3);
    first.iter().for_each(|entry| desk.put_on(Lane::Retry, Arrival::Retry(Box::new(entry.clone()))));
    desk.pass_ms(REPARK_AFTER_MS - 10_000);
    assert_eq!((reparked(&desk), desk.offsets[&Lane::Retry]), (0, 0));
    let before = desk.committed.len();
    desk.pass_ms(11_000);
    assert_eq!((reparked(&desk), desk.offsets[&Lane::Retry]), (3, 3));
    let again: Vec<RetryEntry> = desk.retries().split_off(3);
    for (old, new) in first.iter().zip(&again) {
        assert_eq!((&old.booking, told(&old.schedule)), (&new.booking, told(&new.schedule)));
        assert_eq!(new.generation, old.generation + 1);
        let state = desk.state(old.booking.key.booking.as_str());
        assert_eq!(state.parked(1).map(|parked| parked.generation), Some(new.generation));
    }
    let retries = desk.committed[before..].iter().filter(|record| matches!(record, Outgoing::Retry(_)));
    assert_eq!(retries.count(), 3);
    // Read again after a crash the old ones are copies; the new ones are tried at their time.
    first.into_iter().for_each(|entry| desk.put_on(Lane::Retry, Arrival::Retry(Box::new(entry))));
    assert_eq!(desk.facts.iter().filter(|fact| matches!(fact, Fact::DuplicateSkipped { .. })).count(), 3);
    let due = again[0].schedule.not_before;
    let mut read = 3;
    while desk.calls.is_empty() && desk.now < due.plus_ms(1_000) {
        for entry in desk.retries().split_off(read) {
            desk.put_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
            read += 1;
        }
        desk.pass_ms(500);
    }
    assert!(!desk.calls.is_empty() && desk.now >= due, "it is tried at its time");
    assert!(reparked(&desk) >= 9, "again and again: {}", reparked(&desk));
    assert!(desk.retries().iter().all(|entry| entry.schedule.attempts == 1));
}

/// Goal: what is due before that is left where it is. Method: it waits for less.
#[test]
fn what_is_due_soon_stays() {
    let mut desk = desk();
    let mut entry = parked(&mut desk, 1).remove(0);
    entry.schedule.not_before = desk.now.plus_ms(REPARK_AFTER_MS - 1_000);
    desk.put_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    desk.pass_ms(REPARK_AFTER_MS + 1_000);
    assert_eq!((reparked(&desk), desk.calls.len()), (0, 1));
}
