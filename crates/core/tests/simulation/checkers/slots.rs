//! Rule K11: where a desk takes legal steps only, no visit is lost to a slot that another booking of ours was to free, but for one
//! ending: bookings that exchange their slots by way of a third one wait for each other in vain if a newer version of one was
//! intended before the step aside was known to be written, for then the step may not be written any more (rule K5).

use std::collections::BTreeSet;

use healthflow_core::booking::{BookingKey, PracticeId, Version};
use healthflow_core::event::Outgoing;
use healthflow_core::fact::Fact;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::state::TaskState;
use healthflow_core::sync::SyncedOutcome;
use healthflow_proof::promises::results::slots_lost;

use crate::checkers::one_result::Verdict;
use crate::plan::BEGIN_MS;
use crate::world::World;

#[derive(Debug, Default)]
pub struct StepsAside {
    /// Practices of which a version was left out while it, or a newer one, was intended and its write open.
    left_out: BTreeSet<PracticeId>,
    /// Practices of which a booking waited until the longest wait was over.
    in_vain: BTreeSet<PracticeId>,
}

impl StepsAside {
    /// Takes in what a transaction ends; `before` is what was committed before it.
    pub fn commit(&mut self, batch: &CommitBatch, before: &TaskState) {
        for record in &batch.records {
            let Outgoing::Synced(done) = record else { continue };
            let key = &done.identity.key;
            let known = before.bookings.get(key).filter(|state| state.intent.is_some());
            let newest = known.map_or(0, |state| state.newest);
            if done.outcome == SyncedOutcome::Superseded && newest >= done.identity.version {
                self.left_out.insert(key.practice.clone());
            }
        }
    }

    /// A worker reports something.
    pub fn notes(&mut self, fact: &Fact) {
        if let Fact::SlotAwaitedInVain { key, .. } = fact {
            self.in_vain.insert(key.practice.clone());
        }
    }
}

pub fn broken(world: &World) -> Vec<String> {
    if !world.plan.legal_days {
        return Vec::new();
    }
    let versions = world.judges.one_result.verdicts.iter().flat_map(|(key, versions)| {
        versions.iter().map(move |(version, verdict)| ((key, *version, verdict), verdict.outcome))
    });
    let lost = slots_lost(versions).filter(|lost| !is_known_limit(world, *lost));
    lost.map(|(key, version, _)| format!("{key} v{version} found its slot taken")).collect()
}

fn is_known_limit(world: &World, (key, _, verdict): (&BookingKey, Version, &Verdict)) -> bool {
    let StepsAside { left_out, in_vain } = &world.judges.steps_aside;
    let waited_ms = verdict.committed_at - BEGIN_MS;
    left_out.contains(&key.practice)
        && in_vain.contains(&key.practice)
        && waited_ms >= world.plan.settings.slot_wait_max_ms
}
