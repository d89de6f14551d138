//! One practice's burst delays its own bookings, not its neighbours'; and what is late already does not make late what is
//! fresh.

use healthflow_core::booking::{Booking, Source};
use healthflow_core::event::{Arrival, Outgoing};
use healthflow_core::healthflow::{Operation, Request};
use healthflow_core::limits::hours::Hours;
use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::status::Waits;
use healthflow_core::time::{DAY_MS, Timestamp};
use healthflow_core::topics::Lane;

use crate::desk::*;

const PER_SECOND: f64 = 20.0;
const HOUR_MS: i64 = 3_600_000;

fn desk() -> Desk {
    desk_with(settings(GuardMode::IdempotencyKey))
}

fn desk_with(settings: Settings) -> Desk {
    let settings = Settings { requests_per_second: PER_SECOND, overdue_after_ms: 25_000, ..settings };
    let mut desk = Desk::within(settings, TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    desk
}

/// A booking that is asked for now, of a practice and a patient of its own.
fn of(practice: &str, number: usize, now: Timestamp) -> Booking {
    let mut booking = a_booking(&format!("{practice}-{number}"), 1);
    booking.key.practice = practice.into();
    booking.patient.id = format!("p-{practice}-{number}").into();
    booking.requested_at = now;
    booking
}

fn practice(request: &Request) -> String {
    match request {
        Request::CreateAppointment { content, .. } => content.practice.to_string(),
        other => panic!("not a write: {other:?}"),
    }
}

/// Lets HealthFlow answer everything for so long; the practices in the order in which their bookings were written.
fn answer_for_ms(desk: &mut Desk, ms: i64) -> Vec<String> {
    let (end, mut written) = (desk.now.plus_ms(ms), Vec::new());
    while desk.now < end {
        desk.pass_ms(20);
        for call in std::mem::take(&mut desk.calls) {
            assert_eq!(call.request.operation(), Operation::CreateAppointment);
            written.push(practice(&call.request));
            desk.handle(Input::Answered { call: call.id, reply: created(&format!("a-{}", call.id.0)) });
        }
    }
    written
}

fn moved_aside(desk: &Desk) -> usize {
    desk.retries().iter().filter(|entry| &*entry.schedule.last_error == "overdue").count()
}

/// Goal: neighbours are served at once, whoever else is waiting. Method: 300 bookings of one practice, then one each of five.
#[test]
fn a_burst_of_one_practice_does_not_delay_its_neighbours() {
    let mut desk = desk();
    let now = desk.now;
    (0..300).for_each(|number| desk.arrive_at_once(of("burst", number, now)));
    desk.pass_ms(1_000);
    let now = desk.now;
    ["a", "b", "c", "d", "e"].iter().for_each(|practice| desk.arrive_at_once(of(practice, 0, now)));
    let written = answer_for_ms(&mut desk, 8_000);
    let neighbours = written.iter().filter(|practice| *practice != "burst").count();
    assert_eq!(neighbours, 5, "{written:?}");
}

/// Goal: the same where the burst is of few patients, so that one of its bookings waits for each of them. Method: 400 bookings of 10
/// patients, and a neighbour's each second.
#[test]
fn a_burst_of_few_patients_does_not_delay_its_neighbours() {
    let mut desk = desk();
    let now = desk.now;
    (0..400).for_each(|number| {
        let mut booking = of("burst", number, now);
        booking.patient.id = format!("p-{}", number % 10).into();
        desk.arrive_at_once(booking);
    });
    for second in 0..12 {
        let now = desk.now;
        desk.arrive_at_once(of(&format!("neighbour-{}", second % 3), second, now));
        let written = answer_for_ms(&mut desk, 1_000);
        let neighbours = written.iter().filter(|practice| practice.starts_with("neighbour")).count();
        assert_eq!(neighbours, 1, "in second {second}: {written:?}");
    }
}

/// Goal: what cannot be confirmed in time goes behind what can, at no attempt, and everybody is served in the end.
#[test]
fn what_is_late_goes_behind_what_is_fresh() {
    let mut desk = desk();
    let now = desk.now;
    (0..900).for_each(|number| desk.arrive_at_once(of("one", number, now)));
    answer_for_ms(&mut desk, 26_000);
    let late = moved_aside(&desk);
    assert!(late > 300, "{late}");
    assert!(desk.retries().iter().all(|entry| entry.schedule.attempts == 0));
    for entry in desk.retries() {
        desk.put_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    }
    let now = desk.now;
    desk.arrive_at_once(of("one", 1_000, now));
    let fresh = |desk: &Desk| {
        desk.committed.iter().any(|record| {
            matches!(record, Outgoing::Synced(finished) if finished.identity.key.booking.as_str() == "one-1000")
        })
    };
    answer_for_ms(&mut desk, 3_000);
    assert!(fresh(&desk), "it did not wait for {late} older ones");
    answer_for_ms(&mut desk, 120_000);
    let synced = desk.committed.iter().filter(|record| matches!(record, Outgoing::Synced(_))).count();
    assert_eq!(synced, 901);
    assert_eq!(moved_aside(&desk), late, "nobody is moved aside twice");
}

/// Goal: a worker with nothing else to do tries what is late at once.
#[test]
fn what_is_late_when_it_is_read_is_tried_at_once_if_there_is_room() {
    let mut desk = desk();
    let long_ago = desk.now.plus_ms(-600_000);
    (0..5).for_each(|number| desk.arrive_at_once(of("one", number, long_ago)));
    assert_eq!(answer_for_ms(&mut desk, 900).len(), 5);
    assert_eq!(moved_aside(&desk), 0);
}

fn history_of(practice: &str, number: usize, now: Timestamp) -> Booking {
    Booking { source: Source::Backfill, ..of(practice, number, now) }
}

/// Goal: a practice's history disturbs nobody, nor the practice itself. Method: 300 bookings of its history, then five live ones of
/// the same practice, at 20 a second.
#[test]
fn a_live_booking_goes_before_history() {
    let mut desk = desk();
    let now = desk.now;
    (0..300).for_each(|number| desk.arrive_at_once(history_of("one", number, now)));
    desk.pass_ms(1_000);
    let now = desk.now;
    (300..305).for_each(|number| desk.arrive_at_once(of("one", number, now)));
    answer_for_ms(&mut desk, 1_500);
    let live: Vec<String> = (300..305).map(|number| format!("one-{number}")).collect();
    let written = |desk: &Desk| -> Vec<String> {
        let synced = desk.results().into_iter().map(|(booking, ..)| booking);
        synced.filter(|booking| live.contains(booking)).collect()
    };
    assert_eq!(written(&desk).len(), 5, "{:?}", desk.results());
}

fn of_history(written: &[String]) -> usize {
    written.iter().filter(|practice| *practice == "old").count()
}

/// More live bookings than can be served arrive for 20 s, beside 600 of history; who was written.
fn history_beside_a_full_load(desk: &mut Desk) -> Vec<String> {
    let now = desk.now;
    (0..600).for_each(|number| desk.arrive_at_once(history_of("old", number, now)));
    let mut written = Vec::new();
    for second in 0..20 {
        let now = desk.now;
        (0..25).for_each(|number| desk.arrive_at_once(of("live", 25 * second + number, now)));
        written.extend(answer_for_ms(desk, 1_000));
    }
    written
}

/// Goal: history comes to its end, however much else there is, and has everything that nobody else wants. Method: more live bookings
/// than can be served, for 20 s, then none.
#[test]
fn history_has_its_part_beside_a_full_load_and_all_of_it_alone() {
    let mut desk = desk();
    let beside = history_beside_a_full_load(&mut desk);
    let fair = (beside.len() as f64 * settings(GuardMode::IdempotencyKey).history_share) as usize;
    let written = of_history(&beside);
    assert!((fair / 2..=fair + 2).contains(&written), "{written} instead of {fair}");
    // Those that are left of the live ones are written, or moved aside.
    answer_for_ms(&mut desk, 30_000);
    let alone = answer_for_ms(&mut desk, 5_000);
    assert!(alone.len() >= 40 && of_history(&alone) == alone.len(), "{alone:?}");
}

/// Goal: a busy day leaves history nothing, and the night its part. Method: the same full load within the hours of history and outside
/// them; then outside them alone.
#[test]
fn outside_its_hours_history_has_only_what_nobody_else_wants() {
    let hour = START.0.rem_euclid(DAY_MS) / HOUR_MS;
    let from = |ahead: i64| ((hour + ahead) % 24) as i8;
    for (ahead, is_its_time) in [(0, true), (1, false)] {
        let hours = Hours { from: from(ahead), until: from(ahead + 2), zone: jiff::tz::TimeZone::UTC };
        let settings = Settings { history_hours: Some(hours), ..settings(GuardMode::IdempotencyKey) };
        let mut desk = desk_with(settings);
        let beside = of_history(&history_beside_a_full_load(&mut desk));
        // One had come before anybody else.
        assert!(if is_its_time { beside > 10 } else { beside <= 1 }, "{beside}");
        answer_for_ms(&mut desk, 30_000);
        let alone = answer_for_ms(&mut desk, 5_000);
        assert!(alone.len() >= 40 && of_history(&alone) == alone.len(), "{alone:?}");
    }
}

/// Goal: a visit that begins soon and came too late for its promise is not left behind all fresh ones, nor has it all calls. Method: some
/// hundred of them come back while more fresh ones arrive than can be served.
#[test]
fn visits_that_begin_soon_have_half_of_the_calls_beside_fresh_ones() {
    let mut desk = desk();
    let now = desk.now;
    (0..300).for_each(|number| {
        let mut booking = of("soon", number, now);
        booking.visit.start = now.plus_ms(7_000_000);
        desk.arrive_at_once(booking);
    });
    answer_for_ms(&mut desk, 26_000);
    assert!(moved_aside(&desk) > 0);
    for entry in desk.retries() {
        desk.put_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    }
    let mut beside = Vec::new();
    for second in 0..10 {
        let now = desk.now;
        (0..25).for_each(|number| desk.arrive_at_once(of("fresh", 25 * second + number, now)));
        beside.extend(answer_for_ms(&mut desk, 1_000));
    }
    let soon = beside.iter().filter(|practice| *practice == "soon").count();
    assert!((4..=6).contains(&(10 * soon / beside.len())), "{soon} of {}", beside.len());
}

/// Goal: a burst that is moved aside does not hold up its neighbours' results in one large commit, and the clock is not asked again and
/// again meanwhile. Method: 900 bookings are overdue at once; the commits say how large they are.
#[test]
fn a_burst_is_moved_aside_over_several_commits() {
    let mut desk = desk();
    let now = desk.now;
    (0..900).for_each(|number| desk.arrive_at_once(of("one", number, now)));
    desk.pass_ms(24_000);
    desk.hold_commits = true;
    desk.pass_ms(2_000);
    let mut largest = 0;
    while !desk.commits.is_empty() {
        assert!(desk.processor.next_wakeup(desk.now).is_none_or(|at| at > desk.now));
        largest = largest.max(desk.commits.iter().map(|(.., batch)| batch.records.len()).max().unwrap_or(0));
        desk.commit_is_good();
        desk.pass_ms(20);
    }
    assert!(largest < 500, "{largest}");
    assert!(moved_aside(&desk) > 800, "{}", moved_aside(&desk));
}

/// Goal: whoever waits for a patient and cannot be in time any more goes behind what can, like everybody else; else an outage leaves a
/// queue of old bookings at each patient. Method: 900 bookings of 30 patients, of whom half are late; then a fresh one of each.
#[test]
fn what_is_late_and_waits_for_its_patient_goes_behind_what_is_fresh() {
    let mut desk = desk();
    let of_a_few = |number: usize, now: Timestamp| {
        let mut booking = of("one", number, now);
        booking.patient.id = format!("p-{}", number % 30).into();
        booking
    };
    let now = desk.now;
    (0..900).for_each(|number| desk.arrive_at_once(of_a_few(number, now)));
    answer_for_ms(&mut desk, 27_000);
    let waits: Vec<_> = desk.retries().iter().map(|entry| entry.schedule.last_error.to_string()).collect();
    assert!(waits.len() > 300 && waits.iter().all(|why| why == "overdue"), "{waits:?}");
    for entry in desk.retries() {
        desk.put_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    }
    answer_for_ms(&mut desk, 1_000);
    let now = desk.now;
    (900..930).for_each(|number| desk.arrive_at_once(of_a_few(number, now)));
    answer_for_ms(&mut desk, 4_000);
    let fresh: Vec<String> = (900..930).map(|number| format!("one-{number}")).collect();
    let served = desk.results().into_iter().filter(|(booking, ..)| fresh.contains(booking)).count();
    assert_eq!(served, 30);
}

/// Goal: a task that commits seldom does not take the time between two commits for the time that one takes: it would write seconds' worth
/// of intents ahead, all of a burst, and whoever comes after them would wait for them. Method: a booking a second, then 300 at once.
#[test]
fn a_burst_after_a_quiet_time_takes_few_places() {
    let mut desk = desk();
    for number in 0..20 {
        let now = desk.now;
        desk.arrive_at_once(of("quiet", number, now));
        answer_for_ms(&mut desk, 1_000);
    }
    let now = desk.now;
    (0..300).for_each(|number| desk.arrive_at_once(of("burst", number, now)));
    let waits = desk.processor.waits(desk.now);
    let is_ahead = |waits: &&Waits| ["permit", "commit"].contains(&&*waits.why);
    let ahead: usize = waits.iter().filter(is_ahead).map(|waits| waits.count).sum();
    assert!((1..=5).contains(&ahead), "{ahead} intents ahead at {PER_SECOND} calls a second");
}
