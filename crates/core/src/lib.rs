//! Everything that healthflow-sync decides, as values: no I/O, no clock, no log.
//!
//! The story, in the order of the modules: a [`booking`] arrives; [`patient`] decides who it is for; [`appointment`] is what
//! should exist in HealthFlow; [`healthflow`] is what HealthFlow can be asked; [`sync`] decides the next step of one booking.
//! [`event`] is what arrives and leaves on Kafka, [`state`] what a task remembers, [`limits`] how fast we may call, [`retry`]
//! when we try again. [`topics`] and [`life`] name the topics, and the lives of tasks and calls; [`fact`] and [`status`] are
//! what is reported, [`settings`] the limits, [`defects`] the ways to break it all on purpose.
//! [`partition`] is one task with all of that, [`processor`] all tasks of a worker.

pub mod coded;
pub mod time;
pub mod repeats;
pub mod private;
pub mod hash;
pub mod unordered;
pub mod panic_guard;
pub mod topics;

pub mod booking;
pub mod patient;
pub mod appointment;
pub mod healthflow;
pub mod sync;
pub mod state;
pub mod event;
pub mod limits;
pub mod retry;
pub mod life;
pub mod fact;
pub mod status;
pub mod defects;
pub mod settings;
pub mod partition;
pub mod processor;
