//! The limits the processor works within; each is a key of `config/default.toml` of the same name.

use crate::limits::hours::Hours;
use crate::limits::{BreakerLimits, Policy, RejectionStormLimits, SharedCounterLimits};
use crate::time::Timestamp;

/// What HealthFlow offers against duplicates (`healthflow.duplicate_guard`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardMode {
    /// It honours `Idempotency-Key`: a create in doubt is repeated at once under the same key.
    IdempotencyKey,
    /// Its `external_id` is unique in a practice: a create in doubt is repeated at once, and what exists already is adopted.
    UniqueReference,
    /// It can be searched by `external_id`: a create in doubt is looked up once a late write would be visible to a search.
    Reference,
    /// It offers none of these: a create in doubt is looked up by what it asked for, and an ambiguous result goes to review.
    Search,
}

/// Everything the processor needs to know about its surroundings. All durations are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Partitions of every topic; the share of the rate limit is owned ÷ this.
    pub partition_count: u32,
    /// `healthflow.duplicate_guard`.
    pub guard: GuardMode,
    /// `healthflow.supports_if_match`: whether a PUT with `If-Match` is carried out only while that revision is the current one.
    pub supports_if_match: bool,
    /// `healthflow.updates_without_content`: whether a PUT answered 204 was carried out.
    pub updates_without_content: bool,
    /// `healthflow.key_retention_ms`: how long HealthFlow remembers an idempotency key.
    pub key_retention_ms: i64,
    /// `healthflow.request_life_ms`: R, connect + send + answer.
    pub request_life_ms: i64,
    /// `healthflow.late_landing_ms`: how long after R a request may still be carried out.
    pub late_landing_ms: i64,
    /// `healthflow.search_lag_ms`: how long after that a search may miss it.
    pub search_lag_ms: i64,
    /// `healthflow.search_pages_max`: pages that one pass of a search for a patient may have.
    pub search_pages_max: usize,
    /// `healthflow.requests_per_second`: the account's limit, for the whole fleet.
    pub requests_per_second: f64,
    /// `healthflow.limits`: further limits, of the account or of each practice.
    pub limits: Vec<Policy>,
    /// `limits.reserve_for_live`: the part of every limit with a window longer than a minute that only live bookings may use.
    pub reserve_for_live: f64,
    /// The section `[limits]`; none: each worker has the part of its partitions.
    pub shared_counter: Option<SharedCounterLimits>,
    /// `healthflow.unauthorised_pause_ms`: how long nothing is sent after 401 or 403.
    pub unauthorised_pause_ms: i64,
    /// `healthflow.throttled_pause_ms`: how long nothing is sent after a 429 without `Retry-After`.
    pub throttled_pause_ms: i64,
    /// `healthflow.pause_max_ms`: the longest pause of all calls after one 429 or 503, whatever its `Retry-After` says.
    pub pause_max_ms: i64,
    /// The section `[breaker]`.
    pub breaker: BreakerLimits,
    /// The section `[rejection_storm]`.
    pub rejection_storm: RejectionStormLimits,
    /// `worker.lease_ms`.
    pub lease_ms: i64,
    /// `worker.lease_margin_ms`.
    pub lease_margin_ms: i64,
    /// `worker.max_in_flight`: calls at the same time.
    pub max_in_flight: usize,
    /// `worker.in_flight_slow_ratio`: so many times the usual latency lets fewer calls be under way; 0: none does.
    pub in_flight_slow_ratio: f64,
    /// `worker.ready_queue_max`: bookings with an intent written ahead.
    pub ready_queue_max: usize,
    /// `worker.again_share`: the part of calls, permits and places for what failed before.
    pub again_share: f64,
    /// `worker.history_share`: the part of the permits, and of places ahead, for history while anybody waits.
    pub history_share: f64,
    /// `worker.history_hours`: outside these history has only what nobody else wants; none: it has its share all day.
    pub history_hours: Option<Hours>,
    /// `worker.commit_interval_ms`.
    pub commit_interval_ms: i64,
    /// `worker.transactions_per_second_max`: for all tasks of the worker together.
    pub transactions_per_second_max: f64,
    /// `worker.read_ahead_bytes`: per lane and task.
    pub read_ahead_bytes: usize,
    /// `worker.overdue_after_ms`: after so long without its first try a live booking goes behind fresh ones; 0: never.
    pub overdue_after_ms: i64,
    /// `worker.promise_ms`: a live booking is confirmed within this, or a notice says that it is not; 0: no such notices.
    pub promise_ms: i64,
    /// `worker.notices_max`: notices that one commit carries.
    pub notices_max: usize,
    /// `worker.memory_wait_ms`: how long a booking waits in memory for another before it is parked.
    pub memory_wait_ms: i64,
    /// `worker.release_drain_ms`.
    pub release_drain_ms: i64,
    /// `worker.reacquire_pause_ms`: two heartbeats, before a task lost by a commit is acquired again.
    pub reacquire_pause_ms: i64,
    /// `worker.crash_suspect_after`: unclean ends after which a booking with an open write runs alone (rule K6).
    pub crash_suspect_after: u32,
    /// `worker.crash_review_after`: unclean ends while it ran alone after which it goes to a person.
    pub crash_review_after: u32,
    /// `worker.keep_days`: how long a booking is remembered after its last visit and answer; 0: for ever (rule K9).
    pub keep_days: u32,
    /// Most bytes of the answered versions of one booking in its state.
    pub answered_bytes_max: usize,
    /// `retry.backoff_min_ms`.
    pub retry_backoff_min_ms: i64,
    /// `retry.backoff_max_ms`.
    pub retry_backoff_max_ms: i64,
    /// `retry.max_age_ms`.
    pub retry_max_age_ms: i64,
    /// `retry.visit_grace_ms`.
    pub retry_visit_grace_ms: i64,
    /// `retry.slot_wait_max_ms`: how long a booking waits for a slot that another one will free.
    pub slot_wait_max_ms: i64,
    /// `retry.repark_after_ms`: after so long a record that keeps its lane from moving is written again at the tail.
    pub retry_repark_after_ms: i64,
    /// `retry.waiting_room_max`: records per task.
    pub waiting_room_max: usize,
    /// `review.contents_max`: bookings that wait for people and are kept in memory with their content, per task.
    pub review_contents_max: usize,
    /// `review.look_again_ms`: how often HealthFlow is asked whether a question has answered itself.
    pub review_look_again_ms: i64,
    /// `review.urgent_before_ms`: so long before its visit a question is urgent.
    pub review_urgent_before_ms: i64,
    /// The planted defect, if there is one.
    #[cfg(feature = "planted-defects")]
    pub defect: Option<crate::defects::Defect>,
}

impl GuardMode {
    /// Whether HealthFlow can be searched by our reference (`external_id`).
    pub const fn has_references(self) -> bool {
        match self {
            GuardMode::IdempotencyKey | GuardMode::UniqueReference | GuardMode::Reference => true,
            GuardMode::Search => false,
        }
    }
}

impl Settings {
    /// Q: from the end of a request until a late write would be visible to a search.
    pub const fn settle_ms(&self) -> i64 {
        self.request_life_ms + self.late_landing_ms + self.search_lag_ms
    }

    /// After how long without a result it is clear that a live booking will not be confirmed in time; none: nobody is told.
    pub fn late_after_ms(&self) -> Option<i64> {
        let overdue_after_ms = if self.overdue_after_ms > 0 { self.overdue_after_ms } else { i64::MAX };
        (self.promise_ms > 0).then(|| self.promise_ms.min(overdue_after_ms))
    }

    /// How many of `most` calls or places are for what failed before.
    pub fn again_part_of(&self, most: usize) -> usize {
        ((most as f64 * self.again_share) as usize).max(1)
    }

    /// After how many calls in a row for bookings never tried before one that failed before has its turn.
    pub fn firsts_in_a_row(&self) -> u32 {
        others_in_a_row(self.again_share)
    }

    /// The part of the calls, and of places ahead, that history has at `now` while anybody waits.
    pub fn history_share_at(&self, now: Timestamp) -> f64 {
        let is_its_time = self.history_hours.as_ref().is_none_or(|hours| hours.has(now));
        if is_its_time { self.history_share } else { 0.0 }
    }

    /// After how many calls in a row for those who wait one for history has its turn, where it has a share.
    pub fn others_before_history(&self) -> u32 {
        others_in_a_row(self.history_share)
    }

    /// How many of `most` calls or places history may have: who waits always finds some free.
    pub fn history_most(&self, most: usize) -> usize {
        (most - self.again_part_of(most).min(most)).max(1)
    }

    /// The longest possible wait of a parked version: for its next attempt, or for a doubt of an earlier owner.
    pub fn longest_wait_ms(&self) -> i64 {
        self.retry_backoff_max_ms.max(self.lease_ms + self.settle_ms())
    }
}

/// How many others have a call before one of those that have this part of the calls.
fn others_in_a_row(part: f64) -> u32 {
    ((1.0 / part.max(0.001)).round() as u32).saturating_sub(1).max(1)
}

#[cfg(any(test, feature = "for-tests"))]
impl Settings {
    /// The defaults of `config/default.toml`, for one partition; a test of the configuration compares the two.
    pub const fn for_tests() -> Self {
        Settings {
            partition_count: 1,
            guard: GuardMode::Reference,
            supports_if_match: false,
            updates_without_content: false,
            key_retention_ms: 86_400_000,
            request_life_ms: 10_000,
            late_landing_ms: 60_000,
            search_lag_ms: 5_000,
            search_pages_max: 20,
            requests_per_second: 100.0,
            limits: Vec::new(),
            reserve_for_live: 0.2,
            shared_counter: None,
            unauthorised_pause_ms: 30_000,
            throttled_pause_ms: 1_000,
            pause_max_ms: 30_000,
            breaker: BreakerLimits::for_tests(),
            rejection_storm: RejectionStormLimits::for_tests(),
            lease_ms: 5_000,
            lease_margin_ms: 500,
            max_in_flight: 64,
            in_flight_slow_ratio: 3.0,
            ready_queue_max: 10_000,
            again_share: 0.25,
            history_share: 0.05,
            history_hours: None,
            commit_interval_ms: 100,
            transactions_per_second_max: 450.0,
            read_ahead_bytes: 16 << 20,
            overdue_after_ms: 25_000,
            promise_ms: 30_000,
            notices_max: 200,
            memory_wait_ms: 30_000,
            release_drain_ms: 5_000,
            reacquire_pause_ms: 6_000,
            crash_suspect_after: 3,
            crash_review_after: 3,
            keep_days: 400,
            answered_bytes_max: 4_096,
            retry_backoff_min_ms: 2_000,
            retry_backoff_max_ms: 600_000,
            retry_max_age_ms: 72 * 3_600_000,
            retry_visit_grace_ms: 30 * 60_000,
            slot_wait_max_ms: 30 * 60_000,
            retry_repark_after_ms: 300_000,
            waiting_room_max: 10_000,
            review_contents_max: 10_000,
            review_look_again_ms: 86_400_000,
            review_urgent_before_ms: 86_400_000,
            #[cfg(feature = "planted-defects")]
            defect: None,
        }
    }
}
