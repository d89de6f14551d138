//! When two processors are the same: if they will do the same from now on, whatever happens, given the same settings.

use std::hash::{Hash, Hasher};

use crate::processor::Processor;
use crate::unordered::hash_entries;

impl Hash for Processor {
    /// Facts decide nothing, nor does what was already handed out to be done.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Processor {
            shared,
            began_at,
            tasks,
            calls,
            account,
            counter,
            // Where commits, intents and slow calls are not limited, these decide nothing; elsewhere nobody compares processors.
            budget: _,
            pace: _,
            concurrency: _,
            in_a_row,
            stands_down,
            effects,
            facts: _,
            next_call,
            next_incarnation,
            next_turn_of,
            stopping,
            stopped,
        } = self;
        debug_assert!(effects.is_empty(), "compared between two turns only");
        (began_at, shared, in_a_row, stands_down).hash(hasher);
        (tasks, account, counter, next_call, next_incarnation, next_turn_of, stopping, stopped).hash(hasher);
        hash_entries(calls, hasher);
    }
}
