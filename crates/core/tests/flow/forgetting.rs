//! Bookings of long ago are forgotten, and nothing else is (rule K9).

use healthflow_core::booking::Booking;
use healthflow_core::event::Outgoing;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::settings::GuardMode;
use healthflow_core::time::DAY_MS;

use crate::desk::*;

/// As in the desk's settings.
const KEEP_DAYS: i64 = 400;

/// A booking whose visit is so many days after the start.
fn visit_after(id: &str, days: i64) -> Booking {
    let mut booking = a_booking(id, 1);
    booking.visit.start = START.plus_ms(days * DAY_MS);
    booking
}

fn created_at_once(desk: &mut Desk, booking: Booking) {
    let id = format!("a-{}", booking.key.booking);
    desk.arrive(booking);
    desk.expect_and_answer(Operation::CreateAppointment, created(&id));
}

/// The bookings that tombstones were committed for, in order.
fn forgotten(desk: &Desk) -> Vec<&str> {
    let forgotten = desk.committed.iter().filter_map(|record| match record {
        Outgoing::Forgotten(key) => Some(key.booking.as_str()),
        _ => None,
    });
    forgotten.collect()
}

fn is_remembered(desk: &Desk, booking: &str) -> bool {
    desk.durable.bookings.iter().any(|(key, _)| key.booking.as_str() == booking)
}

#[test]
fn a_booking_is_forgotten_once_its_visit_lies_far_enough_back() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    created_at_once(&mut desk, visit_after("soon", 1));
    created_at_once(&mut desk, visit_after("later", 60));
    desk.pass_ms(KEEP_DAYS * DAY_MS);
    assert_eq!(forgotten(&desk), Vec::<&str>::new());
    // An idle task commits once a day.
    desk.pass_ms(4 * DAY_MS);
    assert_eq!(forgotten(&desk), ["soon"]);
    assert!(!is_remembered(&desk, "soon") && is_remembered(&desk, "later"));
    assert!(desk.facts.contains(&Fact::BookingsForgotten { partition: 0, count: 1 }));
}

/// History of years ago is written today: its records can be read again for as long as any.
#[test]
fn a_visit_of_years_ago_is_kept_for_as_long_after_its_answer() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let mut history = visit_after("history", -900);
    history.source = healthflow_core::booking::Source::Backfill;
    created_at_once(&mut desk, history);
    desk.pass_ms(KEEP_DAYS * DAY_MS);
    assert_eq!(forgotten(&desk), Vec::<&str>::new());
    let desk = desk.crash(GuardMode::IdempotencyKey);
    assert!(is_remembered(&desk, "history"));
}

/// The second version of a booking whose first one was answered long ago; its patient is somebody new.
fn comes_again(id: &str) -> Booking {
    Booking { version: 2, patient: a_patient(id, "Grace", "Hopper"), ..visit_after(id, KEEP_DAYS + 30) }
}

/// An open intent, a version that is parked, one that is being worked on: nobody answers any of them.
#[test]
fn what_is_open_is_never_forgotten() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    for id in ["intended", "parked", "at-hand", "done"] {
        created_at_once(&mut desk, visit_after(id, 1));
    }
    desk.pass_ms(KEEP_DAYS * DAY_MS);
    desk.arrive(Booking { version: 2, ..visit_after("intended", KEEP_DAYS + 30) });
    desk.expect(Operation::UpdateAppointment);
    desk.arrive(comes_again("parked"));
    desk.expect_and_answer(Operation::SearchPatients, timeout());
    desk.arrive(comes_again("at-hand"));
    desk.expect(Operation::SearchPatients);
    assert_eq!(forgotten(&desk), Vec::<&str>::new());
    desk.pass_ms(5 * DAY_MS);
    assert_eq!(forgotten(&desk), ["done"]);
}

/// The next owner begins with what was never read, or not answered: it forgets nothing before it has been there a while.
#[test]
fn a_new_owner_does_not_begin_by_forgetting() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    created_at_once(&mut desk, visit_after("b", 1));
    desk.pass_ms(KEEP_DAYS * DAY_MS);
    desk.arrive(comes_again("b"));
    desk.expect(Operation::SearchPatients);
    desk.pass_ms(2 * DAY_MS);
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.arrive(comes_again("b"));
    next.pass_ms(10_000);
    next.expect(Operation::SearchPatients);
    next.pass_ms(2 * DAY_MS);
    assert_eq!(forgotten(&next), Vec::<&str>::new());
}

/// Nothing of it is at hand, and nothing will be asked any more: its intent alone says that something may stand.
#[test]
fn a_doubt_that_waits_for_a_record_is_never_forgotten() {
    let mut desk = Desk::new(GuardMode::Search);
    desk.arrive(visit_after("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::SlotTaken));
    desk.pass_ms(KEEP_DAYS * DAY_MS);
    desk.arrive(Booking { version: 2, ..visit_after("b", KEEP_DAYS + 30) });
    desk.expect(Operation::CreateAppointment);
    let mut next = desk.crash(GuardMode::Search);
    next.pass_ms(100_000);
    next.expect_and_answer(Operation::FindAppointment, appointments(&["a-1", "a-2"]));
    next.pass_ms(5 * DAY_MS);
    next.expect_silence();
    assert_eq!(forgotten(&next), Vec::<&str>::new());
}
