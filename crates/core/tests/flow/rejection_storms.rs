//! HealthFlow refuses nearly everything: what is refused waits, one booking a minute is tried, and all come back once one is
//! accepted. A practice whose own data are bad keeps nobody else waiting.

use std::collections::BTreeSet;

use healthflow_core::booking::Booking;
use healthflow_core::event::{Arrival, Outgoing};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::{Fault, Operation, Reply, Request};
use healthflow_core::limits::RejectionStormLimits;
use healthflow_core::limits::rejection_storm::StormChange;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::sync::FailureReason;
use healthflow_core::topics::Lane;

use crate::desk::*;

const STORM: &str = "REJECTION_STORM";
const MINUTE_MS: i64 = 60_000;
const CALLS_MIN: usize = 6;

fn settings_of_storms() -> Settings {
    let rejection_storm = RejectionStormLimits { calls_min: CALLS_MIN, ..RejectionStormLimits::for_tests() };
    Settings { rejection_storm, ..settings(GuardMode::Reference) }
}

fn desk() -> Desk {
    let mut desk = Desk::within(settings_of_storms(), TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    desk
}

/// A booking of a patient who is known.
fn of_practice(practice: &str, number: usize) -> Booking {
    let mut booking = a_booking(&format!("b-{number}"), 1);
    booking.key.practice = practice.into();
    booking.patient.id = format!("pt-{number}").as_str().into();
    booking
}

fn refused() -> Reply {
    Err(Fault::Refused { status: 422, fields: vec!["visit.reason: unknown".to_owned()] })
}

/// Lets HealthFlow refuse what these practices write, or everybody's, for a while; whatever is parked comes back on its lane. How
/// many writes it refused.
fn refuse(desk: &mut Desk, practices: Option<&[&str]>, ms: i64) -> usize {
    let (end, mut refusals, mut parked) = (desk.now.plus_ms(ms), 0, desk.retries().len());
    while desk.now < end {
        desk.pass_ms(100);
        for call in std::mem::take(&mut desk.calls) {
            let operation = call.request.operation();
            let is_meant = match &call.request {
                Request::CreateAppointment { content, .. } => {
                    practices.is_none_or(|some| some.contains(&content.practice.as_str()))
                }
                _ => false,
            };
            let reply = match operation {
                Operation::FindAppointment => appointments(&[]),
                Operation::CreateAppointment if is_meant => {
                    refusals += 1;
                    refused()
                }
                Operation::CreateAppointment => created(&format!("a-{}", call.id.0)),
                Operation::UpdateAppointment => updated("a"),
                other => panic!("nobody asks for {other:?}"),
            };
            desk.answer(&call, reply);
        }
        let retries = desk.retries();
        for entry in retries[parked..].iter().cloned() {
            desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
        }
        parked = retries.len();
    }
    refusals
}

fn changes(desk: &Desk) -> Vec<StormChange> {
    let change =
        |fact: &Fact| if let Fact::StormChanged(change) = fact { Some(change.clone()) } else { None };
    desk.facts.iter().filter_map(change).collect()
}

fn begun(desk: &Desk) -> usize {
    changes(desk).iter().filter(|change| matches!(change, StormChange::Began { .. })).count()
}

fn confirmed(desk: &Desk) -> BTreeSet<String> {
    desk.committed
        .iter()
        .filter_map(|record| match record {
            Outgoing::Synced(finished) => Some(finished.identity.key.to_string()),
            _ => None,
        })
        .collect()
}

/// Goal: a broken release costs the few bookings by which it is noticed; the others wait without an attempt, one a minute is tried,
/// and they are confirmed once HealthFlow accepts one. Method: an hour of refusals for forty bookings of eight practices.
#[test]
fn a_broken_release_costs_time_and_little_else() {
    let mut desk = desk();
    (0..40).for_each(|number| desk.arrive_at_once(of_practice(&format!("practice-{}", number % 8), number)));
    let refusals = refuse(&mut desk, None, 60 * MINUTE_MS);
    assert_eq!(desk.dead_letters().len(), CALLS_MIN - 1, "the last one is what tells");
    assert_eq!(begun(&desk), 1, "{:?}", changes(&desk));
    // Those under way when it began, and one a minute.
    assert!((60..90).contains(&refusals), "{refusals}");
    let parked = desk.retries();
    assert!(parked.iter().all(|entry| &*entry.schedule.last_error == STORM && entry.schedule.attempts == 0));
    assert!(parked.iter().all(|entry| entry.schedule.first_failed_at.is_none()));
    assert_eq!(refuse(&mut desk, Some(&[]), 5 * MINUTE_MS), 0);
    assert!(matches!(changes(&desk)[..], [_, StormChange::Over { is_accepted: true, .. }]));
    assert_eq!(confirmed(&desk).len(), 40 - (CALLS_MIN - 1));
    assert_eq!(desk.dead_letters().len(), CALLS_MIN - 1);
}

/// Goal: who arrives in a storm is put aside without a call, and no intent of theirs stays. Method: bookings that come while it
/// lasts; then a crash.
#[test]
fn who_arrives_in_a_storm_waits_in_kafka() {
    let mut desk = desk();
    (0..12).for_each(|number| desk.arrive_at_once(of_practice(&format!("practice-{number}"), number)));
    refuse(&mut desk, None, 1_000);
    assert_eq!(begun(&desk), 1);
    let late = of_practice("practice-late", 99);
    desk.arrive(late.clone());
    desk.expect_silence();
    let entry = desk.retries().pop().expect("it is parked");
    assert_eq!((&entry.booking.key, &*entry.schedule.last_error), (&late.key, STORM));
    let state = desk.durable.bookings.get(&late.key);
    assert!(state.is_some_and(|state| state.intent.is_none() && state.parked(1).is_some()));
}

/// Goal: a practice whose own data are bad holds only its own bookings. Method: it comes between others, which are served all the
/// time; after a day its refusals are believed.
#[test]
fn a_practice_with_bad_data_stops_nobody_else() {
    let mut desk = desk();
    for number in 0..60 {
        let practice = if number % 2 == 0 { "bad".to_owned() } else { format!("good-{}", number % 10) };
        desk.arrive_at_once(of_practice(&practice, number));
    }
    refuse(&mut desk, Some(&["bad"]), 5 * MINUTE_MS);
    assert_eq!(confirmed(&desk).len(), 30);
    let letters = desk.dead_letters().len();
    assert!((CALLS_MIN - 1..=CALLS_MIN).contains(&letters), "{letters}");
    desk.arrive(of_practice("good-1", 100));
    refuse(&mut desk, Some(&["bad"]), 1_000);
    assert_eq!(confirmed(&desk).len(), 31, "it did not wait");
    assert!(changes(&desk).iter().all(|change| {
        matches!(change, StormChange::Began { of, .. } if of.practice == Some("bad".into()))
    }));
}

/// Goal: bad data do not wait for ever. Method: nothing of a practice is accepted for longer than storms are believed in.
#[test]
fn what_is_refused_for_very_long_is_believed() {
    let mut settings = settings_of_storms();
    settings.rejection_storm.believed_after_ms = 20 * MINUTE_MS;
    let mut desk = Desk::within(settings, TaskState::default(), [].into(), START);
    desk.pass_ms(LAG_MS + 1);
    (0..20).for_each(|number| desk.arrive_at_once(of_practice("bad", number)));
    refuse(&mut desk, None, 15 * MINUTE_MS);
    assert_eq!(desk.dead_letters().len(), CALLS_MIN - 1);
    refuse(&mut desk, None, 10 * MINUTE_MS);
    assert_eq!(desk.dead_letters().len(), 20);
    assert!(desk.dead_letters().iter().all(|letter| letter.reason == FailureReason::Rejected));
    assert!(matches!(changes(&desk)[..], [_, StormChange::Over { is_accepted: false, .. }]));
}

/// Goal: a new owner goes on where the last one was. Method: a crash in a storm; what comes back then is refused.
#[test]
fn a_storm_outlives_its_worker() {
    let mut desk = desk();
    (0..20).for_each(|number| desk.arrive_at_once(of_practice("practice", number)));
    refuse(&mut desk, None, 2 * MINUTE_MS);
    let parked = desk.retries();
    let mut next = Desk::within(settings_of_storms(), desk.durable.clone(), desk.offsets.clone(), desk.now);
    next.pass_ms(100_000);
    let waiting: BTreeSet<_> = parked.iter().map(|entry| entry.booking.key.clone()).collect();
    for key in &waiting {
        let newest = parked.iter().rfind(|entry| entry.booking.key == *key).cloned();
        let entry = newest.expect("it is parked");
        next.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    }
    refuse(&mut next, None, 30 * MINUTE_MS);
    assert_eq!(begun(&next), 1, "{:?}", changes(&next));
    assert!(next.dead_letters().is_empty());
    refuse(&mut next, Some(&[]), 5 * MINUTE_MS);
    assert_eq!(confirmed(&next).len(), waiting.len());
}
