//! What HealthFlow has against single requests, whoever else it serves well: a word that a firewall dislikes, a chart whose
//! look-up never ends. One such booking may cost the others nothing.

use super::endpoints::error;
use super::moods::Moods;
use super::route::{NoRoute, Route};
use super::{Ending, WireRequest};

/// How long (milliseconds) a look-up that is never answered stays open: longer than any caller waits.
const NEVER_MS: u64 = 600_000;

/// How the exchange ends for a request that is singled out, and after how long (milliseconds) at least.
pub(super) fn ending(
    moods: &Moods,
    route: &Result<Route, NoRoute>,
    request: &WireRequest,
) -> Option<(Ending, u64)> {
    let is_read = route.as_ref().is_ok_and(|route| !route.is_write());
    if is_read && holds(request, &moods.unanswered_text) {
        Some((Ending::Dropped, NEVER_MS))
    } else if holds(request, &moods.forbidden_text) {
        Some((Ending::Reply(error(403, "FORBIDDEN")), 0))
    } else {
        None
    }
}

fn holds(request: &WireRequest, text: &str) -> bool {
    let within =
        |bytes: &[u8]| !text.is_empty() && bytes.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    within(request.path_and_query.as_bytes()) || request.body.as_deref().is_some_and(within)
}
