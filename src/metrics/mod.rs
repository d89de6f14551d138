//! Metrics and log lines. Both are made from facts and from the status, never where something happens, so that none is
//! forgotten, reported twice, or carries patient data that a fact does not have.

mod builder;
pub mod catalogue;
pub mod exposition;
pub mod log;
mod log_input;
mod log_outages;
mod log_limits;
mod log_writer;
pub mod tally;
mod waits;

pub use builder::Described;
pub use catalogue::Catalogue;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
