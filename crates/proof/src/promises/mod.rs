//! One checker a promise, over a plain picture of what happened: simulation, small worlds, the pretend HealthFlow, demo
//! and torture judge by these and differ only in how they come to their picture. Were each to judge by its own code, a
//! promise would mean what the weakest of them checks. None of it shares a decision with the processor. The Java auditor
//! (`stack/auditor/`) judges alone, on purpose: what is wrong here is not wrong there.

pub mod newest;
pub mod results;
pub mod sending;
pub mod standing;
pub mod watermark;

#[cfg(test)]
mod tests;
