//! DentScheduler's stand-in. Like the real one it speaks only Avro to Kafka: it publishes bookings and listens for
//! their results.

pub mod listener;
pub mod publisher;

use std::time::SystemTime;

use healthflow_core::time::Timestamp;

/// The wall clock: both ends of every confirmation are read from it.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
