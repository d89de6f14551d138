//! A limit as the operator states it: whose, which calls, how many, in which window.

use crate::healthflow::Operation;
use crate::limits::window::Window;

/// A window that is longer than this is long, in milliseconds: a new owner does not wait until it is over.
const LONG_MS: i64 = 60_000;

/// One limit; of several the tightest counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name, in logs and on the status page.
    pub name: Box<str>,
    /// Whose it is.
    pub scope: Scope,
    /// Which calls count.
    pub operations: Operations,
    /// How many of them, at least one.
    pub calls: u32,
    /// In which window.
    pub window: Window,
    /// How many more a rolling window may see, so that as many may come at once.
    pub burst: u32,
}

/// Whose a limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The account's: all workers share it.
    Account,
    /// Each practice has it for itself. A practice lives in one partition, so one worker counts it.
    Practice,
}

/// A set of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations(u8);

impl Operations {
    /// Every call.
    pub const ALL: Operations = Operations((1 << Operation::ALL.len()) - 1);

    /// None yet.
    pub const NONE: Operations = Operations(0);

    /// These and `operation`.
    #[must_use]
    pub const fn with(self, operation: Operation) -> Self {
        Operations(self.0 | 1 << operation as u8)
    }

    /// These and all that `name` stands for: `all`, `reads`, `writes`, or one operation; none if it stands for nothing.
    pub fn with_named(self, name: &str) -> Option<Self> {
        let named = |operation: &Operation| match name {
            "all" => true,
            "reads" => !operation.is_write(),
            "writes" => operation.is_write(),
            _ => operation.code() == name,
        };
        let more = Operation::ALL.into_iter().filter(named).fold(Operations::NONE, Operations::with);
        (more != Operations::NONE).then_some(Operations(self.0 | more.0))
    }

    /// Whether `operation` is one of them.
    pub const fn has(self, operation: Operation) -> bool {
        self.0 & 1 << operation as u8 != 0
    }
}

impl Policy {
    /// Whether what was used of it must survive whoever used it: its window is longer than a minute.
    pub fn is_long(&self) -> bool {
        self.window.is_longer_than(LONG_MS)
    }

    /// How many of its calls a booking may need: two searches, the patient's creation, the appointment's.
    pub fn calls_of_a_booking(&self) -> u32 {
        let all = [
            Operation::SearchPatients,
            Operation::SearchPatients,
            Operation::CreatePatient,
            Operation::CreateAppointment,
        ];
        all.into_iter().filter(|operation| self.operations.has(*operation)).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_operations() {
        let named = |name: &str| Operations::NONE.with_named(name);
        assert_eq!(named("all"), Some(Operations::ALL));
        assert_eq!(named("delete_patient"), None);
        for operation in Operation::ALL {
            let is_in = |name: &str| named(name).is_some_and(|set| set.has(operation));
            assert_eq!(is_in("writes"), operation.is_write(), "{operation:?}");
            assert_eq!(is_in("reads"), !operation.is_write(), "{operation:?}");
            assert_eq!(named(operation.code()), Some(Operations::NONE.with(operation)));
        }
    }
}
