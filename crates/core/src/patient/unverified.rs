//! Whom a creation that was never looked up may have created (guard mode `search`, rule W5).

use serde::{Deserialize, Serialize};

/// Whom such a creation may have created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnverifiedCreation {
    /// Nobody knows any more: several descriptions were sent, or none is on record.
    Anybody,
    /// The person of this fingerprint.
    Person(i64),
}

impl UnverifiedCreation {
    /// The one of an intent with this fingerprint, if it has one.
    pub fn of(person: Option<i64>) -> Self {
        person.map_or(UnverifiedCreation::Anybody, UnverifiedCreation::Person)
    }

    /// Whether it can only be the person of this fingerprint.
    pub fn is_of(self, person: i64) -> bool {
        self == UnverifiedCreation::Person(person)
    }

    /// What both together may have created.
    pub fn beside(self, earlier: Option<Self>) -> Self {
        if earlier.is_none_or(|earlier| earlier == self) { self } else { UnverifiedCreation::Anybody }
    }

    /// As it is stored: the fingerprint, or 0.
    pub const fn code(self) -> i64 {
        match self {
            UnverifiedCreation::Anybody => 0,
            UnverifiedCreation::Person(person) => person,
        }
    }

    /// What is stored as `code`.
    pub const fn of_code(code: i64) -> Self {
        match code {
            0 => UnverifiedCreation::Anybody,
            person => UnverifiedCreation::Person(person),
        }
    }
}
