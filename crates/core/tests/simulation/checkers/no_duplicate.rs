//! Promise 2: no appointment and no patient is created twice, unless a person wanted it so.

use std::collections::BTreeMap;

use crate::checkers::right_chart;
use crate::lives::Human;
use crate::world::World;

pub fn broken(world: &World) -> Vec<String> {
    let existing = world.healthflow.simulator.existing();
    let orders = &world.judges.orders;
    let mut broken = Vec::new();
    let is_mistaken = |name: &str| {
        let keys = world.lives.wanted.keys().map(|of| &of.booking).filter(|key| orders.mistakes(key));
        keys.into_iter().any(|key| format!("{}/{}", key.practice, key.booking) == name)
    };
    let appointments = existing.duplicate_appointments().into_iter().filter(|name| !is_mistaken(name));
    broken.extend(appointments.map(|name| format!("the appointment {name}")));
    let patients = existing.duplicate_references().into_iter();
    // Where references are not searched by, the next person under a reused id may be created under a number that a creation
    // which nobody could look up has used.
    let may_share = |name: &str| !world.plan.settings.guard.has_references() && name.contains('~');
    let patients = patients.filter(|name| !orders.is_new_patient(name) && !may_share(name));
    broken.extend(patients.map(|name| format!("the patient {name}")));
    let whose = right_chart::whose_charts(world);
    let mut people: BTreeMap<Option<Human>, usize> = BTreeMap::new();
    for chart in existing.duplicate_people() {
        let human = whose.get(chart).copied();
        let count = people.entry(human).or_default();
        *count += 1;
        if human.is_none_or(|human| *count > orders.more_charts(human)) {
            broken.push(format!("the person of {chart}"));
        }
    }
    broken
}
