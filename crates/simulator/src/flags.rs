//! What the program is told on its command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{ArgAction, Parser};
use serde_json::Value;

use crate::answer::{Moods, Simulator};

/// A HealthFlow for demos and tests: stores, validates, limits, and fails on command.
///
/// Prints `ready healthflow=URL` once it answers. Every knob can be turned later with PUT URL/control/moods; GET
/// URL/control/moods lists them, URL/control/audit and URL/control/ledger tell what stands.
#[derive(Parser)]
#[command(name = "healthflow-simulator", version)]
pub struct Flags {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// File with the bearer token that callers must show; without it everybody may call.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// Stop when standard input ends, so that it never outlives its owner.
    #[arg(long)]
    pub stop_with_stdin: bool,
    /// Seed of all chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Every answer takes this long.
    #[arg(long, default_value_t = 0)]
    pub latency_ms: u64,
    /// Rate limit; 0 is none.
    #[arg(long, default_value_t = 0.0)]
    pub requests_per_second: f64,
    /// Requests a day; 0 is no quota.
    #[arg(long, default_value_t = 0)]
    pub requests_per_day: u64,
    /// How long new records are invisible to searches.
    #[arg(long, default_value_t = 0)]
    pub search_lag_ms: u64,
    /// Whether a create repeated under its idempotency key does nothing.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub honours_idempotency_keys: bool,
    /// Whether a second create with the same external_id is refused.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    pub unique_external_id: bool,
    /// Whether a provider has one appointment at a time only.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    pub slot_conflicts: bool,
    /// Any other knobs, as the JSON of /control/moods: '{"drop_after": 0.1}'.
    #[arg(long, default_value = "{}")]
    pub moods: String,
}

impl Flags {
    /// The simulator that they ask for.
    ///
    /// # Errors
    /// A knob that does not exist, or a value that it cannot have.
    pub fn simulator(&self) -> Result<Simulator> {
        let moods = Moods {
            latency_ms: self.latency_ms,
            requests_per_second: self.requests_per_second,
            requests_per_day: self.requests_per_day,
            search_lag_ms: self.search_lag_ms,
            honours_idempotency_keys: self.honours_idempotency_keys,
            unique_external_id: self.unique_external_id,
            slot_conflicts: self.slot_conflicts,
            ..Moods::default()
        };
        moods.check().map_err(|message| anyhow!("{message}"))?;
        let mut simulator = Simulator::new(moods, self.seed);
        let others: Value = serde_json::from_str(&self.moods).context("--moods is not JSON")?;
        simulator.patch_moods(&others).map_err(|message| anyhow!("--moods: {message}"))?;
        Ok(simulator)
    }
}
