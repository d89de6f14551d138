//! Patient data that cannot be printed by accident: a log line with a patient's name in it is itself a health record.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that identifies a patient. `Debug` prints dots and there is no `Display`; code that needs the value calls
/// [`Private::reveal`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private<T>(T);

impl<T> Private<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Private(value)
    }

    /// The value itself, for matching, for HealthFlow and for topics; never for a log, a metric, a header or an error.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Private<T> {
    fn from(value: T) -> Self {
        Private(value)
    }
}

impl From<&str> for Private<String> {
    fn from(value: &str) -> Self {
        Private(value.to_owned())
    }
}

impl<T> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}
