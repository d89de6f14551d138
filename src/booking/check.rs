//! What cannot be true of a booking. Such a record is dead-lettered with the field and the rule, so that the producer
//! can be put right; it never reaches HealthFlow and never supersedes a version that could be true.

use std::fmt;

/// Why a booking cannot be true: the field and the rule it breaks, never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The field, as the schema names it (`patient.date_of_birth`).
    pub field: &'static str,
    /// The rule, as a clause (`must not lie in the future`).
    pub rule: &'static str,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.rule)
    }
}
