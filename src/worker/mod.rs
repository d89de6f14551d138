//! The loop that turns the handle: what happened goes into the processor, what it wants comes out and is carried out by
//! threads and tasks that never decide anything. One thread, and nothing on it ever waits but for the mailbox.

pub mod clock;
mod calls;
mod mailbox;
mod run;
mod stop;

#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use mailbox::Mailbox;
pub use run::{Observer, RunSettings, Seen, WorkerFault, run};
pub use stop::StopRequest;
