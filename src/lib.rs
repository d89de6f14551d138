//! healthflow-sync puts a dental practice's bookings into its health record, exactly once.
//!
//! The story, in the order of the modules: a [`booking`] arrives; [`patient`] says who it is for; [`appointment`] says
//! what should stand in the book; [`healthflow`] is what the health record can be asked; [`sync`] decides the next step
//! of one booking. [`event`] is what arrives and leaves on Kafka, [`state`] what is remembered, [`limits`] how fast we
//! may call, [`retry`] when we try again, [`partition`] one task with all of that, [`processor`] all tasks of a worker.
//! Up to there everything is a value: no I/O, no clock, no log. Below it the world, thin.

pub mod time;
pub mod private;
pub mod unordered;
pub mod caught;

pub mod booking;
pub mod patient;
pub mod appointment;
pub mod healthflow;
pub mod sync;
pub mod event;
pub mod state;
pub mod limits;
pub mod retry;
pub mod partition;
pub mod processor;

pub mod kafka;
pub mod http;
pub mod metrics;
pub mod admin;
pub mod config;
pub mod worker;
pub mod cli;
pub mod simulator;
