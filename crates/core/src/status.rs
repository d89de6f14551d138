//! How a worker stands at one moment: what the status page shows and the gauges are set from. Without it, both would
//! have to reach into the processor's memory while it works. Ids of practices, bookings and patients stay out of it.

use serde::Serialize;

use crate::time::Timestamp;

/// A worker at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// When it was taken. A worker that lives takes one at least every second.
    pub taken_at: Timestamp,
    /// Whether the group has assigned anything yet, be it nothing; said by the worker.
    pub joined: bool,
    /// Whether a stop was requested.
    pub stopping: bool,
    /// The tasks it was assigned.
    pub tasks: Vec<TaskStatus>,
    /// Calls to HealthFlow under way.
    pub in_flight: usize,
    /// Writes whose outcome is not known, over all tasks (rule W4).
    pub open_doubts: usize,
    /// Since when the oldest of them is open.
    pub oldest_doubt_since: Option<Timestamp>,
    /// Nothing is sent before this, since HealthFlow asked us to wait or refuses our credentials.
    pub paused_until: Option<Timestamp>,
    /// How far the worker's clock is ahead of the brokers', as far as a round trip tells; negative: behind; said by the worker.
    pub clock_ahead_ms: Option<i64>,
    /// Schemas of records that cannot be read; said by the worker.
    pub schemas: Vec<SchemaStatus>,
    /// Whether HealthFlow's token file holds no token any more, and the one that was read before is used.
    pub has_stale_token: bool,
}

/// A schema that keeps records from being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaStatus {
    /// Its id in the registry.
    pub id: u32,
    /// What is wrong with it.
    pub trouble: SchemaTrouble,
    /// Since when.
    pub since: Timestamp,
    /// In what it differs from ours, if that is the trouble: names of fields and types.
    pub what: Option<String>,
}

/// What is wrong with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaTrouble {
    /// The registry does not know it.
    Unknown,
    /// Some or all of its records cannot be read with ours.
    Unreadable,
}

impl SchemaTrouble {
    /// The name on the status page and as a metric label.
    pub const fn name(self) -> &'static str {
        match self {
            SchemaTrouble::Unknown => "unknown",
            SchemaTrouble::Unreadable => "unreadable",
        }
    }
}

/// One task at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// Its partition number.
    pub partition: i32,
    /// Where it stands between assignment and release.
    pub phase: TaskPhase,
    /// Which life of it in this process.
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

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskPhase {
    /// Being fenced and restored, or waiting to be.
    Acquiring,
    /// Working.
    Live,
    /// Sending nothing more; to be given back.
    Draining,
}

/// One input topic of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneStatus {
    /// The topic.
    pub topic: &'static str,
    /// The low watermark: everything before it is answered or parked.
    pub next_offset: i64,
    /// Where the topic ends for `read_committed` readers; none while that is not known. Said by the worker.
    pub end_offset: Option<i64>,
    /// Records in memory.
    pub read_ahead_records: usize,
    /// What they weigh.
    pub read_ahead_bytes: usize,
    /// When the oldest record that is neither answered nor parked was requested, or written where that is not known.
    pub oldest_unfinished_at: Option<Timestamp>,
    /// Since when the lane should move and does not, if that is so for too long. Said by the worker.
    pub stalled_since: Option<Timestamp>,
    /// Whether fetching is stopped because enough is in memory.
    pub paused: bool,
}

impl Status {
    /// Whether it takes part in the group and every task it was given works, and moves where there is something to read.
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

impl TaskPhase {
    /// Every phase.
    pub const ALL: [TaskPhase; 3] = [TaskPhase::Acquiring, TaskPhase::Live, TaskPhase::Draining];

    /// The name on the status page and as a metric label.
    pub const fn name(self) -> &'static str {
        match self {
            TaskPhase::Acquiring => "acquiring",
            TaskPhase::Live => "live",
            TaskPhase::Draining => "draining",
        }
    }
}

impl LaneStatus {
    /// When what this lane is late with was asked for, or since when it stands still, where one of them is known.
    pub fn late_since(&self) -> Option<Timestamp> {
        [self.oldest_unfinished_at, self.stalled_since].into_iter().flatten().min()
    }

    /// Records not yet answered or parked; none while the end is not known.
    pub fn lag_records(&self) -> Option<i64> {
        self.end_offset.map(|end| end.saturating_sub(self.next_offset).max(0))
    }
}
