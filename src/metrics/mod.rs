//! What people and machines see of a worker: metrics and log lines, both told from facts and from the status, never at
//! the spot where something happens. So no line and no number can be forgotten, told twice, or carry patient data that
//! a fact does not have.

mod builder;
pub mod catalogue;
pub mod exposition;
pub mod log;
mod log_writer;
pub mod tally;
mod waits;

pub use builder::Described;
pub use catalogue::Catalogue;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
