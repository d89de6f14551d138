//! What arrives and leaves, byte for byte: round trips, old and new schemas, and bytes that nobody should have sent.

mod evolution;
mod fields;
mod fleet;
mod hostile;
mod meaning;
mod round_trip;
mod size;
mod state_evolution;
