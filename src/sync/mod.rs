//! The flow of one booking: start reading here, at [`next_step`]. Pure: nothing in it waits, logs or reads a clock.

pub mod outcome;

pub use outcome::{Disposition, Outcome, Reason, SyncedOutcome};
