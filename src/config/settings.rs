//! What of the configuration the processor works within.

use super::{Config, DuplicateGuard, Limit, hours, signed};
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::ANSWERED_BYTES_MAX;

impl Config {
    /// The processor's settings if every topic has `partition_count` partitions.
    pub fn processor_settings(&self, partition_count: u32) -> Settings {
        let Config { healthflow, limits, breaker, rejection_storm, worker, retry, review, .. } = self;
        Settings {
            partition_count,
            guard: match healthflow.duplicate_guard {
                DuplicateGuard::IdempotencyKey => GuardMode::IdempotencyKey,
                DuplicateGuard::UniqueReference => GuardMode::UniqueReference,
                DuplicateGuard::Reference => GuardMode::Reference,
                DuplicateGuard::Search => GuardMode::Search,
            },
            supports_if_match: healthflow.supports_if_match,
            updates_without_content: healthflow.updates_without_content,
            key_retention_ms: signed(healthflow.key_retention_ms),
            request_life_ms: signed(healthflow.request_life_ms),
            late_landing_ms: signed(healthflow.late_landing_ms),
            search_lag_ms: signed(healthflow.search_lag_ms),
            search_pages_max: healthflow.search_pages_max as usize,
            requests_per_second: healthflow.requests_per_second,
            limits: healthflow.limits.iter().map(Limit::policy).collect(),
            reserve_for_live: limits.reserve_for_live,
            shared_counter: limits.counter(),
            unauthorised_pause_ms: signed(healthflow.unauthorised_pause_ms),
            throttled_pause_ms: signed(healthflow.throttled_pause_ms),
            pause_max_ms: signed(healthflow.pause_max_ms),
            breaker: breaker.limits(),
            rejection_storm: rejection_storm.limits(),
            lease_ms: signed(worker.lease_ms),
            lease_margin_ms: signed(worker.lease_margin_ms),
            max_in_flight: worker.max_in_flight as usize,
            in_flight_slow_ratio: worker.in_flight_slow_ratio,
            ready_queue_max: worker.ready_queue_max as usize,
            again_share: worker.again_share,
            history_share: worker.history_share,
            // A line of another form was refused at the start.
            history_hours: hours::read(&worker.history_hours).unwrap_or_default(),
            commit_interval_ms: signed(worker.commit_interval_ms),
            transactions_per_second_max: worker.transactions_per_second_max,
            read_ahead_bytes: worker.read_ahead_bytes as usize,
            overdue_after_ms: signed(worker.overdue_after_ms),
            promise_ms: signed(worker.promise_ms),
            notices_max: worker.notices_max as usize,
            memory_wait_ms: signed(worker.memory_wait_ms),
            release_drain_ms: signed(worker.release_drain_ms),
            reacquire_pause_ms: signed(worker.reacquire_pause_ms),
            crash_suspect_after: worker.crash_suspect_after,
            crash_review_after: worker.crash_review_after,
            answered_bytes_max: ANSWERED_BYTES_MAX,
            keep_days: worker.keep_days,
            retry_backoff_min_ms: signed(retry.backoff_min_ms),
            retry_backoff_max_ms: signed(retry.backoff_max_ms),
            retry_max_age_ms: signed(retry.max_age_ms),
            retry_visit_grace_ms: signed(retry.visit_grace_ms),
            slot_wait_max_ms: signed(retry.slot_wait_max_ms),
            retry_repark_after_ms: signed(retry.repark_after_ms),
            waiting_room_max: retry.waiting_room_max as usize,
            review_contents_max: review.contents_max as usize,
            review_look_again_ms: signed(review.look_again_ms),
            review_urgent_before_ms: signed(review.urgent_before_ms),
            #[cfg(feature = "planted-defects")]
            defect: None,
        }
    }
}
