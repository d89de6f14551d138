//! What the proofs share: the simulation, the small worlds, the flow tests, the lab and the pretend HealthFlow.
//!
//! [`random`] is the chance that all of them take from a seed; [`shell`] is what a worker holds, and what its effects do to
//! that; [`promises`] has one checker a promise.

pub mod promises;
pub mod random;
pub mod shell;
