//! The pretend HealthFlow, for demos, tests and benchmarks: [`answer`] is all of it as a value without clock or socket,
//! [`server`] puts that on a port, [`flags`] is its command line. It shares only the wire values with our client, so that
//! a misreading of the contract on one side cannot hide on the other.

pub mod answer;
pub mod flags;
pub mod server;
