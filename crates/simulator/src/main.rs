//! The pretend HealthFlow as a process: what the product talks to where there is no HealthFlow.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Parser;
use healthflow_simulator::flags::Flags;
use healthflow_simulator::server::{Host, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

fn main() -> Result<()> {
    let flags = Flags::parse();
    let token = flags.token_file.as_deref().map(token).transpose()?;
    let host = Arc::new(Host::new(flags.simulator()?, token.as_deref()));
    // One thread: it shares a small machine with what it serves, and has little work.
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

/// Ends when standard input does, if that counts; else never. It reads in a thread of its own, because a read of standard
/// input cannot be cancelled and must not keep the process alive.
async fn input_end(counts: bool) {
    let (ended, end) = oneshot::channel();
    if counts {
        std::thread::spawn(move || {
            // An error is as good as the end.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = ended.send(());
        });
        // The sender is dropped without sending only if the thread died: then nothing watches the owner any more.
        let _ = end.await;
    } else {
        std::future::pending::<()>().await;
    }
}
