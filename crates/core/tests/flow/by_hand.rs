//! Operators pause and limit by hand: nothing of whom they stopped goes out, nothing of it is lost, spent or too old
//! afterwards, and whoever they did not mean goes on.

use healthflow_core::booking::{Booking, PracticeId};
use healthflow_core::event::{Arrival, Outgoing};
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation};
use healthflow_core::limits::Controls;
use healthflow_core::limits::controls::{Change, Signed};
use healthflow_core::patient::digests::PersonDigests;
use healthflow_core::patient::{Link, LinkOrigin, Person};
use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::{PatientState, StateRecord, TaskState};
use healthflow_core::topics::Lane;

use crate::desk::*;

const MINUTE_MS: i64 = 60_000;

/// A booking of a patient of its own, who is known: it costs one call.
fn of(practice: &str, number: usize) -> Booking {
    let mut booking = a_booking(&format!("{practice}-{number}"), 1);
    booking.key.practice = practice.into();
    booking.patient.id = format!("patient-{practice}-{number}").into();
    booking.patient.healthflow_patient_id = None;
    booking.visit.start = booking.visit.start.plus_ms(number as i64 * 3_600_000);
    booking
}

/// A task that knows every patient of both practices.
fn desk(settings: Settings) -> Desk {
    let mut state = TaskState::default();
    for booking in
        ["p", "q"].into_iter().flat_map(|practice| (0..100).map(move |number| of(practice, number)))
    {
        let digests = Some(PersonDigests::of(&booking.patient_key(), &Person::from(&booking.patient)));
        let healthflow_patient_id = format!("hf-{}", booking.key.booking.as_str()).as_str().into();
        let link =
            Link { healthflow_patient_id, origin: LinkOrigin::Found, digests, outranks: None, decided: None };
        let patient = PatientState { link: Some(link), ..PatientState::default() };
        state.apply(StateRecord::Patient(booking.patient_key(), patient));
    }
    let mut desk = Desk::within(settings, state, [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    desk
}

/// Changes what the worker has read.
fn set(desk: &mut Desk, controls: &mut Controls, practice: Option<&str>, change: Change) {
    let signed = Signed { by: "ops-2".into(), why: "a test".into(), at: desk.now };
    let control =
        controls.next(practice.map(PracticeId::from), change, signed).expect("there is something to change");
    assert!(controls.take(control));
    desk.handle(Input::ControlsRead { controls: controls.clone() });
}

/// Whose calls are under way.
fn asked_for(desk: &Desk, practice: &str) -> usize {
    desk.calls.iter().filter(|call| format!("{:?}", call.request).contains(&format!("{practice}-"))).count()
}

/// Answers every call for so long, and brings back what was parked; how many calls there were.
fn work(desk: &mut Desk, ms: i64) -> usize {
    let (end, mut calls, mut back) = (desk.now.plus_ms(ms), 0, 0);
    while desk.now < end {
        desk.pass_ms(100);
        for call in std::mem::take(&mut desk.calls) {
            calls += 1;
            let reply = match call.request.operation() {
                Operation::FindAppointment => appointments(&[]),
                _ => created(&format!("a-{}", call.id.0)),
            };
            desk.handle(Input::Answered { call: call.id, reply });
        }
        for entry in desk.retries().into_iter().skip(back) {
            back += 1;
            desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
        }
    }
    calls
}

fn confirmed(desk: &Desk, practice: &str) -> usize {
    desk.results().iter().filter(|(booking, _, _)| booking.starts_with(&format!("{practice}-"))).count()
}

fn parked(desk: &Desk, why: &str) -> usize {
    desk.retries().iter().filter(|entry| &*entry.schedule.last_error == why).count()
}

fn open_intents(desk: &Desk, practice: &str) -> usize {
    let of = desk.durable.bookings.iter().filter(|(key, _)| key.practice.as_str() == practice);
    of.filter(|(_, state)| state.intent.is_some()).count()
}

/// Goal: a pause stops its practice and nobody else, and costs nothing. Method: two practices of which one is paused for an
/// hour, far longer than anything waits in memory.
#[test]
fn a_paused_practice_waits_and_its_neighbour_does_not() {
    let (mut desk, mut controls) = (desk(settings(GuardMode::Reference)), Controls::default());
    set(&mut desk, &mut controls, Some("p"), Change::Pause);
    for number in 0..5 {
        desk.arrive_at_once(of("p", number));
        desk.arrive_at_once(of("q", number));
    }
    desk.pass_ms(300);
    assert_eq!((asked_for(&desk, "p"), asked_for(&desk, "q")), (0, 5));
    work(&mut desk, 60 * MINUTE_MS);
    assert_eq!((confirmed(&desk, "p"), confirmed(&desk, "q")), (0, 5));
    assert_eq!(desk.offsets[&Lane::Requested], 10, "the lane of the neighbour moves");
    let parkings = parked(&desk, "paused");
    assert!((5..=5 * 7).contains(&parkings), "{parkings} parkings in an hour are no busy loop");
    set(&mut desk, &mut controls, Some("p"), Change::Resume);
    let calls = work(&mut desk, 2_000);
    assert_eq!((confirmed(&desk, "p"), calls), (5, 5), "at once, not when they would have come due");
    assert!(desk.retries().iter().all(|entry| entry.schedule.attempts == 0));
    assert!(desk.dead_letters().is_empty());
}

/// Goal: what was about to be sent is not, and a crash finds no intent of it. Method: a pause while as many are under way as may
/// be, and the intents of the next ones are committed.
#[test]
fn who_was_about_to_be_sent_stands_down() {
    let mut desk = desk(Settings { max_in_flight: 4, ..settings(GuardMode::Reference) });
    let mut controls = Controls::default();
    for number in 0..5 {
        desk.arrive_at_once(of("p", number));
        desk.arrive_at_once(of("q", number));
    }
    desk.pass_ms(300);
    let under_way = asked_for(&desk, "p");
    assert!(under_way > 0 && open_intents(&desk, "p") > under_way, "some are about to be sent");
    set(&mut desk, &mut controls, Some("p"), Change::Pause);
    desk.pass_ms(300);
    assert_eq!(open_intents(&desk, "p"), under_way, "those under way keep theirs");
    work(&mut desk, 2_000);
    assert_eq!((confirmed(&desk, "p"), confirmed(&desk, "q")), (under_way, 5));
    assert_eq!(open_intents(&desk, "p"), 0);
}

/// Goal: while everything is paused nothing goes out and nothing is put aside, and the time counts for no deadline. Method: a
/// pause that is longer than a booking is tried, between two attempts.
#[test]
fn while_all_is_paused_nothing_moves_and_nobody_grows_older() {
    let settings = Settings { retry_max_age_ms: 30 * MINUTE_MS, ..settings(GuardMode::Reference) };
    let mut desk = desk(settings);
    let mut controls = Controls::default();
    desk.arrive(of("p", 0));
    let call = desk.expect(Operation::CreateAppointment);
    desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
    desk.bring_back();
    desk.pass_ms(5_000);
    assert_eq!(desk.calls.len(), 1, "its second attempt");
    desk.calls.clear();
    set(&mut desk, &mut controls, None, Change::Pause);
    (1..10).for_each(|number| desk.arrive_at_once(of("p", number)));
    desk.pass_ms(120 * MINUTE_MS);
    assert!(desk.calls.is_empty());
    assert_eq!(desk.retries().len(), 1, "nothing was put aside");
    set(&mut desk, &mut controls, None, Change::Resume);
    work(&mut desk, 1_000);
    assert_eq!(confirmed(&desk, "p"), 9);
    assert!(desk.dead_letters().is_empty());
}

/// Goal: the time of a pause is left out of the age of what fails after it. Method: an attempt before a pause, one after it.
#[test]
fn a_pause_counts_for_no_deadline() {
    let settings = Settings { retry_max_age_ms: 30 * MINUTE_MS, ..settings(GuardMode::Reference) };
    for practice in [None, Some("p")] {
        let mut desk = desk(settings.clone());
        let mut controls = Controls::default();
        desk.arrive(of("p", 0));
        let call = desk.expect(Operation::CreateAppointment);
        desk.answer(&call, Err(Fault::Forbidden));
        desk.bring_back();
        set(&mut desk, &mut controls, practice, Change::Pause);
        work(&mut desk, 120 * MINUTE_MS);
        set(&mut desk, &mut controls, practice, Change::Resume);
        desk.pass_ms(1_000);
        let call = desk.expect(Operation::CreateAppointment);
        desk.answer(&call, Err(Fault::Forbidden));
        assert!(desk.dead_letters().is_empty(), "{practice:?}: it was tried for seconds, not for hours");
    }
}

/// Goal: what a pause made late lets fresh bookings pass once it is over, and nothing of it is moved meanwhile. Method: bookings that are
/// overdue before the pause ends, and few calls a second.
#[test]
fn what_a_pause_made_late_is_moved_aside_once_it_is_over() {
    for practice in [None, Some("p")] {
        let mut desk = desk(Settings {
            requests_per_second: 2.0,
            overdue_after_ms: 25_000,
            ..settings(GuardMode::Reference)
        });
        let mut controls = Controls::default();
        set(&mut desk, &mut controls, practice, Change::Pause);
        (0..40).for_each(|number| desk.arrive_at_once(of("p", number)));
        desk.pass_ms(27_000);
        assert_eq!(parked(&desk, "overdue"), 0, "{practice:?}");
        set(&mut desk, &mut controls, practice, Change::Resume);
        desk.pass_ms(1_000);
        assert!(parked(&desk, "overdue") >= 30, "{practice:?}: {}", parked(&desk, "overdue"));
    }
}

/// Goal: a paused practice's burst does not keep its neighbours from being read. Method: more of it than fits into memory.
#[test]
fn a_paused_practice_leaves_room_in_memory() {
    let settings = Settings { read_ahead_bytes: 1_000, ..settings(GuardMode::Reference) };
    let mut desk = desk(settings);
    let mut controls = Controls::default();
    set(&mut desk, &mut controls, Some("p"), Change::Pause);
    (0..40).for_each(|number| desk.arrive_at_once(of("p", number)));
    desk.pass_ms(300);
    assert!(parked(&desk, "paused") >= 30, "{}", parked(&desk, "paused"));
    let status = desk.processor.status(desk.now);
    let requested = status.tasks[0].lanes.iter().find(|lane| lane.lane == Lane::Requested).expect("a lane");
    assert!(!requested.paused, "{requested:?}");
}

/// Goal: a practice with a limit keeps it, exactly, and whoever has none is not slowed down. Method: a burst of each, and a
/// limit that is changed and taken back while they wait.
#[test]
fn a_limited_practice_keeps_its_limit_and_takes_nobodys_place() {
    let (mut desk, mut controls) = (desk(settings(GuardMode::Reference)), Controls::default());
    let limit = |per_second| Change::SetLimit { per_second: Some(per_second), weight: None };
    set(&mut desk, &mut controls, Some("p"), limit(2.0));
    for number in 0..60 {
        desk.arrive_at_once(of("p", number));
    }
    for number in 0..20 {
        desk.arrive_at_once(of("q", number));
    }
    work(&mut desk, 5_000);
    assert_eq!(confirmed(&desk, "q"), 20);
    assert!((8..=11).contains(&confirmed(&desk, "p")), "{}", confirmed(&desk, "p"));
    assert!(open_intents(&desk, "p") <= 1, "no intent is written ahead of the permits in sight");
    set(&mut desk, &mut controls, Some("p"), limit(10.0));
    let before = confirmed(&desk, "p");
    work(&mut desk, 2_000);
    let gained = confirmed(&desk, "p") - before;
    assert!((15..=22).contains(&gained), "{gained} within two seconds");
    set(&mut desk, &mut controls, Some("p"), Change::ClearLimit);
    work(&mut desk, 3_000);
    assert_eq!(confirmed(&desk, "p"), 60);
    assert!(!desk.committed.iter().any(|record| matches!(record, Outgoing::Retry(_))));
}

/// Goal: a limit by hand of the account counts at once and never above the configured one.
#[test]
fn the_accounts_tighter_limit_counts() {
    let (mut desk, mut controls) = (desk(settings(GuardMode::Reference)), Controls::default());
    let limit = |per_second| Change::SetLimit { per_second: Some(per_second), weight: None };
    set(&mut desk, &mut controls, None, limit(5.0));
    (0..100).for_each(|number| desk.arrive_at_once(of("p", number)));
    let slow = work(&mut desk, 4_000);
    assert!(slow <= 40, "{slow}: a bucket that was full, and 5 a second");
    set(&mut desk, &mut controls, None, limit(100_000.0));
    let rest = work(&mut desk, 5_000);
    assert_eq!(slow + rest, 100);
}
