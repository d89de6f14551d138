//! What a task remembers of limits whose windows are longer than a minute: how many calls of each it may have made. Without it a
//! restart or a take-over would begin to count at zero in the middle of a window, and the account would be over its limit.

use std::sync::Arc;

use crate::booking::PracticeId;
use crate::time::Timestamp;

/// Whose part of a limit is counted: a practice's own, or the task's part of the account's.
pub type QuotaOwner = Option<PracticeId>;

/// The calls of one limit that were made, or may have been, in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuotaCount {
    /// The limit's name.
    pub limit: Arc<str>,
    /// When the stretch begins: the window itself, or a part of a rolling one.
    pub begin: Timestamp,
    /// How many calls may have been made in it. Never fewer than were.
    pub calls: u32,
}
