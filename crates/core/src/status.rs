//! The status of a worker at one moment: the status page shows it and the gauges are set from it. Without it, both would have
//! to reach into the processor's memory while it works. It contains no ids of practices, bookings or patients.

mod counter;
mod quotas;
mod troubles;
mod waits;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::coded::coded;
use crate::event::{Control, ControlKind, Setting};
use crate::healthflow::Operation;
use crate::limits::breaker::{BreakerState, BreakerView};
use crate::limits::rejection_storm::StormView;
use crate::sync::ReviewReason;
use crate::time::{DAY_MS, Timestamp};
use crate::topics::Lane;

pub use counter::CounterStatus;
pub use quotas::QuotaStatus;
pub use troubles::{HealthFlowTrouble, StartStep, StartWait};
pub use waits::{ClassWaits, NextStep, PROMISED_MS, WaitCounts, WaitPlace, Waits};

const HOUR_MS: i64 = 3_600_000;
const WEEK_MS: i64 = 7 * DAY_MS;

/// The status page of a worker: who it is, how it is, and what follows from that. `schemas/status.schema.json` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusPage {
    /// The version of the program.
    pub version: String,
    /// `kafka.group_instance_id`; none if the worker has no name.
    pub worker: Option<String>,
    /// `kafka.group_id`.
    pub group: String,
    /// Whether the worker's loop runs.
    pub live: bool,
    /// Whether the worker is live, a member of the group, and works on every task that it owns.
    pub ready: bool,
    /// The rest.
    #[serde(flatten)]
    pub status: Status,
}

/// A worker at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When it was taken. A live worker takes one at least every second.
    pub taken_at: Timestamp,
    /// Whether the worker has joined its group (it may own no partition); set by the worker.
    pub joined: bool,
    /// Whether a stop was requested.
    pub stopping: bool,
    /// What its start waits for; none once it works. Set by the worker.
    pub start_waits: Option<StartWait>,
    /// What goes wrong with calls of HealthFlow; none while they are answered as they should be. Set by the worker.
    pub healthflow_trouble: Option<HealthFlowTrouble>,
    /// The tasks it was assigned.
    pub tasks: Vec<TaskStatus>,
    /// Calls to HealthFlow under way.
    pub in_flight: usize,
    /// How many may be: at most `worker.max_in_flight`, fewer while HealthFlow is slow or has just come back.
    pub in_flight_limit: usize,
    /// Writes with unknown outcome, of all tasks (rule W4).
    pub open_doubts: usize,
    /// Since when the oldest of them is open.
    pub oldest_doubt_since: Option<Timestamp>,
    /// What waits for its result, wherever it waits; set by the worker, once a second.
    pub waits: Vec<Waits>,
    /// What of that is in memory, by class; set by the worker, once a second.
    pub classes: Vec<ClassWaits>,
    /// Calls a second that this worker may start: its share of the tightest of what is configured, set by hand and told by
    /// HealthFlow. 0 while nothing may be sent.
    pub calls_per_second: f64,
    /// Nothing is sent before this, because HealthFlow asked us to wait or refuses our credentials.
    pub paused_until: Option<Timestamp>,
    /// The shared counter of calls (`limits.share` = "redis"); none where each worker has the part of its partitions.
    pub counter: Option<CounterStatus>,
    /// The circuit breaker; none while HealthFlow works.
    pub breaker: Option<BreakerStatus>,
    /// Storms of refusals that last. Of which practice is not in it: the log names it.
    pub rejection_storms: Vec<StormStatus>,
    /// How far the worker's clock is ahead of the brokers', beyond the round trip; negative: behind; set by the worker.
    pub clock_ahead_ms: Option<i64>,
    /// Schemas of records that cannot be read; set by the worker.
    pub schemas: Vec<SchemaStatus>,
    /// Whether HealthFlow's token file holds no token any more, and the last good one is used.
    pub has_stale_token: bool,
    /// What waits for people, of all tasks.
    pub reviews: Vec<OpenReviews>,
    /// What operators set by hand.
    pub controls: Vec<ControlStatus>,
    /// When that was last read to its end; set by the worker.
    pub controls_read_at: Option<Timestamp>,
    /// The limits whose windows are longer than a minute.
    pub quotas: Vec<QuotaStatus>,
}

/// What an operator set by hand. Of which practice is not in it: `healthflow-sync limit list` shows that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// What is set.
    pub kind: ControlKind,
    /// For whom.
    pub scope: ControlScope,
    /// With a limit: calls a second at most, of the whole fleet.
    pub per_second: Option<f64>,
    /// With a limit of a practice: its share beside others.
    pub weight: Option<u32>,
    /// Who set it.
    pub by: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// Since when.
    pub since: Timestamp,
    /// How often this control was written.
    pub version: u32,
}

coded! {
    /// For whom something is set by hand, or holds; the code is the name on the status page and the metric label.
    pub enum ControlScope {
        /// The whole account.
        Account = "account",
        /// One practice.
        Practice = "practice",
    }
}

/// No rate is NaN: what would be is not obeyed, and so not shown.
impl Eq for ControlStatus {}

/// As above.
impl Eq for Status {}

impl From<&Control> for ControlStatus {
    fn from(control: &Control) -> Self {
        let Control { id, version, setting, by, why, at } = control;
        let (per_second, weight) = match setting {
            Some(Setting::Limited { per_second, weight }) => (*per_second, *weight),
            Some(Setting::Paused) | None => (None, None),
        };
        ControlStatus {
            kind: id.kind,
            scope: if id.practice.is_some() { ControlScope::Practice } else { ControlScope::Account },
            per_second,
            weight,
            by: by.clone(),
            why: why.clone(),
            since: *at,
            version: *version,
        }
    }
}

/// The circuit breaker while it is not closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerStatus {
    /// Its state.
    pub state: BreakerState,
    /// Since when.
    pub since: Timestamp,
    /// The class of the fault that opened it, or `slow`.
    pub cause: String,
}

impl From<BreakerView> for BreakerStatus {
    fn from(BreakerView { state, since, cause }: BreakerView) -> Self {
        BreakerStatus { state, since, cause: cause.code().to_owned() }
    }
}

/// A storm of refusals that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StormStatus {
    /// Whose bookings are refused.
    pub scope: ControlScope,
    /// Asking for what.
    pub operation: Operation,
    /// The rule by which most was refused.
    pub rule: Arc<str>,
    /// Since when.
    pub since: Timestamp,
}

impl From<StormView<'_>> for StormStatus {
    fn from(StormView { of, rule, since }: StormView<'_>) -> Self {
        let scope = if of.practice.is_some() { ControlScope::Practice } else { ControlScope::Account };
        StormStatus { scope, operation: of.operation, rule: Arc::clone(rule), since }
    }
}

/// What waits for people for one reason and for about as long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenReviews {
    /// Why it waits.
    pub reason: ReviewReason,
    /// For how long.
    pub age: ReviewAge,
    /// How many versions.
    pub count: usize,
    /// How many of them are in question and have a visit that begins within `review.urgent_before_ms`.
    pub urgent: usize,
}

coded! {
    /// How long something has waited for a person; the code is the name on the status page and the metric label.
    pub enum ReviewAge {
        /// Less than an hour.
        UnderAnHour = "under_1h",
        /// Less than a day.
        UnderADay = "under_1d",
        /// Less than a week.
        UnderAWeek = "under_7d",
        /// A week or more.
        Older = "older",
    }
}

impl ReviewAge {
    /// Of what has waited for so many milliseconds.
    pub const fn of(waited_ms: i64) -> Self {
        match waited_ms {
            ..HOUR_MS => ReviewAge::UnderAnHour,
            HOUR_MS..DAY_MS => ReviewAge::UnderADay,
            DAY_MS..WEEK_MS => ReviewAge::UnderAWeek,
            WEEK_MS.. => ReviewAge::Older,
        }
    }
}

/// A schema that keeps records from being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaStatus {
    /// Its id in the registry.
    pub id: u32,
    /// What is wrong with it.
    pub trouble: SchemaTrouble,
    /// Since when.
    pub since: Timestamp,
    /// How it differs from ours, if that is the trouble: names of fields and types.
    pub what: Option<String>,
}

coded! {
    /// What is wrong with a schema; the code is the name on the status page and the metric label.
    pub enum SchemaTrouble {
        /// The registry does not know it.
        Unknown = "unknown",
        /// Some or all of its records cannot be read with ours.
        Unreadable = "unreadable",
    }
}

/// One task at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Its partition number.
    pub partition: i32,
    /// Its phase between assignment and release.
    pub phase: TaskPhase,
    /// The number of its life in this process.
    pub incarnation: u64,
    /// Its input topics.
    pub lanes: Vec<LaneStatus>,
    /// Bookings in memory that are worked on or ready.
    pub jobs: usize,
    /// Retry records in memory that wait for their time.
    pub waiting_room: usize,
    /// When the earliest of them is or was due.
    pub oldest_due: Option<Timestamp>,
}

coded! {
    /// The phase of a task; the code is the name on the status page and the metric label.
    pub enum TaskPhase {
        /// It is being fenced and restored, or waits for that.
        Acquiring = "acquiring",
        /// It works.
        Live = "live",
        /// It sends nothing more and will be given back.
        Draining = "draining",
    }
}

/// One input topic of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// The lane; shown by its topic.
    #[serde(rename = "topic", with = "by_topic")]
    pub lane: Lane,
    /// The committable offset: everything before it is answered or parked.
    pub next_offset: i64,
    /// The offset after the last record that was read.
    pub read_offset: i64,
    /// Records that are there and were not read, as far as the worker knows; none while the end is unknown. Set by the worker.
    pub unread_records: Option<i64>,
    /// The end of the topic for `read_committed` readers; none while unknown. Set by the worker.
    pub end_offset: Option<i64>,
    /// Records in memory.
    pub read_ahead_records: usize,
    /// Their size.
    pub read_ahead_bytes: usize,
    /// Of the records in memory, those that wait for their time.
    pub waiting_records: usize,
    /// When the oldest other record that is neither answered nor parked was requested, or written if that is unknown.
    pub oldest_unfinished_at: Option<Timestamp>,
    /// Since when the lane has records to read and does not move, if that is too long. Set by the worker.
    pub stalled_since: Option<Timestamp>,
    /// Whether fetching is stopped because enough is in memory.
    pub paused: bool,
}

impl Status {
    /// Why it is not ready, each reason in one line; none if it is.
    pub fn not_ready_because(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(StartWait { step, why, .. }) = &self.start_waits {
            reasons.push(format!("the start waits ({}): {why}", step.code()));
        } else if !self.joined {
            reasons.push("the group has not assigned anything yet".to_owned());
        }
        if self.stopping {
            reasons.push("it was asked to stop".to_owned());
        }
        for task in &self.tasks {
            if task.phase != TaskPhase::Live {
                reasons.push(format!("task {} is {}", task.partition, task.phase.code()));
            }
            let stalled = task.lanes.iter().filter(|lane| lane.stalled_since.is_some());
            reasons.extend(stalled.map(|lane| {
                format!("{} of task {} has records and does not move", lane.lane.topic(), task.partition)
            }));
        }
        reasons
    }

    /// Whether it is a member of the group, and every task that it owns works and moves if there is something to read.
    pub fn is_ready(&self) -> bool {
        self.joined && !self.stopping && self.tasks.iter().all(TaskStatus::is_well)
    }
}

impl TaskStatus {
    fn is_well(&self) -> bool {
        self.phase == TaskPhase::Live && self.lanes.iter().all(|lane| lane.stalled_since.is_none())
    }

    /// A task that is not live yet.
    pub fn acquiring(partition: i32, incarnation: u64) -> Self {
        TaskStatus {
            partition,
            phase: TaskPhase::Acquiring,
            incarnation,
            lanes: Vec::new(),
            jobs: 0,
            waiting_room: 0,
            oldest_due: None,
        }
    }
}

impl LaneStatus {
    /// When the oldest record that this lane is late with was requested, or since when the lane has not moved, if known.
    pub fn late_since(&self) -> Option<Timestamp> {
        [self.oldest_unfinished_at, self.stalled_since].into_iter().flatten().min()
    }

    /// Records that are unread, or read and neither answered nor parked; none while the end is unknown. What waits for its time
    /// is not late.
    pub fn lag_records(&self) -> Option<i64> {
        let late = self.read_ahead_records.saturating_sub(self.waiting_records);
        self.unread_records.map(|unread| unread.saturating_add(i64::try_from(late).unwrap_or(i64::MAX)))
    }
}

/// A lane as the name of its topic.
mod by_topic {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::topics::Lane;

    pub fn serialize<S: Serializer>(lane: &Lane, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(lane.topic())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lane, D::Error> {
        let topic = String::deserialize(deserializer)?;
        Lane::of(&topic).ok_or_else(|| D::Error::custom(format!("{topic} is the topic of no lane")))
    }
}
