//! Promise 3: no appointment exists without its patient, unless a person deleted that patient.

use crate::world::World;

pub fn broken(world: &World) -> Vec<String> {
    let existing = world.healthflow.simulator.existing();
    let orphans = existing.orphans().filter(|one| !world.healthflow.deleted.contains_key(one.patient));
    orphans.map(|one| format!("{:?} stands without its patient {}", one.booking, one.patient)).collect()
}
