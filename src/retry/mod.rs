//! When a booking is tried again, and where it waits until then.

pub mod deadline;
pub mod schedule;
pub mod waiting_room;

pub use waiting_room::WaitingRoom;
