//! When a booking is tried again, and where it waits until then.

pub mod deadline;
pub mod reads;
pub mod schedule;
pub mod wait_reason;
pub mod waiting_room;

pub use reads::Reads;
pub use wait_reason::WaitReason;
pub use waiting_room::WaitingRoom;
