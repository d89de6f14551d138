//! The review topic holds what state says that it holds, and nothing else (rule K4): a record that is left there is a question that
//! nobody can answer, and a version without its record can never go on.

use crate::kafka::Partition;

/// What is wrong with what a partition holds for people.
pub fn broken(partition: &Partition) -> Vec<String> {
    let state = &partition.state;
    let mut broken = Vec::new();
    for of in state.held.keys() {
        let known = state.bookings.get(&of.booking);
        if known.is_none_or(|known| known.hold(of.version).is_none()) {
            broken.push(format!("{of} is left in the review topic"));
        }
    }
    for (key, known) in state.bookings.iter() {
        let held = known.parked.iter().filter(|parked| known.hold(parked.version).is_some());
        let held = held.map(|parked| key.version(parked.version));
        let missing = held.filter(|one| !state.held.contains_key(one));
        broken.extend(missing.map(|one| format!("{one} has no record")));
        if let Some(version) = known.question().filter(|version| *version < known.newest)
            && !known.leaves_write_to_a_person()
        {
            broken.push(format!(
                "v{version} of {key} is still asked about although v{} is newer",
                known.newest
            ));
        }
    }
    broken
}
