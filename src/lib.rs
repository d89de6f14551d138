//! healthflow-sync puts a dental practice's bookings into its health record, exactly once.
//!
//! `healthflow_core` decides: values, with no I/O, no clock and no log. This crate is the thin shell around it:
//! [`http`] connects and calls HealthFlow, [`registry`] turns bytes into values and back, [`kafka`] reads records and
//! commits, [`shared_counter`] asks for permits, [`worker`] runs the processor between the two. [`kafka_admin`] changes topics and a fleet's state for the
//! commands.
//! [`metrics`] and [`admin`] report, [`config`] holds the settings, [`cli`] is the command line.

pub mod http;
pub mod registry;
pub mod shared_counter;
pub mod kafka;
pub mod kafka_admin;
pub mod metrics;
pub mod admin;
pub mod config;
pub mod worker;
pub mod cli;
