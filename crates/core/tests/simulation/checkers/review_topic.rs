//! The review topic holds what state says that it holds, and nothing else (rule K4): a record that is left there is a question that
//! nobody can answer, and a version without its record can never go on.

use healthflow_core::booking::Version;

use crate::kafka::Partition;

/// What is wrong with what a partition holds for people.
pub fn broken(partition: &Partition) -> Vec<String> {
    let state = &partition.state;
    let mut broken = Vec::new();
    for (key, version) in state.held.keys() {
        let known = state.bookings.get(key);
        if known.is_none_or(|known| known.hold(*version).is_none()) {
            broken.push(format!("{key} v{version} is left in the review topic"));
        }
    }
    for (key, known) in state.bookings.iter() {
        let is_there = |version: &Version| state.held.contains_key(&(key.clone(), *version));
        let held =
            known.parked.iter().map(|parked| &parked.version).filter(|one| known.hold(**one).is_some());
        broken.extend(held.filter(|one| !is_there(one)).map(|one| format!("{key} v{one} has no record")));
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
