//! The loop: inputs go into the processor, its effects come out, and threads and async tasks that decide nothing carry them
//! out. One thread, which waits only for the mailbox.

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
