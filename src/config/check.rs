//! Bounds of keys, and keys that contradict each other. Without it a lease shorter than its margin would be a worker that
//! runs and never sends.

use super::{Breaker, Config, RejectionStorm, Retry, Worker, connecting, hours, limits, shared_counter};
use crate::kafka_admin::topics::{FAILED_RETENTION_MS, RETENTION_MS};
use healthflow_core::event::size::RECORD_BYTES_RANGE;
use healthflow_core::time::DAY_MS;

/// A key and the rule it breaks.
pub(super) struct Fault {
    pub(super) key: &'static str,
    pub(super) rule: String,
}

/// The longest duration: ten years.
const DURATION_MAX_MS: u64 = 10 * 366 * 24 * 60 * 60 * 1000;
/// Shorter, and looks would crowd out what they serve.
const LOOK_AGAIN_MIN_MS: u64 = 60_000;
/// Bounds of `kafka.transaction_timeout_ms` (rule T4 wants 10 to 15 s; a slower or busier cluster may need more).
const TRANSACTION_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 5_000..=60_000;

/// Returns the first rule that is broken.
pub(super) fn check(config: &Config) -> Result<(), Fault> {
    texts(config)?;
    connecting::check(config)?;
    shared_counter::check(config)?;
    bounds(config)?;
    healthflow_limits(config)?;
    pauses(config)?;
    circuit_breaker(&config.breaker)?;
    rejection_storm(&config.rejection_storm)?;
    notices(config)?;
    pairs(config)?;
    retries(&config.retry)
}

fn texts(config: &Config) -> Result<(), Fault> {
    let Config { kafka, schema_registry, healthflow, log, .. } = config;
    for (key, text) in [
        ("kafka.brokers", &kafka.brokers),
        ("kafka.group_id", &kafka.group_id),
        ("kafka.application", &kafka.application),
        ("log.level", &log.level),
    ] {
        holds(!text.trim().is_empty(), key, "must not be empty")?;
    }
    for (key, url) in
        [("schema_registry.url", &schema_registry.url), ("healthflow.base_url", &healthflow.base_url)]
    {
        let is_url = url.starts_with("http://") || url.starts_with("https://");
        holds(is_url, key, "must begin with http:// or https://")?;
        holds(!url.contains('@'), key, "must not carry a user or password; secrets come from files")?;
    }
    let is_filter = crate::metrics::log::is_level(&log.level);
    holds(
        is_filter,
        "log.level",
        "must be error, warn, info, debug or trace, or a list like info,librdkafka=warn",
    )
}

fn bounds(config: &Config) -> Result<(), Fault> {
    let Config { kafka, schema_registry, healthflow, worker, retry, review, admin, .. } = config;
    for (key, value) in [
        ("kafka.session_timeout_ms", kafka.session_timeout_ms),
        ("kafka.heartbeat_interval_ms", kafka.heartbeat_interval_ms),
        ("kafka.transaction_timeout_ms", kafka.transaction_timeout_ms),
        ("kafka.restore_no_progress_ms", kafka.restore_no_progress_ms),
        ("schema_registry.timeout_ms", schema_registry.timeout_ms),
        ("schema_registry.unknown_schema_wait_ms", schema_registry.unknown_schema_wait_ms),
        ("healthflow.key_retention_ms", healthflow.key_retention_ms),
        ("healthflow.connect_timeout_ms", healthflow.connect_timeout_ms),
        ("healthflow.idle_connection_ms", healthflow.idle_connection_ms),
        ("healthflow.request_life_ms", healthflow.request_life_ms),
        ("healthflow.unauthorised_pause_ms", healthflow.unauthorised_pause_ms),
        ("healthflow.throttled_pause_ms", healthflow.throttled_pause_ms),
        ("healthflow.pause_max_ms", healthflow.pause_max_ms),
        ("worker.lease_ms", worker.lease_ms),
        ("worker.lease_margin_ms", worker.lease_margin_ms),
        ("worker.commit_interval_ms", worker.commit_interval_ms),
        ("worker.memory_wait_ms", worker.memory_wait_ms),
        ("worker.release_drain_ms", worker.release_drain_ms),
        ("worker.reacquire_pause_ms", worker.reacquire_pause_ms),
        ("retry.backoff_min_ms", retry.backoff_min_ms),
        ("retry.backoff_max_ms", retry.backoff_max_ms),
        ("retry.max_age_ms", retry.max_age_ms),
        ("retry.visit_grace_ms", retry.visit_grace_ms),
        ("retry.slot_wait_max_ms", retry.slot_wait_max_ms),
        ("review.urgent_before_ms", review.urgent_before_ms),
        ("admin.status_age_max_ms", admin.status_age_max_ms),
    ] {
        holds((1..=DURATION_MAX_MS).contains(&value), key, "must be at least 1 and at most ten years")?;
    }
    for (key, value) in [
        ("healthflow.late_landing_ms", healthflow.late_landing_ms),
        ("healthflow.search_lag_ms", healthflow.search_lag_ms),
        ("worker.clock_skew_max_ms", worker.clock_skew_max_ms),
        ("worker.overdue_after_ms", worker.overdue_after_ms),
    ] {
        holds(value <= DURATION_MAX_MS, key, "must be at most ten years")?;
    }
    let may_look = (LOOK_AGAIN_MIN_MS..=DURATION_MAX_MS).contains(&review.look_again_ms);
    holds(may_look, "review.look_again_ms", "must be at least a minute and at most ten years")?;
    for (key, value) in [
        ("worker.max_in_flight", worker.max_in_flight),
        ("worker.ready_queue_max", worker.ready_queue_max),
        ("worker.read_ahead_bytes", worker.read_ahead_bytes),
        ("retry.waiting_room_max", retry.waiting_room_max),
        ("worker.crash_suspect_after", worker.crash_suspect_after),
        ("worker.crash_review_after", worker.crash_review_after),
    ] {
        holds(value >= 1, key, "must be at least 1")?;
    }
    holds(
        RECORD_BYTES_RANGE.contains(&(kafka.record_bytes_max as usize)),
        "kafka.record_bytes_max",
        "must be at least 262144, so that any result of a booking fits, and at most 67108864, which Kafka's clients read at \
         once",
    )?;
    let key = "healthflow.search_pages_max";
    holds((1..=100).contains(&healthflow.search_pages_max), key, "must be from 1 to 100 pages")?;
    for (key, value) in [
        ("healthflow.requests_per_second", healthflow.requests_per_second),
        ("worker.transactions_per_second_max", worker.transactions_per_second_max),
    ] {
        holds(value.is_finite() && value > 0.0, key, "must be more than 0")?;
    }
    shares(worker)
}

fn shares(worker: &Worker) -> Result<(), Fault> {
    let ratio = worker.in_flight_slow_ratio;
    let is_ratio = ratio == 0.0 || (1.5..=100.0).contains(&ratio);
    holds(is_ratio, "worker.in_flight_slow_ratio", "must be 0, or at least 1.5 and at most 100")?;
    let is_part = (0.01..=0.9).contains(&worker.again_share);
    holds(is_part, "worker.again_share", "must be at least 0.01 and at most 0.9")?;
    let is_part = worker.history_share == 0.0 || (0.01..=0.9).contains(&worker.history_share);
    holds(is_part, "worker.history_share", "must be 0, or at least 0.01 and at most 0.9")?;
    holds(hours::read(&worker.history_hours).is_ok(), "worker.history_hours", hours::FORM)
}

fn healthflow_limits(Config { healthflow, limits: shared, .. }: &Config) -> Result<(), Fault> {
    let key = "healthflow.limits";
    limits::fault(&healthflow.limits).map_or(Ok(()), |rule| holds(false, key, &rule))?;
    let is_part = (0.0..=1.0).contains(&shared.reserve_for_live);
    holds(is_part, "limits.reserve_for_live", "must be at least 0 and at most 1")
}

fn pauses(Config { healthflow, retry, .. }: &Config) -> Result<(), Fault> {
    holds(
        healthflow.throttled_pause_ms <= healthflow.pause_max_ms,
        "healthflow.throttled_pause_ms",
        "must not be more than `healthflow.pause_max_ms`",
    )?;
    holds(
        retry.backoff_max_ms < RETENTION_MS.unsigned_abs(),
        "retry.backoff_max_ms",
        "must be less than the 14 days that `appointments.retry` keeps its records",
    )
}

fn notices(Config { breaker, worker, .. }: &Config) -> Result<(), Fault> {
    for (key, value) in
        [("worker.promise_ms", worker.promise_ms), ("breaker.notice_after_ms", breaker.notice_after_ms)]
    {
        holds(value <= DURATION_MAX_MS, key, "must be at most ten years")?;
    }
    holds(worker.notices_max >= 1, "worker.notices_max", "must be at least 1")
}

fn circuit_breaker(breaker: &Breaker) -> Result<(), Fault> {
    for (key, value) in [
        ("breaker.window_ms", breaker.window_ms),
        ("breaker.slow_ms", breaker.slow_ms),
        ("breaker.probe_min_ms", breaker.probe_min_ms),
        ("breaker.probe_max_ms", breaker.probe_max_ms),
        ("breaker.ramp_ms", breaker.ramp_ms),
    ] {
        holds((1..=DURATION_MAX_MS).contains(&value), key, "must be at least 1 and at most ten years")?;
    }
    for (key, share) in
        [("breaker.failed_share", breaker.failed_share), ("breaker.slow_share", breaker.slow_share)]
    {
        holds((0.05..=1.0).contains(&share), key, "must be at least 0.05 and at most 1")?;
    }
    holds(
        breaker.probe_min_ms <= breaker.probe_max_ms,
        "breaker.probe_min_ms",
        "must not be more than `breaker.probe_max_ms`",
    )
}

fn rejection_storm(storm: &RejectionStorm) -> Result<(), Fault> {
    for (key, value) in [
        ("rejection_storm.window_ms", storm.window_ms),
        ("rejection_storm.believed_after_ms", storm.believed_after_ms),
    ] {
        holds((1..=DURATION_MAX_MS).contains(&value), key, "must be at least 1 and at most ten years")?;
    }
    holds(
        (1_000..=DURATION_MAX_MS).contains(&storm.trial_ms),
        "rejection_storm.trial_ms",
        "must be at least 1000 and at most ten years",
    )?;
    holds((0..=1_000).contains(&storm.calls_min), "rejection_storm.calls_min", "must be at most 1000")?;
    holds(
        (0.5..=1.0).contains(&storm.refused_share),
        "rejection_storm.refused_share",
        "must be at least 0.5 and at most 1",
    )?;
    holds(
        (2..=1_000).contains(&storm.practices_min),
        "rejection_storm.practices_min",
        "must be at least 2 and at most 1000",
    )
}

fn pairs(config: &Config) -> Result<(), Fault> {
    let Config { kafka, healthflow, worker, .. } = config;
    holds(
        worker.lease_margin_ms < worker.lease_ms,
        "worker.lease_margin_ms",
        "must be less than `worker.lease_ms`",
    )?;
    holds(
        worker.commit_interval_ms < worker.lease_ms - worker.lease_margin_ms,
        "worker.commit_interval_ms",
        "must be less than `worker.lease_ms` minus `worker.lease_margin_ms`, or nothing can be sent between two commits",
    )?;
    holds(
        worker.keep_days == 0 || i64::from(worker.keep_days) * DAY_MS > FAILED_RETENTION_MS,
        "worker.keep_days",
        "must be 0, or more than the 90 days that `appointments.failed` keeps its records",
    )?;
    holds(
        healthflow.connect_timeout_ms < healthflow.request_life_ms,
        "healthflow.connect_timeout_ms",
        "must be less than `healthflow.request_life_ms`, of which it is a part",
    )?;
    holds(
        healthflow.request_life_ms + healthflow.late_landing_ms < healthflow.key_retention_ms,
        "healthflow.key_retention_ms",
        "must be more than `healthflow.request_life_ms` + `healthflow.late_landing_ms`, or a create that lands late \
         after its repeat makes a duplicate",
    )?;
    holds(
        TRANSACTION_TIMEOUT_MS.contains(&kafka.transaction_timeout_ms),
        "kafka.transaction_timeout_ms",
        "must be at least 5000, or a busy broker aborts good transactions, and at most 60000, or a worker that was killed \
         holds readers back for longer",
    )?;
    holds(
        kafka.session_timeout_ms >= 3 * kafka.heartbeat_interval_ms,
        "kafka.session_timeout_ms",
        "must be at least three times `kafka.heartbeat_interval_ms`",
    )?;
    holds(
        worker.reacquire_pause_ms >= 2 * kafka.heartbeat_interval_ms,
        "worker.reacquire_pause_ms",
        "must be at least twice `kafka.heartbeat_interval_ms`",
    )?;
    holds(
        worker.ready_queue_max >= worker.max_in_flight,
        "worker.ready_queue_max",
        "must be at least `worker.max_in_flight`, or sending waits for commits",
    )
}

fn retries(retry: &Retry) -> Result<(), Fault> {
    holds(
        (1_000..=DURATION_MAX_MS).contains(&retry.repark_after_ms),
        "retry.repark_after_ms",
        "must be at least 1000 and at most ten years",
    )?;
    holds(
        retry.backoff_min_ms <= retry.backoff_max_ms,
        "retry.backoff_min_ms",
        "must not be more than `retry.backoff_max_ms`",
    )?;
    holds(
        retry.backoff_max_ms <= retry.max_age_ms,
        "retry.backoff_max_ms",
        "must not be more than `retry.max_age_ms`",
    )?;
    holds(
        (retry.backoff_max_ms..=retry.max_age_ms).contains(&retry.slot_wait_max_ms),
        "retry.slot_wait_max_ms",
        "must not be less than `retry.backoff_max_ms`, or the booking that frees the slot has no other try within it, nor more \
         than `retry.max_age_ms`",
    )?;
    holds(
        retry.backoff_max_ms <= retry.visit_grace_ms,
        "retry.visit_grace_ms",
        "must not be less than `retry.backoff_max_ms`, or a visit that begins is given up without another try",
    )?;
    holds(
        retry.max_age_ms + retry.backoff_max_ms < RETENTION_MS.unsigned_abs(),
        "retry.max_age_ms",
        "must, with `retry.backoff_max_ms`, be less than the 14 days that `appointments.retry` keeps its records, or \
         Kafka deletes a booking that still waits",
    )
}

pub(super) fn holds(is_true: bool, key: &'static str, rule: &str) -> Result<(), Fault> {
    if is_true { Ok(()) } else { Err(Fault { key, rule: rule.to_owned() }) }
}
