//! No offset is committed past a record that is neither answered nor parked where state says (rule K3), and every
//! record that state calls parked is still ahead of the retry lane's offset (rule K4).

use std::collections::BTreeMap;

use healthflow_core::booking::Booking;
use healthflow_core::event::{Arrival, Decision, RetryEntry};
use healthflow_core::state::{Hold, ParkingPlace};
use healthflow_core::topics::{Lane, Position};
use healthflow_proof::promises::committed_offsets;

use crate::kafka::Partition;

/// A position in a topic that is no more says nothing of the one that has its name.
pub fn broken(partition: &Partition, epoch: u64, before: &BTreeMap<Lane, i64>) -> Vec<String> {
    let mut broken = Vec::new();
    for lane in Lane::ALL.into_iter().filter(|lane| partition.reads_this(epoch, *lane)) {
        let (from, to) = (before.get(&lane).copied().unwrap_or(0), partition.committed(lane));
        let records = partition.log(lane).from(from).iter().take_while(|(offset, _)| *offset < to);
        let passed =
            records.map(|(offset, arrival)| (*offset, left_behind(partition, lane.at(*offset), arrival)));
        broken.extend(committed_offsets::committed_offsets(lane, (from, to), passed));
    }
    broken
}

/// Whether a copy of a redrive lies where the lane goes on: one of them is enough.
fn has_copy(partition: &Partition, redrive: &RetryEntry) -> bool {
    partition.retry.from(partition.committed(Lane::Retry)).iter().any(|(_, arrival)| match arrival {
        Arrival::Retry(entry) => entry.booking == redrive.booking && entry.generation == redrive.generation,
        _ => false,
    })
}

/// Whether a copy of a version lies where the lane goes on. Of two copies the later one is worked on if the earlier one
/// waited for its schema.
fn has_later_copy(partition: &Partition, of: &Booking) -> bool {
    let ahead = partition.requested.from(partition.committed(Lane::Requested));
    ahead.iter().any(|(_, arrival)| {
        matches!(arrival, Arrival::Requested(copy) if copy.key == of.key && copy.version == of.version)
    })
}

/// A decision is passed once the question that it names is decided, or it is refused.
fn not_carried_out(partition: &Partition, decision: &Decision) -> Option<String> {
    let state = partition.state.bookings.get(&decision.key)?;
    let parked = state.parked(decision.version)?;
    let is_asked = parked.place == ParkingPlace::Review(Hold::Question);
    let is_open = is_asked && parked.generation == decision.generation;
    let is_answered = state.last_decision.as_ref() == Some(&decision.id)
        || partition.refused_decisions.contains(&decision.id);
    (is_open && !is_answered).then(|| "was passed over".to_owned())
}

fn left_behind(partition: &Partition, position: Position, arrival: &Arrival) -> Option<String> {
    let (version, only_record) = match arrival {
        _ if partition.unread.contains(&(position.lane, position.offset)) => return None,
        Arrival::Requested(booking) if has_later_copy(partition, booking) => return None,
        Arrival::Requested(booking) => (booking.version_key(), None),
        Arrival::Retry(entry) => {
            let only_record = (!has_copy(partition, entry)).then_some(entry.generation);
            (entry.booking.version_key(), only_record)
        }
        Arrival::Decided(decision) => return not_carried_out(partition, decision),
        Arrival::Misrouted(_) if partition.forwarded.contains(&position.offset) => return None,
        Arrival::Misrouted(_) => return Some("was not sent on to its own partition".to_owned()),
        Arrival::Unusable(unusable) => (unusable.identity.as_ref()?.version_key(), None),
    };
    committed_offsets::left_behind(&partition.state, &version, only_record)
}
