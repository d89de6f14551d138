//! When two tasks are the same: if they will do the same from now on, whatever happens. An exhaustive search asks for
//! that; every field is named here, so that a new one cannot be forgotten.

use std::hash::{Hash, Hasher};

use crate::partition::task::Task;
use crate::unordered::hash_entries;

impl Hash for Task {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Task {
            partition,
            incarnation,
            drain_until,
            progress,
            state,
            jobs,
            arrivals,
            ready,
            places,
            patients_busy,
            patients_awaited,
            timers,
            waiting_room,
            newcomers,
            slots,
            intents,
            alone,
            outbox,
            lost,
            reading,
        } = self;
        (partition, incarnation, drain_until).hash(hasher);
        (intents, outbox, progress).hash(hasher);
        (arrivals, ready, places, timers, alone).hash(hasher);
        (lost, reading).hash(hasher);
        hash_entries(jobs, hasher);
        hash_entries(patients_busy, hasher);
        hash_entries(patients_awaited, hasher);
        (state, waiting_room, newcomers, slots).hash(hasher);
    }
}
