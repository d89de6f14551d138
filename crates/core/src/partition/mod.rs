//! One task: the partition number of all topics, with its lanes, its jobs and what it commits. Read [`task`] for the parts,
//! [`turn`] for what each step is given, [`arrive`] for what comes in, [`advance`] for when a job is looked at, [`decide`] for what is done about it and why it
//! may have to wait, [`apply`] for how that is carried out, [`answer`] for what HealthFlow's replies teach, [`settle`] for
//! how doubts end, [`finish`] for how a version ends, [`commit`] for what makes all of it durable, [`draining`] for how it is
//! given back, [`rules`] for the rules that a test breaks on purpose.

pub mod turn;
mod knowledge;
pub mod lane;
pub mod recent_creations;
pub mod read_guard;
mod reading;
mod crash_suspects;
mod subject;
mod outbox;
mod jobs;
mod kept_request;
mod ledger;
mod progress;
mod rules;
mod intents;
mod cover;
pub mod start;
mod lost_versions;
mod lost_records;
mod forget;
mod decisions;
mod held_back;
mod held_contents;
mod held_versions;
mod misrouted_keys;
mod holds;
pub mod commit_batch;
pub mod job;
pub mod task;
mod view;
pub mod arrive;
pub mod advance;
mod moves;
mod decide;
mod apply;
mod lone_suspect;
pub mod blockers;
pub mod dispatch;
mod limited;
pub mod answer;
pub mod settle;
mod final_refusal;
mod searched;
pub mod reported_gone;
mod rejection_storm;
mod reparking;
pub mod reviews_due;
mod revisions;
pub mod slots;
pub mod slot_waits;
pub mod finish;
mod overdue;
mod waiting;
mod notices;
mod late;
mod outage_notices;
mod outages;
mod charts;
mod rejected_charts;
mod unlink;
mod commit;
mod drain;
mod draining;
pub mod state_hash;

pub use task::Task;
pub use turn::{Shared, Turn};
