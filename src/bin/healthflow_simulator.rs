//! The pretend HealthFlow as a process of its own: something for the product to talk to where there is no HealthFlow.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::{ArgAction, Parser};
use healthflow_sync::simulator::answer::{Moods, Simulator};
use healthflow_sync::simulator::server::{Host, serve};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// A HealthFlow for demos and tests: stores, validates, limits, and fails on command.
///
/// Prints `ready healthflow=URL` once it answers. Every knob can be turned later with PUT URL/control/moods; GET
/// URL/control/moods lists them, URL/control/audit and URL/control/ledger tell what stands.
#[derive(Parser)]
#[command(name = "healthflow-simulator", version)]
struct Flags {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// File with the bearer token that callers must show; without it everybody may call.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Stop when standard input ends, so that it never outlives its owner.
    #[arg(long)]
    stop_with_stdin: bool,
    /// Seed of all chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Every answer takes this long.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Rate limit; 0 is none.
    #[arg(long, default_value_t = 0.0)]
    requests_per_second: f64,
    /// Requests a day; 0 is no quota.
    #[arg(long, default_value_t = 0)]
    requests_per_day: u64,
    /// How long new records are invisible to searches.
    #[arg(long, default_value_t = 0)]
    search_lag_ms: u64,
    /// Whether a create repeated under its idempotency key does nothing.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    honours_idempotency_keys: bool,
    /// Whether a second create with the same external_id is refused.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    unique_external_id: bool,
    /// Whether a provider has one appointment at a time only.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    slot_conflicts: bool,
    /// Any other knobs, as the JSON of /control/moods: '{"drop_after": 0.1}'.
    #[arg(long, default_value = "{}")]
    moods: String,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let token = flags.token_file.as_deref().map(token).transpose()?;
    let host = Arc::new(Host::new(simulator(&flags)?, token.as_deref()));
    // One thread: it shares a small machine with what it serves, and its work is too little to divide.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&flags, host))
}

fn token(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read --token-file {}", path.display()))?;
    let token = text.trim();
    if token.is_empty() {
        bail!("--token-file {} is empty; write the bearer token into it", path.display());
    }
    Ok(token.to_owned())
}

fn simulator(flags: &Flags) -> Result<Simulator> {
    let moods = Moods {
        latency_ms: flags.latency_ms,
        requests_per_second: flags.requests_per_second,
        requests_per_day: flags.requests_per_day,
        search_lag_ms: flags.search_lag_ms,
        honours_idempotency_keys: flags.honours_idempotency_keys,
        unique_external_id: flags.unique_external_id,
        slot_conflicts: flags.slot_conflicts,
        ..Moods::default()
    };
    moods.check().map_err(|message| anyhow!("{message}"))?;
    let mut simulator = Simulator::new(moods, flags.seed);
    let others: Value = serde_json::from_str(&flags.moods).context("--moods is not JSON")?;
    simulator.patch_moods(&others).map_err(|message| anyhow!("--moods: {message}"))?;
    Ok(simulator)
}

async fn run(flags: &Flags, host: Arc<Host>) -> Result<()> {
    let listener = TcpListener::bind(flags.listen).await.with_context(|| {
        format!("cannot listen on {}; choose another address with --listen", flags.listen)
    })?;
    let address = listener.local_addr()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let input_ended = input_end(flags.stop_with_stdin);
    println!("ready healthflow=http://{address}");
    tokio::select! {
        served = serve(listener, host) => served.context("the server ended"),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        () = input_ended => Ok(()),
    }
}

/// Ends when standard input does; never where that does not count. A thread of its own, because reading standard input
/// cannot be cancelled and must not keep the process alive.
async fn input_end(counts: bool) {
    let (ended, end) = oneshot::channel();
    if counts {
        std::thread::spawn(move || {
            // An error ends the input like its end does.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = ended.send(());
        });
        // The sender is dropped without a word only if the thread died: then the owner is not watched any more.
        let _ = end.await;
    } else {
        std::future::pending::<()>().await;
    }
}
