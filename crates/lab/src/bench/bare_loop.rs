//! The baseline: the same requests, the same concurrency, the same HTTP client, and nothing else. The difference is
//! what Kafka, transactions and bookkeeping cost the processor.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use healthflow_core::healthflow::wire::WireRequest;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use healthflow_testkit::processes;

/// What `bare-loop` understands.
#[derive(clap::Args)]
pub struct Arguments {
    /// HealthFlow.
    #[arg(long)]
    url: String,
    /// File with its token.
    #[arg(long)]
    token_file: PathBuf,
    /// Requests at the same time.
    #[arg(long)]
    in_flight: usize,
    /// File with the requests.
    #[arg(long)]
    requests: PathBuf,
}

/// A request in the file.
#[derive(Serialize, Deserialize)]
struct Stored {
    key: String,
    body: String,
}

/// Runs the loop in a process of its own and returns its requests a second.
pub async fn measure(url: &str, in_flight: usize, requests: Vec<WireRequest>, file: &Path) -> Result<f64> {
    let stored: Vec<Stored> = requests
        .into_iter()
        .map(|request| Stored {
            key: request.idempotency_key.unwrap_or_default(),
            body: String::from_utf8_lossy(&request.body.unwrap_or_default()).into_owned(),
        })
        .collect();
    std::fs::write(file, serde_json::to_vec(&stored)?)?;
    let mut arguments = vec!["bare-loop".to_owned()];
    for (flag, value) in [
        ("--url", url.to_owned()),
        ("--token-file", processes::simulator::token_file()),
        ("--in-flight", in_flight.to_string()),
        ("--requests", file.display().to_string()),
    ] {
        arguments.extend([flag.to_owned(), value]);
    }
    let printed = processes::run(&std::env::current_exe()?, arguments).await;
    std::fs::remove_file(file)?;
    printed?.trim().parse().context("the bare loop did not print a number")
}

/// Sends everything and prints the requests a second, between a tenth and nine tenths of them.
pub async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let token = std::fs::read_to_string(&arguments.token_file)?;
    let bytes = std::fs::read(&arguments.requests)?;
    let requests: Arc<Vec<Stored>> = Arc::new(serde_json::from_slice(&bytes)?);
    ensure!(requests.len() >= 10, "the bare loop needs ten requests or more");
    let client = reqwest::Client::builder()
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(arguments.in_flight)
        .timeout(Duration::from_secs(10))
        .build()?;
    let next = Arc::new(AtomicUsize::new(0));
    let mut loops = JoinSet::new();
    for _ in 0..arguments.in_flight {
        let (client, requests, next) = (client.clone(), requests.clone(), next.clone());
        let url = format!("{}/appointments", arguments.url);
        let token = format!("Bearer {}", token.trim());
        loops.spawn(async move {
            let mut ends = Vec::new();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let sending = client
                    .post(&url)
                    .header("authorization", &token)
                    .header("accept", "application/json")
                    .header("content-type", "application/json")
                    .header("idempotency-key", &request.key)
                    .body(request.body.clone());
                sending.send().await?.error_for_status()?.bytes().await?;
                ends.push(Instant::now());
            }
            anyhow::Ok(ends)
        });
    }
    let mut ends = Vec::new();
    while let Some(ended) = loops.join_next().await {
        ends.extend(ended??);
    }
    ends.sort_unstable();
    let (first, last) = (ends.len() / 10, ends.len() * 9 / 10);
    println!("{}", (last - first) as f64 / (ends[last] - ends[first]).as_secs_f64());
    Ok(ExitCode::SUCCESS)
}
