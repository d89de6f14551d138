//! The simulator's command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{ArgAction, Parser};
use serde_json::Value;

use crate::answer::{Faults, Simulator};

/// A HealthFlow for demos and tests: stores, validates, limits, and fails on command.
///
/// Prints `ready healthflow=URL` once it answers. GET URL/control/faults lists every knob, PUT changes them;
/// URL/control/audit and URL/control/ledger show what it stores.
#[derive(Parser)]
#[command(name = "healthflow-simulator", version)]
pub struct Flags {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// File with the bearer token that callers must send; without it any caller is accepted.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// Stop when standard input ends, so that it never outlives its owner.
    #[arg(long)]
    pub stop_with_stdin: bool,
    /// Seed of the random numbers.
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
    /// Whether repeating a create under its idempotency key does nothing.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub honours_idempotency_keys: bool,
    /// Whether a second create with the same external_id is refused.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    pub unique_external_id: bool,
    /// Whether a provider can have only one appointment at a time.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    pub slot_conflicts: bool,
    /// Other knobs, as the JSON of /control/faults: '{"drop_after": 0.1}'.
    #[arg(long, default_value = "{}")]
    pub faults: String,
}

impl Flags {
    /// The simulator that these flags describe.
    ///
    /// # Errors
    /// An unknown knob, or an invalid value.
    pub fn simulator(&self) -> Result<Simulator> {
        let faults = Faults {
            latency_ms: self.latency_ms,
            requests_per_second: self.requests_per_second,
            requests_per_day: self.requests_per_day,
            search_lag_ms: self.search_lag_ms,
            honours_idempotency_keys: self.honours_idempotency_keys,
            unique_external_id: self.unique_external_id,
            slot_conflicts: self.slot_conflicts,
            ..Faults::default()
        };
        faults.check().map_err(|message| anyhow!("{message}"))?;
        let mut simulator = Simulator::new(faults, self.seed);
        let others: Value = serde_json::from_str(&self.faults).context("--faults is not JSON")?;
        simulator.patch_faults(&others).map_err(|message| anyhow!("--faults: {message}"))?;
        Ok(simulator)
    }
}
