//! Promise 2: no appointment and no patient is created twice.

use crate::world::World;

pub fn broken(world: &World) -> Vec<String> {
    let audit = world.healthflow.simulator.audit();
    let counts = [
        ("duplicate appointments", audit.duplicate_appointments),
        ("duplicate patients", audit.duplicate_patients),
        ("duplicate people", audit.duplicate_people),
    ];
    let found = counts.iter().filter(|(_, count)| *count > 0);
    found.map(|(what, count)| format!("{count} {what}: {:?}", audit.examples)).collect()
}
