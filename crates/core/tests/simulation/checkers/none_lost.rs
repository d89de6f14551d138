//! Promise 1: no booking is lost. At rest every version has its result, and no write is in doubt.

use std::collections::BTreeSet;

use healthflow_core::booking::{BookingKey, Version, VersionKey};
use healthflow_core::event::Arrival;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::BookingState;
use healthflow_core::sync::FailureReason;
use healthflow_core::topics::Lane;
use healthflow_proof::promises::results::lost;

use crate::kafka::Partition;
use crate::world::World;

/// What is still open.
pub fn open(world: &World) -> Vec<String> {
    let mut open = Vec::new();
    if world.published < world.lives.records.len() {
        open.push("not everything is published".to_owned());
    }
    for (number, partition) in world.partitions.iter().enumerate() {
        let unread = parked_unread(partition);
        let has_result = |(offset, arrival): &&(i64, Arrival)| match arrival {
            Arrival::Requested(booking) => {
                let is_unread = partition.unread.contains(&(Lane::Requested, *offset));
                let is_parked_unread = unread.contains(&booking.version_key());
                is_unread || is_parked_unread || answered(world, &booking.key, booking.version)
            }
            Arrival::Unusable(unusable) => match &unusable.identity {
                Some(identity) => answered(world, &identity.key, identity.version),
                None => world.judges.one_result.unidentified.contains(&(number as i32, *offset)),
            },
            Arrival::Retry(_) | Arrival::Decided(_) => true,
            Arrival::Misrouted(_) => partition.forwarded.contains(offset),
        };
        // By then everything is decided.
        let lost = lost(partition.requested.records.iter(), has_result, |_| false);
        open.extend(lost.map(|(offset, arrival)| format!("p{number}@{offset} {}", name(arrival))));
        for (key, state) in partition.state.bookings.iter() {
            // A version that was redriven has a result of before, and needs another one.
            for version in state.parked.iter().map(|parked| parked.version).filter(|one| state.waits(*one)) {
                let version = key.version(version);
                if !unread.contains(&version) {
                    open.push(format!("{version} is still parked"));
                }
            }
            if state.intent.is_some() && !is_out_of_reach(world, &key, &state) {
                open.push(format!("the write of {key} is still in doubt"));
            }
        }
        for (key, state) in partition.state.patients.iter() {
            if state.intent.is_some() {
                open.push(format!("the creation of {} is still in doubt", key.patient));
            }
        }
        let retried = partition.reached(Lane::Retry);
        if let Some(offset) = partition.redrives.iter().find(|offset| **offset >= retried) {
            open.push(format!("p{number} has not come to the redrive at {offset}"));
        }
        for lane in [Lane::Requested, Lane::Decisions] {
            let reached = partition.reached(lane);
            if reached < partition.log(lane).records.last().map_or(0, |(at, _)| at + 1) {
                open.push(format!("p{number} has read {lane:?} only up to {reached}"));
            }
        }
    }
    open.sort_unstable();
    open
}

/// The parked versions whose record nobody could read without dying: the dead letter has its bytes, and whoever brings it back, under
/// the generation that state still names, has the version go on (rules K6, K10).
fn parked_unread(partition: &Partition) -> BTreeSet<VersionKey> {
    let is_unread = |offset: i64| partition.unread.contains(&(Lane::Retry, offset));
    let records = partition.retry.records.iter().filter(|(offset, _)| is_unread(*offset));
    let awaited = records.filter_map(|(_, arrival)| {
        let Arrival::Retry(entry) = arrival else { return None };
        let booking = &entry.booking;
        let state = partition.state.bookings.get(&booking.key)?;
        let parked = state.parked(booking.version)?;
        (parked.generation == entry.generation).then(|| booking.version_key())
    });
    awaited.collect()
}

/// A suspect's doubt (rule K6), and one that cannot be told apart without references (rule W5), go to a person with a
/// record of the booking: where that was deleted, they stay open.
fn is_out_of_reach(world: &World, key: &BookingKey, state: &BookingState) -> bool {
    let settings = &world.plan.settings;
    let limit = settings.crash_suspect_after + settings.crash_review_after;
    let mut gone = world.gone.range(key.versions());
    let verdicts = world.judges.one_result.verdicts.get(key);
    let mut verdicts = verdicts.into_iter().flat_map(|versions| versions.values());
    let is_gone = gone.next().is_some() || verdicts.any(|one| one.outcome == Err(FailureReason::RecordLost));
    let is_a_persons = state.suspicion.unclean_ends >= limit || settings.guard == GuardMode::Search;
    is_gone && is_a_persons
}

fn answered(world: &World, key: &BookingKey, version: Version) -> bool {
    world.judges.one_result.verdict(key, version).is_some()
}

fn name(arrival: &Arrival) -> String {
    match arrival {
        Arrival::Requested(booking) => format!("{} v{} has no result", booking.key, booking.version),
        Arrival::Retry(_) => "a retry record".to_owned(),
        Arrival::Decided(_) => "a decision".to_owned(),
        Arrival::Misrouted(record) => format!("a record of p{} is not sent on", record.home),
        Arrival::Unusable(unusable) => match &unusable.identity {
            Some(identity) => format!("{} v{} (impossible) has no result", identity.key, identity.version),
            None => "nonsense has no dead letter".to_owned(),
        },
    }
}
