//! healthflow-sync puts a dental practice's bookings into its health record, exactly once.
//!
//! What is decided, and how, is `healthflow_core`: values, with no I/O, no clock and no log. Here is the world around it,
//! thin: [`registry`] turns bytes into values and back, [`kafka`] brings what arrives and carries what is committed,
//! [`http`] asks HealthFlow, [`worker`] runs the processor between the two. [`kafka_admin`] changes topics, and what a
//! fleet remembers, for the commands. [`metrics`] and [`admin`] report how it goes, [`config`] says what it may do, [`cli`]
//! is what people type.

pub mod registry;
pub mod kafka;
pub mod kafka_admin;
pub mod http;
pub mod metrics;
pub mod admin;
pub mod config;
pub mod worker;
pub mod cli;
