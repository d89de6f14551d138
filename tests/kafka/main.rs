//! Our Kafka side against a real Apache Kafka and a real schema registry: what a broker really does with transactions,
//! fences and rebalances is not to be had from a mock. One stack for all tests; each uses groups, applications and
//! partitions of its own.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, which is what it should do")]

mod alerts;
mod broker_clock;
mod causes;
mod closed;
mod commit;
mod compatible;
mod controls;
mod fleets;
mod guarded;
mod lanes;
mod large;
mod log_readers;
mod lost_positions;
mod notices;
mod one_name;
mod overload;
mod prefixes;
mod rig;
mod rebalance;
mod redrives;
mod registry_rights;
mod restore;
mod rights;
mod reviews;
mod schemas;
mod secured;
mod shared_limits;
mod stray;
mod strangers;
mod torn_commits;
mod whole_workers;
mod world;
