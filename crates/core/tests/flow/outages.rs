//! HealthFlow does not work for a while: the breaker opens, nothing is sent but a probe now and then, and no booking pays for
//! it, neither with an attempt nor with its time.

use std::collections::BTreeSet;

use healthflow_core::booking::{Booking, BookingStatus};
use healthflow_core::event::{Arrival, Outgoing};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::fault::{NotSent, Unknown};
use healthflow_core::healthflow::{Fault, Operation, Reply};
use healthflow_core::limits::BreakerCause;
use healthflow_core::limits::BreakerLimits;
use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::topics::Lane;

use crate::desk::*;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// Everybody's chart is read first, which works.
fn limits() -> BreakerLimits {
    BreakerLimits { calls_min: 6, failed_share: 0.2, slow_share: 0.4, ..BreakerLimits::for_tests() }
}

fn within(guard: GuardMode) -> Settings {
    Settings { breaker: limits(), retry_max_age_ms: HOUR_MS, ..settings(guard) }
}

fn desk(guard: GuardMode) -> Desk {
    let mut desk = Desk::within(within(guard), TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    desk
}

/// A booking of a practice of its own, of a patient who is known.
fn of_practice(number: usize) -> Booking {
    let mut booking = a_booking(&format!("b-{number}"), 1);
    booking.key.practice = format!("practice-{number}").as_str().into();
    booking
}

fn refused() -> Reply {
    Err(Fault::NotSent(NotSent::Connect))
}

fn error() -> Reply {
    Err(Fault::Unknown(Unknown::ServerError))
}

fn opened(desk: &Desk) -> usize {
    desk.facts.iter().filter(|fact| matches!(fact, Fact::BreakerOpened { .. })).count()
}

fn closed(desk: &Desk) -> bool {
    desk.facts.iter().any(|fact| matches!(fact, Fact::BreakerClosed { .. }))
}

/// As many bookings as there may be calls, and more; the calls under way fail.
fn outage(guard: GuardMode, reply: &Reply) -> Desk {
    let mut desk = desk(guard);
    (0..30).for_each(|number| desk.arrive_at_once(of_practice(number)));
    desk.pass_ms(200);
    assert_eq!(desk.calls.len(), 16);
    // All in one turn, before another one can be sent.
    for call in std::mem::take(&mut desk.calls) {
        desk.processor.handle(Input::Answered { call: call.id, reply: reply.clone() }, desk.now);
    }
    // From now on charts are not read either.
    desk.reads_wait = true;
    desk.pass_ms(1);
    assert_eq!(opened(&desk), 1);
    desk
}

/// Lets HealthFlow be down for a while; how many calls it got meanwhile, each after the one before had ended.
fn stay_down(desk: &mut Desk, ms: i64, reply: &Reply) -> usize {
    let (end, mut probes) = (desk.now.plus_ms(ms), 0);
    while desk.now < end {
        desk.pass_ms(100);
        assert!(desk.calls.len() <= 1, "one probe at a time: {:?}", desk.calls);
        for call in std::mem::take(&mut desk.calls) {
            probes += 1;
            desk.answer(&call, reply.clone());
        }
    }
    probes
}

fn come_back(desk: &mut Desk) {
    for _ in 0..600 {
        desk.pass_ms(100);
        for call in std::mem::take(&mut desk.calls) {
            let reply = match call.request.operation() {
                Operation::FindAppointment => appointments(&[]),
                Operation::CreateAppointment => created(&format!("a-{}", call.id.0)),
                Operation::UpdateAppointment => updated("a"),
                Operation::ReadPatient => a_chart("hf-patient-1", &a_patient("", "Any", "Body")),
                other => panic!("nobody asks for {other:?}"),
            };
            desk.answer(&call, reply);
        }
        for entry in desk.retries() {
            desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
        }
    }
}

/// Attempts of every retry record and result that was committed.
fn attempts(desk: &Desk) -> BTreeSet<u32> {
    let attempts = |record: &Outgoing| match record {
        Outgoing::Retry(entry) => Some(entry.schedule.attempts),
        Outgoing::Synced(finished) => Some(finished.attempts - 1),
        Outgoing::Failed(letter) => Some(letter.attempts - 1),
        _ => None,
    };
    desk.committed.iter().filter_map(attempts).collect()
}

fn confirmed(desk: &Desk) -> usize {
    desk.committed.iter().filter(|record| matches!(record, Outgoing::Synced(_))).count()
}

/// Goal: an outage spends no attempt once the breaker is open, parks nothing, and everybody is confirmed after it. Method: two
/// hours of refused connections; the few that failed before the breaker opened may have an attempt.
#[test]
fn an_outage_costs_nothing_but_time() {
    let mut desk = outage(GuardMode::Reference, &refused());
    let tried_before = desk.retries().len();
    assert!(tried_before <= 10, "{tried_before}");
    let probes = stay_down(&mut desk, 20 * MINUTE_MS, &refused());
    assert!((150..1_300).contains(&probes), "{probes} probes in 20 minutes");
    assert_eq!(
        desk.committed.iter().filter(|record| matches!(record, Outgoing::Retry(_))).count(),
        tried_before
    );
    assert!(desk.dead_letters().is_empty());
    come_back(&mut desk);
    assert!(closed(&desk));
    assert_eq!(confirmed(&desk), 30);
    assert!(attempts(&desk).into_iter().all(|attempts| attempts <= 1), "{:?}", attempts(&desk));
    assert_eq!(opened(&desk), 1);
}

/// Goal: a crash during the outage finds no intent but those that are in doubt. Method: everybody had one when it began.
#[test]
fn nobody_keeps_an_intent_that_he_cannot_use() {
    let mut desk = outage(GuardMode::Reference, &error());
    desk.pass_ms(300);
    let in_doubt = desk.processor.status(desk.now).open_doubts;
    let open = desk.durable.bookings.iter().filter(|(_, state)| state.intent.is_some()).count();
    assert_eq!((open, in_doubt), (16, 16));
    stay_down(&mut desk, 10 * MINUTE_MS, &error());
    let in_doubt = desk.processor.status(desk.now).open_doubts;
    let open = desk.durable.bookings.iter().filter(|(_, state)| state.intent.is_some()).count();
    // A probe may have its intent and not be sent yet; once look-ups are due, probes open no doubts.
    assert!(in_doubt <= open && open <= in_doubt + 1 && in_doubt < 30, "{open} {in_doubt}");
    come_back(&mut desk);
    assert_eq!(confirmed(&desk), 30);
}

/// Goal: one practice whose bookings break HealthFlow does not keep the breaker open for the others. Method: its own probes
/// fail for ever.
#[test]
fn a_probe_that_fails_for_its_own_sake_is_passed_over() {
    let mut desk = outage(GuardMode::Reference, &refused());
    let mut closes_after = None;
    for probe in 0..6 {
        desk.pass_ms(limits().probe_max_ms + 200);
        assert_eq!(desk.calls.len(), 1);
        let call = desk.calls.remove(0);
        let is_first = format!("{:?}", call.request).contains("b-0\"");
        desk.answer(&call, if is_first { refused() } else { created("a-1") });
        if closed(&desk) {
            closes_after = Some(probe);
            break;
        }
    }
    assert!(closes_after.is_some_and(|probe| probe <= 1), "{closes_after:?}");
}

/// Goal: a look-up that is due goes first, for it changes nothing. Method: doubts from before the breaker opened, and bookings
/// that were never sent.
#[test]
fn probes_prefer_look_ups_that_are_due() {
    let mut desk = outage(GuardMode::Reference, &error());
    let settle_ms = within(GuardMode::Reference).settle_ms();
    stay_down(&mut desk, settle_ms + MINUTE_MS, &error());
    let mut asked = Vec::new();
    for _ in 0..5 {
        desk.pass_ms(limits().probe_max_ms + 200);
        let call = desk.calls.remove(0);
        asked.push(call.request.operation());
        desk.answer(&call, error());
    }
    assert_eq!(asked, [Operation::FindAppointment; 5]);
}

/// Goal: time without HealthFlow makes nobody too old. Method: a booking fails once before, and again after an outage that is
/// longer than `retry.max_age_ms`.
#[test]
fn an_outage_counts_for_no_deadline() {
    let mut desk = desk(GuardMode::Reference);
    desk.arrive(of_practice(0));
    let call = desk.expect(Operation::CreateAppointment);
    desk.answer(&call, Err(Fault::Forbidden));
    assert_eq!(desk.retries().len(), 1);
    (1..12).for_each(|number| desk.arrive_at_once(of_practice(number)));
    desk.bring_back();
    desk.pass_ms(10_000);
    for call in std::mem::take(&mut desk.calls) {
        desk.answer(&call, refused());
    }
    assert_eq!(opened(&desk), 1);
    stay_down(&mut desk, 3 * HOUR_MS, &refused());
    // Back, but this one booking is still forbidden.
    for _ in 0..100 {
        desk.pass_ms(200);
        for call in std::mem::take(&mut desk.calls) {
            let is_first = format!("{:?}", call.request).contains("b-0\"");
            desk.answer(&call, if is_first { Err(Fault::Forbidden) } else { created("a-1") });
        }
    }
    assert!(closed(&desk));
    assert_eq!(desk.dead_letters(), [], "it was tried for seconds, not for hours");
}

/// Goal: the breaker opens for a brown-out too, and what HealthFlow answered counts. Method: slow answers.
#[test]
fn slow_answers_open_it_and_still_count() {
    let mut desk = desk(GuardMode::Reference);
    (0..8).for_each(|number| desk.arrive_at_once(of_practice(number)));
    desk.pass_ms(limits().slow_ms + 200);
    for (number, call) in std::mem::take(&mut desk.calls).into_iter().enumerate() {
        desk.answer(&call, created(&format!("a-{number}")));
    }
    assert_eq!(opened(&desk), 1);
    desk.pass_ms(200);
    assert_eq!(confirmed(&desk), 8);
    assert!(
        desk.facts.iter().any(|fact| matches!(fact, Fact::BreakerOpened { cause: BreakerCause::Slow, .. }))
    );
}

/// Goal: a 429 is the limiter's and a refusal the booking's: neither opens the breaker.
#[test]
fn answers_of_healthflow_open_nothing() {
    for reply in [
        Err(Fault::Refused { status: 422, fields: vec!["start: in the past".into()] }),
        Err(Fault::Throttled { retry_after_ms: Some(100) }),
        Err(Fault::Forbidden),
        Err(Fault::SlotTaken),
    ] {
        let mut desk = desk(GuardMode::Reference);
        for number in 0..20 {
            let status = BookingStatus::Scheduled;
            desk.arrive_at_once(Booking { status, ..of_practice(number) });
        }
        desk.pass_ms(200);
        for call in std::mem::take(&mut desk.calls) {
            desk.answer(&call, reply.clone());
        }
        assert_eq!(opened(&desk), 0, "{reply:?}");
    }
}
