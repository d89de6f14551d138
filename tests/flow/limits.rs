//! The limits that a desk works within, unless a test is about one of them.

use healthflow_sync::settings::{GuardMode, Settings};
use healthflow_sync::state::ANSWERED_BYTES_MAX;

pub const LEASE_MS: i64 = 5_000;
pub const LAG_MS: i64 = 5_000;
/// Pages that one pass of a search may have.
pub const SEARCH_PAGES_MAX: usize = 3;

pub fn settings(guard: GuardMode) -> Settings {
    Settings {
        partition_count: 1,
        guard,
        supports_if_match: false,
        updates_without_content: false,
        key_retention_ms: 86_400_000,
        request_life_ms: 10_000,
        late_landing_ms: 60_000,
        search_lag_ms: LAG_MS,
        search_pages_max: SEARCH_PAGES_MAX,
        requests_per_second: 1_000.0,
        unauthorised_pause_ms: 30_000,
        throttled_pause_ms: 1_000,
        pause_max_ms: 30_000,
        lease_ms: LEASE_MS,
        lease_margin_ms: 500,
        max_in_flight: 16,
        ready_queue_max: 64,
        again_share: 0.25,
        commit_interval_ms: 100,
        transactions_per_second_max: 100.0,
        read_ahead_bytes: 1 << 20,
        memory_wait_ms: 30_000,
        release_drain_ms: 5_000,
        reacquire_pause_ms: 6_000,
        crash_suspect_after: 2,
        crash_review_after: 3,
        answered_bytes_max: ANSWERED_BYTES_MAX,
        keep_days: 400,
        retry_backoff_min_ms: 2_000,
        retry_backoff_max_ms: 600_000,
        retry_max_age_ms: 72 * 3_600_000,
        retry_visit_grace_ms: 30 * 60_000,
        slot_wait_max_ms: 1_800_000,
        waiting_room_max: 1_000,
        held_wait_max_ms: 21_600_000,
        held_room_max: 1_000,
        #[cfg(feature = "planted-defects")]
        defect: None,
    }
}
