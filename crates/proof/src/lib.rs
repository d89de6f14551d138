//! What the proofs share: the simulation, the small worlds, the flow tests, the lab and the pretend HealthFlow.
//!
//! [`counter`] is the shared counter of calls; [`finding`] is what a measure sought and found; [`random`] makes the random numbers of all of them from a seed; [`shell`] models what a worker holds, and how its
//! effects change that; [`promises`] has one checker for each promise.

pub mod counter;
pub mod finding;
pub mod promises;
pub mod random;
pub mod shell;
