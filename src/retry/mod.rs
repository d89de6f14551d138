//! When a booking is tried again, and where it waits until then.

pub mod deadline;
pub mod reads;
pub mod schedule;
pub mod waiting_room;

pub use reads::Reads;
pub use waiting_room::{HELD_BY_REVIEW, WaitingRoom};
