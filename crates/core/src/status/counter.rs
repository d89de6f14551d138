//! The shared counter, for the status page: whether this worker has to do without it, and why.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How the worker stands with the shared counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterStatus {
    /// Whether the worker goes on alone, with `limits.fallback_share` of the share of its partitions.
    pub away: bool,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why: `no_answer`, `unreachable` or `refused`.
    pub why: Option<Box<str>>,
}
