//! The metrics page. Gauges are set from the worker's last status at each scrape, so that ages keep growing while the worker
//! hangs.

use crate::metrics::{Catalogue, log};
use healthflow_core::limits::breaker::BreakerState;
use healthflow_core::status::{
    BreakerStatus, ControlScope, LaneStatus, Status, StormStatus, TaskPhase, TaskStatus,
};
use healthflow_core::time::Timestamp;

/// The page's `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Schema ids that get a series each: a producer that writes nonsense can invent any number.
const SCHEMAS_MAX: usize = 20;
/// Controls that get a series each.
const CONTROLS_MAX: usize = 50;

impl Catalogue {
    /// All metrics in Prometheus' text format, with the gauges of `status` and ages up to `now`.
    pub fn page(&self, status: &Status, now: Timestamp) -> Result<String, prometheus::Error> {
        let _one_at_a_time = self.scrape.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.set_gauges(status, now);
        let lost = &self.worker.log_lines_lost;
        lost.inc_by(log::lines_lost().saturating_sub(lost.get()));
        self.text()
    }

    fn set_breaker(&self, breaker: Option<&BreakerStatus>, now: Timestamp) {
        let current = breaker.map_or(BreakerState::Closed, |breaker| breaker.state);
        for state in BreakerState::ALL {
            self.breaker.state.with_label_values(&[state.code()]).set(i64::from(state == current));
        }
        let open = breaker.filter(|breaker| breaker.state == BreakerState::Open);
        self.breaker.open_seconds.set(open.map_or(0.0, |breaker| age_seconds(breaker.since, now)));
    }

    fn set_storms(&self, storms: &[StormStatus], now: Timestamp) {
        for scope in ControlScope::ALL {
            let oldest = storms.iter().filter(|storm| storm.scope == scope).map(|storm| storm.since).min();
            let seconds = oldest.map_or(0.0, |since| age_seconds(since, now));
            self.rejection_storm.active.with_label_values(&[scope.code()]).set(seconds);
        }
    }

    fn set_gauges(&self, status: &Status, now: Timestamp) {
        self.calls.in_flight.set(signed(status.in_flight));
        self.calls.in_flight_limit.set(signed(status.in_flight_limit));
        self.calls.allowed.set(status.calls_per_second);
        self.calls.paused_seconds.set(status.paused_until.map_or(0.0, |until| age_seconds(now, until)));
        self.set_breaker(status.breaker.as_ref(), now);
        let away_since = status.counter.as_ref().and_then(|counter| counter.since);
        self.shared_counter.away_seconds.set(away_since.map_or(0.0, |since| age_seconds(since, now)));
        self.set_storms(&status.rejection_storms, now);
        self.calls.stale_token.set(i64::from(status.has_stale_token));
        self.doubts.open.set(signed(status.open_doubts));
        self.doubts.oldest.set(status.oldest_doubt_since.map_or(0.0, |since| age_seconds(since, now)));
        self.bookings.in_work.set(signed(status.tasks.iter().map(|task| task.jobs).sum()));
        self.inputs.retry_waiting.set(signed(status.tasks.iter().map(|task| task.waiting_room).sum()));
        let oldest_due = status.tasks.iter().filter_map(|task| task.oldest_due).min();
        self.inputs.retry_overdue.set(oldest_due.map_or(0.0, |due| age_seconds(due, now)));
        self.set_worker(status, now);
        for phase in TaskPhase::ALL {
            let owned = status.tasks.iter().filter(|task| task.phase == phase).count();
            self.tasks.owned.with_label_values(&[phase.code()]).set(signed(owned));
        }
        self.set_lanes(status, now);
        self.set_waiting(status, now);
        self.set_reviews(status);
        self.set_controls(status, now);
        self.set_quotas(status, now);
        self.inputs.schemas.reset();
        for schema in status.schemas.iter().take(SCHEMAS_MAX) {
            let labels = [schema.id.to_string(), schema.trouble.code().to_owned()];
            self.inputs.schemas.with_label_values(&labels).set(age_seconds(schema.since, now));
        }
    }

    fn set_worker(&self, status: &Status, now: Timestamp) {
        self.worker.ready.set(i64::from(status.is_ready()));
        self.worker.joined.set(i64::from(status.joined));
        self.worker.start_waits.reset();
        if let Some(wait) = &status.start_waits {
            let age = age_seconds(wait.since, now);
            self.worker.start_waits.with_label_values(&[wait.step.code()]).set(age);
        }
        self.worker.status_age.set(age_seconds(status.taken_at, now));
        self.worker.clock_ahead.set(status.clock_ahead_ms.map_or(0.0, |ms| ms as f64 / 1_000.0));
    }

    /// What does not wait any more must not keep its last value.
    fn set_waiting(&self, status: &Status, now: Timestamp) {
        self.waiting.versions.reset();
        self.waiting.oldest.reset();
        for waits in &status.waits {
            let labels = [waits.place.code(), &*waits.why];
            self.waiting.versions.with_label_values(&labels).set(signed(waits.count));
            let oldest = waits.oldest_at.map_or(0.0, |since| age_seconds(since, now));
            self.waiting.oldest.with_label_values(&labels).set(oldest);
        }
        self.waiting.of_class.reset();
        self.waiting.oldest_of_class.reset();
        for waits in &status.classes {
            self.waiting.of_class.with_label_values(&[&*waits.class]).set(signed(waits.count));
            let oldest = waits.oldest_at.map_or(0.0, |since| age_seconds(since, now));
            self.waiting.oldest_of_class.with_label_values(&[&*waits.class]).set(oldest);
        }
        self.waiting.late.set(signed(status.waits.iter().map(|waits| waits.late).sum()));
    }

    /// What is decided must not keep its last value.
    fn set_reviews(&self, status: &Status) {
        self.reviews.open.reset();
        for of in &status.reviews {
            let labels = [of.reason.code(), of.age.code()];
            self.reviews.open.with_label_values(&labels).set(signed(of.count));
        }
        self.reviews.urgent.set(signed(status.reviews.iter().map(|of| of.urgent).sum()));
    }

    /// What was taken back must not keep its last value.
    fn set_quotas(&self, status: &Status, now: Timestamp) {
        self.quotas.left.reset();
        self.quotas.runs_out.reset();
        for quota in &status.quotas {
            let limit = &*quota.limit;
            self.quotas.left.with_label_values(&[limit]).set(f64::from(quota.left));
            for (source, at) in [("live", quota.runs_out_at), ("backfill", quota.backfill_ends_at)] {
                let Some(at) = at else { continue };
                let in_seconds = at.since_ms(now).max(0) as f64 / 1_000.0;
                self.quotas.runs_out.with_label_values(&[limit, source]).set(in_seconds);
            }
        }
    }

    fn set_controls(&self, status: &Status, now: Timestamp) {
        self.controls.in_force.reset();
        for control in status.controls.iter().take(CONTROLS_MAX) {
            let labels = [control.kind.code(), control.scope.code(), &*control.by, &*control.why];
            self.controls.in_force.with_label_values(&labels).set(age_seconds(control.since, now));
        }
        self.controls.unread.set(status.controls_read_at.map_or(0.0, |at| age_seconds(at, now)));
    }

    /// Lanes of tasks that are gone must not keep their last value.
    fn set_lanes(&self, status: &Status, now: Timestamp) {
        self.inputs.lag_records.reset();
        self.inputs.lag_seconds.reset();
        self.inputs.read_ahead_records.reset();
        self.inputs.read_ahead_bytes.reset();
        for task in &status.tasks {
            for lane in &task.lanes {
                self.set_lane(task, lane, now);
            }
        }
    }

    fn set_lane(&self, task: &TaskStatus, lane: &LaneStatus, now: Timestamp) {
        let labels = [lane.lane.topic().to_owned(), task.partition.to_string()];
        if let Some(lag) = lane.lag_records() {
            self.inputs.lag_records.with_label_values(&labels).set(lag);
        }
        let oldest = lane.late_since();
        self.inputs.lag_seconds.with_label_values(&labels).set(oldest.map_or(0.0, |at| age_seconds(at, now)));
        self.inputs.read_ahead_records.with_label_values(&labels).set(signed(lane.read_ahead_records));
        self.inputs.read_ahead_bytes.with_label_values(&labels).set(signed(lane.read_ahead_bytes));
    }
}

/// Seconds from `since` to `now`; 0 if the clocks disagree.
fn age_seconds(since: Timestamp, now: Timestamp) -> f64 {
    now.since_ms(since).max(0) as f64 / 1000.0
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
