//! All of it together: [`Input`] in, [`Effect`] and [`Fact`] out. One processor is one worker's whole mind; it does no
//! I/O and reads no clock, so that a test can live its life in virtual time. This file routes; the nouns decide.

pub mod effect;
pub mod fact;
pub mod input;
pub mod settings;
pub mod status;

pub use effect::{CallId, Effect};
pub use fact::Fact;
pub use input::{Acquired, CommitEnded, Input};
pub use settings::{GuardMode, Settings};
pub use status::Status;
