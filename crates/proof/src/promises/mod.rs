//! One checker for each promise, over plain data about what happened. Simulation, small worlds, the pretend HealthFlow,
//! demo and torture use these and differ only in how they collect the data: if each had its own checkers, a promise
//! would mean what the weakest of them checks. No checker shares a decision with the processor. The Java auditor
//! (`stack/auditor/`) shares nothing with them, on purpose: an error here is not repeated there.

pub mod committed_offsets;
pub mod limits;
pub mod newest;
pub mod results;
pub mod sending;
pub mod existing;

#[cfg(test)]
mod tests;
