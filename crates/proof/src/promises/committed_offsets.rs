//! Rules K3 and K4: no offset is committed past a record that is neither answered nor parked as state has it, and every
//! record that is parked by state is still ahead of the retry lane's offset.

use healthflow_core::booking::VersionKey;
use healthflow_core::state::{ParkingPlace, TaskState};
use healthflow_core::topics::Lane;

/// What is wrong with moving the offset of a lane from `from` to `to`, past records with what each leaves behind, if
/// anything.
pub fn committed_offsets(
    lane: Lane,
    (from, to): (i64, i64),
    passed: impl Iterator<Item = (i64, Option<String>)>,
) -> Vec<String> {
    let back = (to < from).then(|| format!("the offset of {lane:?} went back from {from} to {to}"));
    let behind = passed.filter_map(|(offset, what)| {
        Some(format!("{lane:?}@{offset} {}, and the committed offset {to} passed it", what?))
    });
    back.into_iter().chain(behind).collect()
}

/// What a version leaves behind whose record is passed; `only_record` is the generation of a retry record of which no
/// copy is ahead.
pub fn left_behind(state: &TaskState, of: &VersionKey, only_record: Option<u32>) -> Option<String> {
    let version = of.version;
    let Some(state) = state.bookings.get(&of.booking) else {
        return Some(format!("{of} is unknown to state"));
    };
    // A forgotten version counts as answered here; the checker "none lost" finds out whether it was.
    let is_forgotten = !state.waits(version) && state.answered.may_have_forgotten(version);
    if state.is_answered(version) || is_forgotten {
        return None;
    }
    let Some(parked) = state.parked(version) else {
        return Some(format!("{of} is neither answered nor parked"));
    };
    let is_the_valid_one = parked.place == ParkingPlace::Retry && only_record == Some(parked.generation);
    is_the_valid_one.then(|| format!("{of} is the valid parked record"))
}
