//! What waits for its result is seen wherever it waits, and from the moment at which it was asked for.

use healthflow_core::booking::{Booking, Source};
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::limits::BreakerLimits;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::status::{WaitPlace, Waits};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

use crate::desk::*;

const MINUTE_MS: i64 = 60_000;

/// A booking that was asked for at this moment.
fn just_asked(desk: &Desk, mut booking: Booking) -> Booking {
    booking.requested_at = desk.now;
    booking
}

/// What waits: where, why, how many, for how long the oldest, and how many of them are late.
fn waits(desk: &Desk) -> Vec<(WaitPlace, String, usize, Option<i64>, usize)> {
    let of = |waits: Waits| {
        let age_ms = waits.oldest_at.map(|at| desk.now.since_ms(at));
        (waits.place, waits.why.into_owned(), waits.count, age_ms, waits.late)
    };
    desk.processor.waits(desk.now).into_iter().map(of).collect()
}

/// Goal: it shows which class is behind. Method: a live booking is sent; another one of its patient and one of history wait.
#[test]
fn what_is_in_memory_is_seen_by_its_class() {
    let settings = Settings { max_in_flight: 1, ..settings(GuardMode::IdempotencyKey) };
    let mut desk = Desk::within(settings, TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    for (booking, source) in [("sent", Source::Live), ("fresh", Source::Live), ("old", Source::Backfill)] {
        desk.arrive(Booking { source, ..just_asked(&desk, a_booking(booking, 1)) });
    }
    let age_ms = |at: Option<Timestamp>| at.map(|at| desk.now.since_ms(at));
    let classes: Vec<_> = desk
        .processor
        .class_waits()
        .into_iter()
        .map(|one| (one.class, one.count, age_ms(one.oldest_at)))
        .collect();
    let expected =
        [("fresh", 1, Some(200)), ("soon", 0, None), ("again", 0, None), ("history", 1, Some(100))];
    assert_eq!(classes, expected.map(|(class, count, age_ms)| (class.into(), count, age_ms)));
}

#[test]
fn nothing_waits_once_it_has_its_result() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(just_asked(&desk, a_booking("b", 1)));
    assert_eq!(waits(&desk), [(WaitPlace::Memory, "answer".into(), 1, Some(100), 0)]);
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    assert_eq!(waits(&desk), []);
}

/// Goal: an outage is seen by its age although nothing is parked and nobody asks. Method: one call fails, the breaker opens.
#[test]
fn what_an_outage_holds_back_ages_from_its_first_moment() {
    let breaker = BreakerLimits { calls_min: 1, failed_share: 0.2, ..BreakerLimits::for_tests() };
    let within = Settings { breaker, ..settings(GuardMode::Reference) };
    let mut desk = Desk::within(within, TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    let asked_at = desk.now;
    desk.arrive(just_asked(&desk, a_booking("first", 1)));
    let call = desk.expect(Operation::CreateAppointment);
    desk.arrive(just_asked(&desk, a_booking("second", 1)));
    desk.reads_wait = true;
    desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
    while desk.now.since_ms(asked_at) < MINUTE_MS {
        desk.pass_ms(100);
        for call in std::mem::take(&mut desk.calls) {
            desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
        }
    }
    let seen = waits(&desk);
    let oldest = seen.iter().filter_map(|(.., age_ms, _)| *age_ms).max();
    let (count, late): (usize, usize) = (seen.iter().map(|of| of.2).sum(), seen.iter().map(|of| of.4).sum());
    assert_eq!((count, oldest, late), (2, Some(desk.now.since_ms(asked_at)), 2), "{seen:?}");
    assert!(
        seen.iter().any(|(place, why, ..)| (*place, &**why) == (WaitPlace::Memory, "outage")),
        "{seen:?}"
    );
}

#[test]
fn what_is_parked_ages_on_and_is_no_lag() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(just_asked(&desk, rescheduled("b", 1)));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::NotSent(NotSent::Connect)));
    assert_eq!(waits(&desk), [], "its record is unread in the retry topic");
    desk.bring_back();
    let (age_ms, parked) = (desk.now.since_ms(desk.retries()[0].booking.requested_at), WaitPlace::Parked);
    assert_eq!(waits(&desk), [(parked, "connect".into(), 1, Some(age_ms), 0)]);
    let status = desk.processor.status(desk.now);
    let lane = status.tasks[0].lanes.iter().find(|lane| lane.lane == Lane::Retry).expect("it is read");
    assert_eq!((lane.read_ahead_records, lane.waiting_records, lane.late_since()), (1, 1, None));
    let read_to_its_end = Some(0);
    let lane = healthflow_core::status::LaneStatus { unread_records: read_to_its_end, ..lane.clone() };
    assert_eq!(lane.lag_records(), Some(0), "it waits by intention");
}

#[test]
fn what_is_in_doubt_is_named_so_in_memory_and_parked() {
    let mut repeats = Desk::new(GuardMode::IdempotencyKey);
    let asked_at = repeats.now;
    repeats.arrive(just_asked(&repeats, a_booking("b", 1)));
    repeats.expect_and_answer(Operation::CreateAppointment, timeout());
    let age_ms = Some(repeats.now.since_ms(asked_at));
    assert_eq!(waits(&repeats), [(WaitPlace::Doubt, "answer".into(), 1, age_ms, 0)]);
    let mut desk = Desk::new(GuardMode::Reference);
    let asked_at = desk.now;
    desk.arrive(just_asked(&desk, a_booking("b", 1)));
    desk.expect_and_answer(Operation::CreateAppointment, timeout());
    desk.bring_back();
    desk.pass_ms(asked_at.plus_ms(31_000).since_ms(desk.now));
    assert_eq!(waits(&desk), [(WaitPlace::Doubt, "timeout".into(), 1, Some(31_000), 1)]);
}

#[test]
fn what_waits_for_a_person_has_its_age_and_is_not_late() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(just_asked(&desk, adas_booking("asks", 1)));
    desk.find(&["hf-1", "hf-2"]);
    let since = desk.durable.held.values().next().expect("it is held").since;
    desk.pass_ms(MINUTE_MS);
    let age_ms = Some(desk.now.since_ms(since));
    assert_eq!(waits(&desk), [(WaitPlace::Review, "AMBIGUOUS_PATIENT".into(), 1, age_ms, 0)]);
}

#[test]
fn history_waits_without_being_late_and_so_does_a_request_of_1970() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let history = Booking { source: Source::Backfill, ..just_asked(&desk, a_booking("history", 1)) };
    desk.arrive(history);
    let mut of_1970 = a_booking("of 1970", 1);
    of_1970.key.practice = "practice-2".into();
    of_1970.requested_at.0 /= 1_000;
    desk.arrive(of_1970);
    desk.pass_ms(MINUTE_MS);
    let seen = waits(&desk);
    assert_eq!(seen.iter().map(|of| of.2).sum::<usize>(), 2, "{seen:?}");
    assert!(seen.iter().all(|(.., age_ms, late)| age_ms.is_none() && *late == 0), "{seen:?}");
}

#[test]
fn what_no_schema_can_read_yet_is_seen() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.delay(Lane::Requested);
    desk.delay(Lane::Decisions);
    assert_eq!(waits(&desk), [(WaitPlace::Memory, "schema".into(), 1, None, 0)]);
}

#[test]
fn the_rate_that_is_allowed_is_nothing_while_nothing_may_be_sent() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    let rate = |desk: &Desk| desk.processor.status(desk.now).calls_per_second;
    assert!((rate(&desk) - 1_000.0).abs() < 0.5, "all partitions are ours");
    desk.arrive(just_asked(&desk, a_booking("b", 1)));
    desk.expect_and_answer(
        Operation::CreateAppointment,
        Err(Fault::Throttled { retry_after_ms: Some(1_000) }),
    );
    assert!(rate(&desk) < 0.5);
}
