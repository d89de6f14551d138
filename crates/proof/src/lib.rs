//! What the proofs share: the simulation, the small worlds, the flow tests, the lab and the pretend HealthFlow.
//!
//! [`counter`] is the shared counter of calls; [`random`] makes the random numbers of all of them from a seed; [`shell`] models what a worker holds, and how its
//! effects change that; [`promises`] has one checker for each promise.

pub mod counter;
pub mod promises;
pub mod random;
pub mod shell;
