//! Our Kafka side against a real Apache Kafka and a real schema registry: what a broker really does with transactions,
//! fences and rebalances is not to be had from a mock. One stack for all tests; each uses groups, applications and
//! partitions of its own.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, which is what it should do")]

#[path = "../../src/bin/demo/parts/kafka_proxy/mod.rs"]
mod kafka_proxy;
#[path = "../support/stack.rs"]
mod stack;
#[path = "../support/wait.rs"]
mod wait;

mod commit;
mod lanes;
mod rebalance;
mod restore;
mod torn_commits;
mod world;
