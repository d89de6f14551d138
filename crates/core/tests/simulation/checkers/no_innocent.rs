//! Rule K6: if one booking kills workers and nothing else does, only that booking goes to a person as a suspect.

use healthflow_core::sync::ReviewReason;

use crate::world::World;

pub fn broken(world: &World) -> Vec<String> {
    if !world.plan.one_suspect {
        return Vec::new();
    }
    let reviews = world.partitions.iter().flat_map(|partition| &partition.reviews);
    reviews
        .filter(|(key, (_, reason))| *reason == ReviewReason::CrashSuspect && key.booking.as_str() != "b0-0")
        .map(|(key, _)| format!("{key} is held for what another booking did"))
        .collect()
}
