//! Refusals that are not HealthFlow's, and those that are not the account's: an answer of a proxy or firewall does not
//! answer a write, and a 403 for one booking does not stop the others.

use healthflow_core::booking::Booking;
use healthflow_core::event::Arrival;
use healthflow_core::fact::{Fact, PauseCause};
use healthflow_core::healthflow::fault::Unknown;
use healthflow_core::healthflow::{Fault, Operation, Reply};
use healthflow_core::limits::FORBIDDEN_PRACTICES_MAX;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::TaskState;
use healthflow_core::sync::FailureReason;
use healthflow_core::topics::Lane;

use crate::desk::*;

const GUARDS: [GuardMode; 4] =
    [GuardMode::IdempotencyKey, GuardMode::UniqueReference, GuardMode::Reference, GuardMode::Search];

/// How long a booking is tried in these stories, in milliseconds; the back-off stays below the settle time, so that a
/// doubt that is repeated again and again never becomes quiet.
const MAX_AGE_MS: i64 = 1_800_000;

/// nginx has a limit of its own.
fn refused_by_a_proxy() -> Reply {
    Err(Fault::Unknown(Unknown::Foreign { status: 413 }))
}

fn impatient_desk(guard: GuardMode) -> Desk {
    let settings = healthflow_core::settings::Settings {
        retry_max_age_ms: MAX_AGE_MS,
        retry_backoff_max_ms: 60_000,
        ..settings(guard)
    };
    let mut desk = Desk::within(settings, TaskState::default(), Default::default(), START);
    desk.pass_ms(LAG_MS + 1);
    desk
}

/// A HealthFlow where nothing stands but what is written, and one operation that is answered with `reply`, for ever. Until a
/// dead letter, or for twice as long as a booking may be tried; how often that operation was asked.
fn live_with(desk: &mut Desk, refused: Operation, reply: &Reply) -> usize {
    let end = desk.now.plus_ms(2 * MAX_AGE_MS);
    let (mut parked, mut asked) = (desk.retries().len(), 0);
    while desk.now < end && desk.dead_letters().is_empty() {
        while let Some(call) = desk.calls.pop() {
            let operation = call.request.operation();
            asked += usize::from(operation == refused);
            let answer = match operation {
                one if one == refused => reply.clone(),
                Operation::SearchPatients => nobody(),
                Operation::FindAppointment => appointments(&[]),
                Operation::CreatePatient => patient_created("hf-9"),
                Operation::CreateAppointment => created("a-1"),
                _ => updated("a-1"),
            };
            desk.answer(&call, answer);
        }
        let retries = desk.retries();
        for entry in retries[parked..].iter().cloned() {
            desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
        }
        parked = retries.len();
        desk.pass_ms(500);
    }
    asked
}

fn of_practice(practice: usize) -> Booking {
    let mut booking = a_booking("b", 1);
    booking.key.practice = format!("practice-{practice}").as_str().into();
    booking
}

fn pauses(desk: &Desk) -> usize {
    desk.facts.iter().filter(|fact| matches!(fact, Fact::AccountPaused { .. })).count()
}

#[test]
fn a_refusal_in_other_words_is_no_answer_to_a_write() {
    for guard in GUARDS {
        let mut desk = Desk::new(guard);
        desk.arrive(a_booking("b", 1));
        desk.expect_and_answer(Operation::CreateAppointment, refused_by_a_proxy());
        assert!(desk.dead_letters().is_empty(), "{guard:?}");
        assert_eq!(desk.processor.status(desk.now).open_doubts, 1, "{guard:?}");
        assert!(desk.facts.iter().any(|fact| matches!(
            fact,
            Fact::ForeignAnswer { practice, booking: Some(booking), status: 413, .. }
                if practice.as_str() == "practice-1" && booking.as_str() == "b"
        )));
        if matches!(guard, GuardMode::Reference | GuardMode::Search) {
            // It was carried out all the same.
            desk.pass_ms(75_000);
            desk.expect_and_answer(Operation::FindAppointment, appointments(&["a-1"]));
            desk.bring_back();
            desk.expect_and_answer(Operation::UpdateAppointment, updated("a-1"));
        } else {
            desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
        }
        assert_eq!(desk.results(), [("b".into(), 1, "CREATED")], "{guard:?}");
    }
}

#[test]
fn a_refusal_in_other_words_is_no_answer_to_a_search() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
    desk.expect_and_answer(Operation::SearchPatients, refused_by_a_proxy());
    let retry = desk.retries().pop().expect("it is parked");
    assert_eq!((retry.schedule.attempts, &*retry.schedule.last_error), (1, "foreign"));
    assert!(desk.dead_letters().is_empty());
    desk.bring_back();
    desk.pass_ms(10_000);
    desk.find_nobody();
    desk.expect(Operation::CreatePatient);
}

/// Without an end of its own the doubt would be repeated, or settled and opened again, for ever: while it is open nothing may
/// be given up.
#[test]
fn what_a_proxy_refuses_for_ever_ends_when_its_time_is_up() {
    for guard in GUARDS {
        for refused in [Operation::CreatePatient, Operation::CreateAppointment, Operation::UpdateAppointment]
        {
            let mut desk = impatient_desk(guard);
            if refused == Operation::UpdateAppointment {
                desk.arrive(rescheduled("b", 1));
                desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
                desk.arrive(rescheduled("b", 2));
            } else {
                desk.arrive(a_booking_of("b", a_patient("p", "Grace", "Hopper")));
            }
            let begun_at = desk.now;
            let asked = live_with(&mut desk, refused, &refused_by_a_proxy());
            let letter = desk.dead_letters().pop().unwrap_or_else(|| panic!("{guard:?} {refused:?}"));
            assert_eq!(letter.reason, FailureReason::AgeExhausted, "{guard:?} {refused:?}");
            assert_eq!(desk.processor.status(desk.now).open_doubts, 0, "nothing of it is in doubt");
            let lived_ms = desk.now.since_ms(begun_at);
            assert!(
                (MAX_AGE_MS..MAX_AGE_MS + 300_000).contains(&lived_ms),
                "{guard:?} {refused:?} {lived_ms}"
            );
            assert!((2..200).contains(&asked), "{guard:?} {refused:?} {asked}");
            desk.pass_ms(MAX_AGE_MS);
            assert!(desk.calls.is_empty() && desk.dead_letters().len() == 1, "that was its end");
        }
    }
}

#[test]
fn what_is_forbidden_is_the_bookings_and_in_the_end_final() {
    let mut desk = impatient_desk(GuardMode::Reference);
    desk.arrive(a_booking("b", 1));
    desk.expect_and_answer(Operation::CreateAppointment, Err(Fault::Forbidden));
    let retry = desk.retries().pop().expect("it is parked");
    assert_eq!((retry.schedule.attempts, &*retry.schedule.last_error), (1, "forbidden"));
    assert!(desk.state("b").intent.is_none(), "HealthFlow did nothing: that is no doubt");
    desk.bring_back();
    live_with(&mut desk, Operation::CreateAppointment, &Err(Fault::Forbidden));
    let letter = desk.dead_letters().pop().expect("it ends");
    assert_eq!(letter.reason, FailureReason::AgeExhausted);
    assert!(letter.detail.contains("forbidden"), "{}", letter.detail);
    assert_eq!(pauses(&desk), 0);
}

#[test]
fn one_booking_that_is_forbidden_does_not_slow_the_others() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    for practice in 0..50 {
        desk.arrive_at_once(of_practice(practice));
    }
    desk.pass_ms(200);
    let begun_at = desk.now;
    let mut answered = 0;
    while answered < 50 && desk.now.since_ms(begun_at) < 60_000 {
        for call in std::mem::take(&mut desk.calls) {
            let is_forbidden = matches!(&call.request, healthflow_core::healthflow::Request::CreateAppointment {
                content, .. } if content.practice.as_str() == "practice-7");
            let reply = if is_forbidden { Err(Fault::Forbidden) } else { created("a-1") };
            desk.answer(&call, reply);
            answered += 1;
        }
        desk.pass_ms(10);
    }
    desk.pass_ms(500);
    assert_eq!((desk.results().len(), pauses(&desk)), (49, 0));
    assert!(desk.now.since_ms(begun_at) < 10_000, "nobody waited for it");
    let told = |fact: &&Fact| {
        matches!(fact, Fact::CallForbidden { practice, booking: Some(_), .. }
        if practice.as_str() == "practice-7")
    };
    assert_eq!(desk.facts.iter().filter(told).count(), 1);
}

#[test]
fn several_practices_that_are_forbidden_in_a_row_stop_the_account() {
    for served in [None, Some(1)] {
        let mut desk = Desk::new(GuardMode::IdempotencyKey);
        for practice in 0..=FORBIDDEN_PRACTICES_MAX {
            desk.arrive(of_practice(practice));
        }
        desk.pass_ms(200);
        for (number, call) in std::mem::take(&mut desk.calls).into_iter().enumerate() {
            let reply = if served == Some(number) { created("a-1") } else { Err(Fault::Forbidden) };
            desk.answer(&call, reply);
        }
        // With one served in between, two were before or after it at most.
        let expected = usize::from(served.is_none());
        assert_eq!(pauses(&desk), expected, "{served:?}");
        if served.is_none() {
            assert!(
                desk.facts
                    .iter()
                    .any(|fact| matches!(fact, Fact::AccountPaused { why: PauseCause::Forbidden, .. }))
            );
            desk.arrive(a_booking("another", 1));
            desk.pass_ms(20_000);
            assert!(desk.calls.is_empty(), "nothing is sent");
            desk.pass_ms(10_500);
            assert!(!desk.calls.is_empty(), "until somebody is asked again");
        }
    }
}
