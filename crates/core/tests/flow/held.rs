//! What only a person can move must not be in the way of what moves by itself: held bookings are written again ever more
//! rarely, and wait outside the window of the retry lane.

use std::collections::BTreeMap;

use healthflow_core::event::{Arrival, RetryEntry};
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::processor::Effect;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::topics::Lane;

use crate::desk::*;

const HELD: usize = 60;
const HOUR_MS: i64 = 3_600_000;

/// A desk at which `HELD` bookings of one patient wait for a person, whose retry records are on their way.
fn held(held_room_max: usize) -> (Desk, Vec<RetryEntry>) {
    let settings = Settings {
        waiting_room_max: 20,
        held_room_max,
        read_ahead_bytes: 3_000,
        ..settings(GuardMode::IdempotencyKey)
    };
    let mut desk = Desk::within(settings, TaskState::default(), BTreeMap::new(), START);
    desk.pass_ms(LAG_MS + 1);
    desk.arrive(a_booking("first", 1));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    // Which of two charts is the patient's?
    let mut other = a_booking("other", 1);
    other.patient.healthflow_patient_id = Some("hf-patient-2".into());
    desk.arrive(other);
    assert_eq!(desk.reviews().len(), 1);
    (0..HELD).for_each(|number| desk.arrive(a_booking(&format!("held-{number}"), 1)));
    let entries = desk.retries();
    assert_eq!(entries.len(), HELD);
    assert!(entries.iter().all(|entry| &*entry.schedule.last_error == "held_by_review"));
    (desk, entries)
}

fn pauses_of_retry(desk: &Desk) -> usize {
    let is_one = |effect: &&Effect| matches!(effect, Effect::Pause { lane: Lane::Retry, .. });
    desk.others.iter().filter(is_one).count()
}

#[test]
fn what_waits_for_a_person_does_not_delay_the_retries_of_others() {
    let (mut desk, entries) = held(1_000);
    for entry in entries {
        desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    }
    assert_eq!(pauses_of_retry(&desk), 0, "the lane is read on");
    desk.arrive(a_booking_of_another("moves"));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    desk.bring_back();
    desk.pass_ms(4_000);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-2"));
    assert_eq!(desk.results().last(), Some(&("moves".into(), 1, "CREATED")));
}

/// Memory is not endless: what has no place in its own window counts in that of all.
#[test]
fn the_window_of_what_waits_for_a_person_has_a_limit() {
    let (mut desk, entries) = held(10);
    for entry in entries {
        desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    }
    assert_eq!(pauses_of_retry(&desk), 1);
}

/// Goal: a day of waiting costs few records. Method: every record that a day brings is read again when it is due.
#[test]
fn what_waits_for_a_person_is_written_ever_more_rarely() {
    let (mut desk, entries) = held(1_000);
    let end = desk.now.plus_ms(24 * HOUR_MS);
    let mut read = entries.len();
    for entry in entries {
        desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    }
    while desk.now < end {
        desk.pass_ms(60_000);
        let all = desk.retries();
        for entry in all[read..].iter().cloned() {
            desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
        }
        read = all.len();
    }
    let each = read / HELD;
    assert!((3..=15).contains(&each), "{each} records each in a day");
    assert!(desk.dead_letters().is_empty() && desk.results().len() == 1);
}
