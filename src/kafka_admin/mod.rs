//! The operators' Kafka: creates, grows and checks the topics, and carries out the commands that change what a fleet
//! remembers. Apart from [`kafka`](crate::kafka): nothing that a worker does all day may reach what is safe only while a
//! person watches, or while no worker runs.

mod fault;
pub mod topics;
mod duplicate_keys;
pub mod repartition;
pub mod takeover;
pub mod accept;
pub mod dead_letters;
pub mod stray;

pub use fault::{CommandFault, NoStray, Report};
