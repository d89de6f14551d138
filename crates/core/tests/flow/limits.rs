//! The limits that a desk works within, unless a test is about one of them.

use healthflow_core::limits::BreakerLimits;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::time::DAY_MS;

pub const LEASE_MS: i64 = 5_000;
pub const LAG_MS: i64 = 5_000;
/// Pages that one pass of a search may have.
pub const SEARCH_PAGES_MAX: usize = 3;

pub fn settings(guard: GuardMode) -> Settings {
    Settings {
        guard,
        search_lag_ms: LAG_MS,
        search_pages_max: SEARCH_PAGES_MAX,
        requests_per_second: 1_000.0,
        lease_ms: LEASE_MS,
        max_in_flight: 16,
        ready_queue_max: 64,
        crash_suspect_after: 2,
        waiting_room_max: 1_000,
        // What one test fails on purpose is no outage.
        breaker: BreakerLimits::off(),
        // What a test parks comes back only as it says.
        retry_repark_after_ms: DAY_MS,
        // Bookings were asked for long ago, and are not late for that.
        overdue_after_ms: 0,
        promise_ms: 0,
        ..Settings::for_tests()
    }
}
