//! When two tasks are the same: if they will do the same from now on, whatever happens. An exhaustive search asks for
//! that; every field is named here, so that a new one cannot be forgotten.

use std::hash::{Hash, Hasher};

use crate::partition::task::Task;

impl Hash for Task {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Task {
            partition,
            incarnation,
            drain,
            progress,
            ledger,
            jobs,
            waiting_room,
            recent_creations,
            slots,
            intents,
            alone,
            outbox,
            held,
            lost,
            reading,
            // Only the log depends on it.
            misrouted_keys: _,
            notices,
            outages,
            uncounted,
        } = self;
        (partition, incarnation, drain).hash(hasher);
        (jobs, intents, outbox, progress).hash(hasher);
        (alone, held, lost, reading, notices, outages, uncounted).hash(hasher);
        (ledger, waiting_room, recent_creations, slots).hash(hasher);
    }
}
