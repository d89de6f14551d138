//! Promise 5: what stands in HealthFlow is the newest version that ended well, whatever the order of arrival.

use healthflow_sync::booking::{BookingKey, Version};
use healthflow_sync::simulator::answer::AppointmentBody;
use healthflow_sync::sync::{Reason, SyncedOutcome};

use crate::checkers::one_result::Verdict;
use crate::lives::tag;
use crate::world::World;

/// Somebody who deletes so shortly before a result is committed may have come after its write.
const DELETION_RACE_MS: i64 = 60_000;

pub fn broken(world: &World) -> Vec<String> {
    let ledger = world.healthflow.simulator.ledger();
    let mut broken = Vec::new();
    for (key, versions) in &world.judges.one_result.verdicts {
        let newest = versions.iter().rev().find_map(|(version, verdict)| match verdict.outcome {
            Ok(outcome) if outcome != SyncedOutcome::Superseded => Some((*version, outcome, *verdict)),
            _ => None,
        });
        let stands: Vec<&AppointmentBody> = ledger
            .appointments
            .iter()
            .map(|one| &one.record.body)
            .filter(|body| belongs(body, key))
            .collect();
        let Some((version, outcome, verdict)) = newest else {
            if !stands.is_empty() && !gave_up(versions.iter(), 0) && !is_open(world, key) {
                broken.push(format!("{key} stands, and no version of it ended well"));
            }
            continue;
        };
        if gave_up(versions.iter(), version)
            || is_open(world, key)
            || was_deleted(world, key, outcome, verdict)
        {
            continue;
        }
        if let Some(what) = differs(world, key, version, &stands) {
            broken.push(format!("{key} v{version} ended {outcome:?} last, but {what}"));
        }
    }
    broken
}

fn belongs(body: &AppointmentBody, key: &BookingKey) -> bool {
    &*body.practice_id == key.practice.as_str() && body.external_id.as_deref() == Some(key.booking.as_str())
}

/// Whether a newer version was given up by time: its last write may or may not have been carried out.
fn gave_up<'a>(mut versions: impl Iterator<Item = (&'a Version, &'a Verdict)>, version: Version) -> bool {
    versions.any(|(newer, verdict)| {
        *newer > version && matches!(verdict.outcome, Err(Reason::AgeExhausted | Reason::VisitBegun))
    })
}

/// Whether a version waits for a person: what stands is the last answer, or an attempt before the question arose.
fn is_open(world: &World, key: &BookingKey) -> bool {
    world
        .partitions
        .iter()
        .filter_map(|partition| partition.state.bookings.get(key))
        .any(|state| !state.parked.is_empty())
}

fn was_deleted(world: &World, key: &BookingKey, outcome: SyncedOutcome, verdict: Verdict) -> bool {
    let may_be_later =
        |at: i64| outcome == SyncedOutcome::Unchanged || at > verdict.committed_at - DELETION_RACE_MS;
    world.healthflow.deleted_bookings.get(key).is_some_and(|at| may_be_later(*at))
}

fn differs(world: &World, key: &BookingKey, version: Version, stands: &[&AppointmentBody]) -> Option<String> {
    use healthflow_sync::booking::BookingStatus;
    let wanted = world.lives.wanted.get(&(key.clone(), version))?;
    match (wanted.status, stands) {
        (BookingStatus::Cancelled, []) => None,
        (BookingStatus::Cancelled, [body]) if &*body.status == "cancelled" => None,
        (BookingStatus::Scheduled, [body]) if &*body.status == "scheduled" => {
            let stands = body.note.as_deref().unwrap_or_default();
            (stands != tag(wanted)).then(|| format!("{stands:?} stands"))
        }
        _ => {
            let seen: Vec<_> = stands.iter().map(|body| (&*body.status, body.note.as_deref())).collect();
            Some(format!("{seen:?} stands for {:?}", wanted.status))
        }
    }
}
