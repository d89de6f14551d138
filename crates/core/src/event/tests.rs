//! What arrives and leaves, byte for byte: round trips, old and new schemas, and invalid bytes.

mod evolution;
mod fields;
mod fleet;
mod hostile;
mod meaning;
mod named;
mod round_trip;
mod size;
mod state_evolution;
