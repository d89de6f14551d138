//! Rule K11: where a desk takes legal steps only, no visit is lost to a slot that another booking of ours was to free.

use healthflow_proof::promises::results::slots_lost;

use crate::world::World;

pub fn broken(world: &World) -> Vec<String> {
    if !world.plan.legal_days {
        return Vec::new();
    }
    let versions = world.judges.one_result.verdicts.iter().flat_map(|(key, versions)| {
        versions.iter().map(move |(version, verdict)| ((key, version), verdict.outcome))
    });
    slots_lost(versions).map(|(key, version)| format!("{key} v{version} found its slot taken")).collect()
}
