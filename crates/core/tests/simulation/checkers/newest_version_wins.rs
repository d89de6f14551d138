//! Promise 5: what HealthFlow has in the end is the newest version that ended well, whatever the order of arrival.

use std::collections::BTreeMap;

use healthflow_core::booking::{BookingKey, Version};
use healthflow_core::sync::SyncedOutcome;
use healthflow_proof::promises::newest::{self, Found};
use healthflow_simulator::answer::{AppointmentBody, AppointmentRecord};

use crate::by_hand;
use crate::checkers::one_result::Verdict;
use crate::lives::tag;
use crate::world::World;

/// Somebody who deletes so shortly before a result is committed may have come after its write.
const DELETION_RACE_MS: i64 = 60_000;

pub fn broken(world: &World) -> Vec<String> {
    let ledger = world.healthflow.simulator.ledger();
    let mut broken = Vec::new();
    for (key, versions) in &world.judges.one_result.verdicts {
        let results = versions.iter().map(|(version, verdict)| (*version, verdict.outcome));
        let newest = newest::ended_well(results.clone());
        let newest = newest.and_then(|version| Some((version, versions.get(&version)?)));
        if world.judges.orders.mistakes(key)
            || was_deleted_unanswered(world, key)
            || newest.is_some_and(|(_, verdict)| was_deleted(world, verdict))
        {
            continue;
        }
        let of_booking = ledger.appointments.iter().map(|one| one.record);
        let records: Vec<&AppointmentRecord> = of_booking.filter(|one| belongs(&one.body, key)).collect();
        let stands: Vec<&AppointmentBody> = records.iter().map(|one| &one.body).collect();
        if let [one] = records[..]
            && one.body.note.as_deref() == Some(by_hand::NOTE)
        {
            // Whoever changed it by hand did so after our last write of it, which would have put our note back.
            if newest.is_some_and(|newest| was_to_be_written(world, key, newest, versions, one)) {
                broken.push(format!("{key}: {newest:?} ended well last, but an older change by hand stands"));
            }
            continue;
        }
        let wins = newest::newest_version_wins(results, stands.is_empty(), |version| {
            is_what_exists(world, key, version, &stands)
        });
        if !wins {
            let seen: Vec<_> = stands.iter().map(|body| (&*body.status, body.note.as_deref())).collect();
            broken.push(format!("{key}: {newest:?} ended well last, but {seen:?} stands"));
        }
    }
    broken
}

/// Whether a version that was asked for after `one` was changed by hand ended well, though it was not written. Where an
/// earlier version wanted the same, nobody needed to look, but for who was told that something else stands.
fn was_to_be_written(
    world: &World,
    key: &BookingKey,
    (version, verdict): (Version, &Verdict),
    versions: &BTreeMap<Version, Verdict>,
    one: &AppointmentRecord,
) -> bool {
    let asked_at = world.published_at.get(&key.version(version));
    let edited_at = world.healthflow.edited.get(&one.id);
    // A replica that lags may show what stood before the change for as long as it is allowed to.
    let lag_ms = world.plan.settings.search_lag_ms;
    let is_older = edited_at.zip(asked_at).is_some_and(|(edit, asked)| edit + lag_ms < *asked);
    let says_so = matches!(verdict.outcome, Ok(SyncedOutcome::Updated | SyncedOutcome::Created));
    let earlier = versions.range(..version).map(|(version, verdict)| (*version, verdict.outcome));
    let least = newest::ended_well(earlier).unwrap_or(0);
    let wanted = world.lives.wanted.get(&key.version(version));
    let mut before = world.lives.wanted.range(key.version(least)..key.version(version));
    let wanted_before =
        before.any(|(_, one)| wanted.is_some_and(|it| one.visit == it.visit && one.status == it.status));
    let told_at = world.healthflow.told.get(&one.id);
    let was_told = told_at.is_some_and(|told| edited_at < Some(told) && *told < verdict.committed_at);
    is_older && (says_so || !wanted_before || was_told)
}

fn belongs(body: &AppointmentBody, key: &BookingKey) -> bool {
    &*body.practice_id == key.practice.as_str() && body.external_id.as_deref() == Some(key.booking.as_str())
}

/// Whether a version was deleted from its topic before it got a result: it may have been written all the same.
fn was_deleted_unanswered(world: &World, key: &BookingKey) -> bool {
    let mut gone = world.gone.range(key.versions());
    gone.any(|of| world.judges.one_result.verdict(&of.booking, of.version).is_none())
}

/// Whether a person deleted what the result speaks of. A change says that it stood a moment before; a creation does
/// not: the answer of its repeat, hours later, may be the first one's.
fn was_deleted(world: &World, verdict: &Verdict) -> bool {
    let id = verdict.appointment_id.as_ref();
    id.and_then(|id| world.healthflow.deleted.get(id)).is_some_and(|at| {
        verdict.outcome != Ok(SyncedOutcome::Updated) || *at > verdict.committed_at - DELETION_RACE_MS
    })
}

fn is_what_exists(world: &World, key: &BookingKey, version: Version, stands: &[&AppointmentBody]) -> bool {
    let Some(wanted) = world.lives.wanted.get(&key.version(version)) else { return false };
    let stands = stands.iter().map(|body| Found {
        is_cancelled: &*body.status == "cancelled",
        is_as_wanted: body.note.as_deref() == Some(tag(wanted)),
    });
    newest::is_what_exists(wanted.status, &stands.collect::<Vec<_>>())
}
