//! All of it together: [`Input`] in, [`Effect`] and [`Fact`] out. One processor is one worker's whole mind; it does no
//! I/O and reads no clock, so that a test can live its life in virtual time. This file routes; the nouns decide.

pub mod effect;
pub mod fact;
pub mod input;
pub mod settings;

pub use effect::{CallId, Effect};
pub use fact::Fact;
pub use input::{Acquired, CommitEnded, Input};
pub use settings::{GuardMode, Settings};

/// STUB on branch `kafka`: only as much as the worker's loop needs to compile. The real one replaces it.
pub struct Processor;

impl Processor {
    /// Stub.
    pub fn new(_: Settings) -> Self {
        Processor
    }
    /// Stub.
    pub fn handle(&mut self, _: Input, _: crate::time::Timestamp) {}
    /// Stub.
    pub fn next_effect(&mut self) -> Option<Effect> {
        None
    }
    /// Stub.
    pub fn next_fact(&mut self) -> Option<Fact> {
        None
    }
    /// Stub.
    pub fn next_wakeup(&self) -> Option<crate::time::Timestamp> {
        None
    }
}
