//! Limits with windows longer than a minute: what was used of them survives whoever used it, nothing is spent before it is counted,
//! and history leaves live bookings their reserve.

use healthflow_core::booking::{Booking, Source};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::Operation;
use healthflow_core::limits::window::{Fixed, Length, Window};
use healthflow_core::limits::{Operations, Policy, Scope};
use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};

use crate::desk::*;
use crate::limits::settings;

const WINDOW_MS: i64 = 3_600_000;

fn creates_in_an_hour(scope: Scope, calls: u32) -> Settings {
    in_an_hour("create_appointment", scope, calls)
}

pub fn in_an_hour(operations: &str, scope: Scope, calls: u32) -> Settings {
    let operations = Operations::NONE.with_named(operations).expect("they are operations");
    let window = Window::Fixed(Fixed::aligned(Length::Part(WINDOW_MS)));
    let policy = Policy { name: "hour".into(), scope, operations, calls, window, burst: 0 };
    Settings { limits: vec![policy], reserve_for_live: 0.25, ..settings(GuardMode::IdempotencyKey) }
}

fn desk(settings: Settings) -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey).crash_within(settings);
    desk.pass_ms(WINDOW_MS - desk.now.0.rem_euclid(WINDOW_MS));
    desk
}

fn numbered(number: usize, source: Source) -> Booking {
    let mut booking = rescheduled(&format!("b-{number}"), 1);
    booking.patient.id = format!("patient-{number}").as_str().into();
    Booking { source, ..booking }
}

/// Lets so many bookings come, and answers what is asked; returns how many were written.
fn book(desk: &mut Desk, numbers: std::ops::Range<usize>, source: Source) -> usize {
    numbers.for_each(|number| desk.arrive_at_once(numbered(number, source)));
    let mut written = 0;
    for _ in 0..20 {
        desk.pass_ms(100);
        while let Some(call) = desk.calls.first().cloned() {
            assert_eq!(call.request.operation(), Operation::CreateAppointment);
            desk.calls.remove(0);
            desk.answer(&call, created(&format!("a-{}", call.id.0)));
            written += 1;
        }
    }
    written
}

#[test]
fn a_new_owner_goes_on_counting_where_the_last_one_was() {
    for scope in [Scope::Account, Scope::Practice] {
        let settings = creates_in_an_hour(scope, 12);
        let mut desk = desk(settings.clone());
        assert_eq!(book(&mut desk, 0..6, Source::Live), 6);
        let mut next = desk.crash_within(settings.clone());
        let more = book(&mut next, 6..20, Source::Live);
        assert!((2..=6).contains(&more), "{more} of 6: rather too few than too many");
        let mut last = next.crash_within(settings);
        assert_eq!(book(&mut last, 20..30, Source::Live), 0, "nothing is left for a third one");
        last.pass_ms(WINDOW_MS);
        assert!(book(&mut last, 30..32, Source::Live) > 0, "there is more in the next hour");
    }
}

#[test]
fn nothing_goes_out_before_a_good_commit_has_counted_it() {
    let mut desk = desk(in_an_hour("read_patient", Scope::Practice, 100));
    (desk.hold_commits, desk.reads_wait) = (true, true);
    desk.arrive_at_once(numbered(0, Source::Live));
    desk.pass_ms(1_000);
    desk.expect_silence();
    desk.commit_is_good();
    desk.expect(Operation::ReadPatient);
}

#[test]
fn history_leaves_live_bookings_their_reserve() {
    let mut desk = desk(creates_in_an_hour(Scope::Account, 40));
    assert_eq!(book(&mut desk, 0..60, Source::Backfill), 30);
    assert_eq!(book(&mut desk, 100..105, Source::Live), 5);
    assert_eq!(book(&mut desk, 105..130, Source::Live), 5, "then there is nothing left");
    let told = |fact: &Fact| match fact {
        Fact::QuotaRunsOut(end) => Some((end.source, end.left)),
        _ => None,
    };
    desk.pass_ms(10_000);
    assert!(desk.facts.iter().filter_map(told).any(|told| told == (Source::Live, 0)), "and that is told");
}

#[test]
fn a_partition_that_is_given_back_leaves_what_it_has_not_spent() {
    let settings = creates_in_an_hour(Scope::Account, 40);
    let mut desk = desk(settings.clone());
    assert_eq!(book(&mut desk, 0..10, Source::Live), 10);
    desk.handle(Input::TaskRevoked { partition: 0 });
    desk.pass_ms(100);
    let mut next = desk.crash_within(settings);
    assert_eq!(book(&mut next, 10..60, Source::Live), 30);
}
