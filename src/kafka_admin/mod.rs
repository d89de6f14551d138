//! The operators' Kafka: creates, grows and checks the topics, and carries out the commands that change a fleet's
//! state. Apart from [`kafka`](crate::kafka): a worker must not reach what is safe only under an operator's eyes, or
//! while no worker runs.

mod fault;
pub mod topics;
mod duplicate_keys;
pub mod repartition;
pub mod takeover;
pub mod accept;
pub mod controls;
pub mod dead_letters;
pub mod decided;
pub mod reviews;
pub mod stray;
pub mod unlinked;

pub use fault::{CommandFault, NoStray, Report};
