//! The worker's Kafka, thin: the group that assigns tasks, the reader of their lanes, and per task a thread that
//! fences, restores and commits (rules T1–T5, K1–K3). Nothing here decides: what happens goes to the
//! [`Inbox`](healthflow_core::processor::Inbox) as an [`Input`](healthflow_core::processor::Input).

mod fault;
mod broker_clock;
mod cluster_id;
pub(crate) mod settings;
mod context;
pub(crate) mod refusal;
mod end_offsets;
mod group;
mod lanes;
mod group_members;
mod native;
mod unowned;
mod lane_reading;
mod producer;
mod commit_outcome;
mod refused;
pub(crate) mod fleet;
pub(crate) mod controls;
pub(crate) mod restore;
mod recent_lines;
pub(crate) mod rights;
mod start;
mod task;
pub(crate) mod transaction;
pub(crate) mod topic_ids;
mod lane_watch;
mod fetching;
mod watchdog;

use std::sync::Arc;

use healthflow_core::time::Timestamp;

pub use broker_clock::{BrokerClock, BrokerTime, ClockFault, ClockWatch};
pub use cluster_id::{cluster_id, group_on_cluster};
pub use commit_outcome::{AbortCause, CommitLoss, CommitOutcome};
pub use controls::{CONTROLS_TRANSACTIONAL_ID, ControlsLog, ControlsWatch};
pub use end_offsets::EndOffsets;
pub use fault::{Flaw, KafkaFault, RecordName};
pub use fetching::Fetched;
pub use fleet::{Fleet, NotEntered};
pub use group::{Group, Membership};
pub use lane_watch::LaneWatch;
pub use lanes::Lanes;
pub use producer::TaskProducer;
pub use refusal::{Knock, knock};
pub use restore::{Restored, restore};
pub use rights::{Missing, Rights};
pub use settings::KafkaSettings;
pub use task::{TaskSpawner, TaskThread};
pub use watchdog::Watchdog;

/// One partition of one of our topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: &'static str,
    /// The partition.
    pub partition: i32,
}

/// The worker's one clock, as its threads get it.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;
