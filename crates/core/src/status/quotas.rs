//! The limits with long windows, for the status page: what is left of them, and until when that lasts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{QuotaView, Scope};
use crate::status::ControlScope;
use crate::time::Timestamp;

/// A limit whose window is longer than a minute, as far as this worker may use it. Of a limit that each practice has, that of the
/// practice that comes to its end first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuotaStatus {
    /// Its name in `healthflow.limits`.
    pub limit: Arc<str>,
    /// Whose it is.
    pub scope: ControlScope,
    /// Calls that this worker may make in the window: the part of its partitions.
    pub calls: u32,
    /// How many of them are left.
    pub left: u32,
    /// Of the calls of the window, how many only live bookings may use.
    pub reserve: u32,
    /// When the window ends; of a rolling one, when all that was used until now has come back.
    pub window_ends_at: Timestamp,
    /// When backfill will have used all that it may, as fast as it is used lately; none if that is not before the window ends.
    pub backfill_ends_at: Option<Timestamp>,
    /// When nothing will be left for live bookings either; none if that is not before the window ends.
    pub runs_out_at: Option<Timestamp>,
}

impl From<QuotaView> for QuotaStatus {
    fn from(view: QuotaView) -> Self {
        QuotaStatus {
            limit: view.limit.as_ref().into(),
            scope: match view.scope {
                Scope::Account => ControlScope::Account,
                Scope::Practice => ControlScope::Practice,
            },
            calls: view.calls,
            left: view.left,
            reserve: view.reserve,
            window_ends_at: view.window_ends_at,
            backfill_ends_at: view.backfill_ends_at,
            runs_out_at: view.runs_out_at,
        }
    }
}
