//! The flow of one booking: start reading here, at [`next_step`]. Pure: nothing in it waits, logs or reads a clock.

pub mod outcome;
pub mod step;
mod who;

pub use outcome::{Disposition, FailureReason, Outcome, ReviewReason, SyncedOutcome};
pub use step::{Knowledge, Step, next_step};
