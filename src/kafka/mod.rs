//! .

pub mod schema_registry;
pub mod topics;
