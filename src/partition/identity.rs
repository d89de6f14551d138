//! When two tasks are the same: if they will do the same from now on, whatever happens. An exhaustive search asks for
//! that; every field is named here, so that a new one cannot be forgotten.

use std::hash::{Hash, Hasher};

use crate::partition::commit::Committing;
use crate::partition::task::{Pending, Task};
use crate::unordered::hash_entries;

impl Hash for Task {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Task {
            partition,
            incarnation,
            fenced_at,
            drain_until,
            lease_from,
            lanes,
            state,
            jobs,
            arrivals,
            ready,
            awaits_commit,
            places,
            patients_busy,
            patients_awaited,
            timers,
            waiting_room,
            nameless,
            newcomers,
            slots,
            requested_end,
            writes,
            creations,
            alone,
            pending,
            committing,
            sequence,
            committed_sequence,
            commit_started_at,
            renewal_wanted,
            positions_written_at,
            topic_ids,
            lost,
            reading,
        } = self;
        (partition, incarnation, fenced_at, drain_until, lease_from).hash(hasher);
        (sequence, committed_sequence, commit_started_at, renewal_wanted, positions_written_at).hash(hasher);
        (arrivals, ready, awaits_commit, places, timers, nameless, alone, requested_end).hash(hasher);
        (topic_ids, lost, reading).hash(hasher);
        hash_entries(lanes, hasher);
        hash_entries(jobs, hasher);
        hash_entries(patients_busy, hasher);
        hash_entries(patients_awaited, hasher);
        hash_entries(writes, hasher);
        hash_entries(creations, hasher);
        (state, waiting_room, newcomers, slots, pending, committing).hash(hasher);
    }
}

impl Hash for Pending {
    /// What will be told decides nothing.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Pending { records, bookings, patients, facts: _ } = self;
        (records, bookings, patients).hash(hasher);
    }
}

impl Hash for Committing {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Committing { sequence, offsets, facts: _, records: _ } = self;
        (sequence, offsets).hash(hasher);
    }
}
