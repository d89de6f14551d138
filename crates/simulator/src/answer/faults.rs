//! The knobs of the pretend HealthFlow: its faults, its limits and what it offers. Each has the name that it has in the JSON
//! of `/control/faults`. Probabilities are from 0 (never) to 1 (always).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tell::Dialect;
use super::throttle::Limit;

/// No wait is longer than an hour.
const WAIT_MS_MAX: u64 = 3_600_000;

/// All knobs. The default is a HealthFlow in perfect health that honours idempotency keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Every answer takes this long, in milliseconds.
    pub latency_ms: u64,
    /// Up to this many milliseconds more, evenly spread.
    pub latency_jitter_ms: u64,
    /// With more calls under way than this each answer takes longer in proportion; 0: however many there are.
    pub saturates_at: u32,
    /// Token bucket over all requests; 0 is no limit. Beyond it: 429.
    pub requests_per_second: f64,
    /// How many requests may come at once; 0 is one second's worth.
    pub burst: u32,
    /// Requests a day (UTC); 0 is no quota. Beyond it: 429 until midnight.
    pub requests_per_day: u64,
    /// Further limits, each beyond the others. Beyond one: 429 until there is more.
    pub limits: Vec<Limit>,
    /// In which headers what is left of the limits is told.
    pub limits_told: Dialect,
    /// Whether HealthFlow is down, and how.
    pub down: Down,
    /// Answers 401 to everything.
    pub unauthorised: bool,
    /// Answers 403 `FORBIDDEN` to every request that contains this text; empty: to none.
    pub forbidden_text: String,
    /// Never answers a read or search that contains this text; empty: answers all.
    pub unanswered_text: String,
    /// Which requests the probabilities below apply to.
    pub faults_strike: Strikes,
    /// Answers 500 and does nothing.
    pub server_error_before: f64,
    /// Carries the request out, then answers 500.
    pub server_error_after: f64,
    /// Drops the connection and does nothing.
    pub drop_before: f64,
    /// Carries the request out, then drops the connection without an answer.
    pub drop_after: f64,
    /// Gives no answer, and carries the request out `late_landing_ms` after it came.
    pub late_landing: f64,
    /// See `late_landing`, in milliseconds.
    pub late_landing_ms: u64,
    /// Carries the request out, then answers 200 with something that is not JSON.
    pub unreadable_after: f64,
    /// A proxy answers with an HTML page under `proxy_status`; the request never reaches HealthFlow.
    pub proxy_before: f64,
    /// Carries the request out, then a proxy answers with an HTML page under `proxy_status`.
    pub proxy_after: f64,
    /// See `proxy_before`: any status from 200 to 599.
    pub proxy_status: u16,
    /// How long a connection that gets no answer stays open before it is dropped, in milliseconds. The client sees a
    /// time-out if this is longer than its own limit, else a reset.
    pub hang_ms: u64,
    /// How long new records are invisible to searches, lists and reads, in milliseconds.
    pub search_lag_ms: u64,
    /// Whether a create that is repeated under its `Idempotency-Key` gets the first answer again and does nothing.
    pub honours_idempotency_keys: bool,
    /// How long a key is remembered, in milliseconds; 0 forgets all of them.
    pub idempotency_key_retention_ms: u64,
    /// Whether a known key with another body gets the first answer instead of 409 `KEY_REUSED`.
    pub replays_for_other_bytes: bool,
    /// Whether `external_id` is unique in a practice: a second create gets 409 `ALREADY_EXISTS`.
    pub unique_external_id: bool,
    /// Whether HealthFlow stores `external_id`, answers it and can search by it. If not, it ignores the field like any
    /// that it does not know; the ledger keeps it all the same.
    pub keeps_external_id: bool,
    /// Whether appointments are answered with a `version`, and a PUT whose `If-Match` names another one gets 412 `CHANGED`.
    pub supports_if_match: bool,
    /// Whether a successful PUT of an appointment is answered with 204 and no body.
    pub updates_without_content: bool,
    /// Whether a provider of a practice can have only one scheduled appointment at a time: one that overlaps another,
    /// even by a minute, gets 409 `SLOT_TAKEN`.
    pub slot_conflicts: bool,
    /// Records on a page; at least 1.
    pub page_size: usize,
}

/// Whether HealthFlow is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// It is up.
    #[default]
    No,
    /// Answers 503 to everything and does nothing.
    Unavailable,
    /// Takes no request: the server closes every connection unanswered; in virtual time, the connection is refused.
    Refused,
}

/// Which requests the probabilities apply to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strikes {
    /// All of them.
    #[default]
    All,
    /// Creates and updates only.
    Writes,
    /// Creates of appointments only.
    AppointmentCreates,
    /// Reads and searches only.
    Reads,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            latency_ms: 0,
            latency_jitter_ms: 0,
            saturates_at: 0,
            requests_per_second: 0.0,
            burst: 0,
            requests_per_day: 0,
            limits: Vec::new(),
            limits_told: Dialect::Structured,
            down: Down::No,
            unauthorised: false,
            forbidden_text: String::new(),
            unanswered_text: String::new(),
            faults_strike: Strikes::All,
            server_error_before: 0.0,
            server_error_after: 0.0,
            drop_before: 0.0,
            drop_after: 0.0,
            late_landing: 0.0,
            late_landing_ms: 1_000,
            unreadable_after: 0.0,
            proxy_before: 0.0,
            proxy_after: 0.0,
            proxy_status: 400,
            hang_ms: 0,
            search_lag_ms: 0,
            honours_idempotency_keys: true,
            idempotency_key_retention_ms: 86_400_000,
            replays_for_other_bytes: false,
            unique_external_id: false,
            keeps_external_id: true,
            supports_if_match: false,
            updates_without_content: false,
            slot_conflicts: false,
            page_size: 50,
        }
    }
}

impl Faults {
    /// These knobs with those of `patch`, a JSON object, changed. The error names the knob and the rule.
    pub(super) fn patched(&self, patch: &Value) -> Result<Faults, String> {
        let Value::Object(changes) = patch else {
            return Err("faults must be a JSON object of knobs".into());
        };
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Value::Object(knobs) = &mut all {
            knobs.extend(changes.clone());
        }
        let faults: Faults = serde_json::from_value(all).map_err(|error| format!("faults: {error}"))?;
        faults.check()?;
        Ok(faults)
    }

    /// Checks every value; the error names the knob and the rule.
    pub fn check(&self) -> Result<(), String> {
        let probabilities = [
            ("server_error_before", self.server_error_before),
            ("server_error_after", self.server_error_after),
            ("drop_before", self.drop_before),
            ("drop_after", self.drop_after),
            ("late_landing", self.late_landing),
            ("unreadable_after", self.unreadable_after),
            ("proxy_before", self.proxy_before),
            ("proxy_after", self.proxy_after),
        ];
        if let Some((knob, _)) = probabilities.iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return Err(format!("{knob} must be a probability from 0 to 1"));
        }
        if !self.requests_per_second.is_finite() || self.requests_per_second < 0.0 {
            return Err("requests_per_second must be 0 (no limit) or more".into());
        }
        if self
            .limits
            .iter()
            .any(|limit| limit.calls == 0 || !(1..=2_678_400).contains(&limit.window_seconds))
        {
            return Err("limits must allow at least 1 call in windows of 1 second to 31 days".into());
        }
        let times_ms = [
            ("latency_ms", self.latency_ms),
            ("latency_jitter_ms", self.latency_jitter_ms),
            ("late_landing_ms", self.late_landing_ms),
            ("hang_ms", self.hang_ms),
            ("search_lag_ms", self.search_lag_ms),
        ];
        if let Some((knob, _)) = times_ms.iter().find(|(_, value)| *value > WAIT_MS_MAX) {
            return Err(format!("{knob} must be at most {WAIT_MS_MAX} milliseconds"));
        }
        if !(200..=599).contains(&self.proxy_status) {
            return Err("proxy_status must be a status from 200 to 599".into());
        }
        if self.page_size == 0 {
            return Err("page_size must be at least 1".into());
        }
        Ok(())
    }
}
