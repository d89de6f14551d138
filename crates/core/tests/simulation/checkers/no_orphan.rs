//! Promise 3: no appointment stands without its patient, unless a person deleted that.

use std::collections::BTreeMap;

use crate::world::World;

pub fn broken(world: &World) -> Vec<String> {
    let ledger = world.healthflow.simulator.ledger();
    let practices: BTreeMap<&str, &str> =
        ledger.patients.iter().map(|one| (&*one.record.id, &*one.record.body.practice_id)).collect();
    let mut broken = Vec::new();
    for appointment in &ledger.appointments {
        let body = &appointment.record.body;
        let stands = practices.get(&*body.patient_id).is_some_and(|practice| *practice == &*body.practice_id);
        if !stands && !world.healthflow.deleted.contains_key(&body.patient_id) {
            broken.push(format!("{} stands without its patient {}", appointment.record.id, body.patient_id));
        }
    }
    broken
}
