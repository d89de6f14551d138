//! The product: reads the command line and starts what it asks for.

use std::io::stdout;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::bail;
use clap::Parser;
use healthflow_sync::cli::{self, Cli, Command, Connection};
use healthflow_sync::kafka::schema_registry::{Patience, SchemaRegistry};
use healthflow_sync::time::Timestamp;

#[tokio::main]
async fn main() -> ExitCode {
    match start(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("healthflow-sync: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start(cli: Cli) -> anyhow::Result<ExitCode> {
    let connection = connection(&cli)?;
    let mut out = stdout();
    match &cli.command {
        Command::Run => bail!("run is not there yet"),
        Command::Topics(arguments) => cli::topics::run(&connection, *arguments, &mut out).await,
        Command::Send(arguments) => cli::send::run(&connection, arguments, now(), &mut out).await,
        Command::Tail(arguments) => cli::tail::run(&connection, arguments, &mut out).await,
    }
}

fn connection(cli: &Cli) -> anyhow::Result<Connection> {
    let value = |key: &str, default: &str| {
        let set = cli.set.iter().filter_map(|set| set.split_once('=')).rfind(|(name, _)| *name == key);
        set.map_or(default, |(_, value)| value).to_owned()
    };
    let mut kafka = rdkafka::ClientConfig::new();
    kafka.set("bootstrap.servers", value("kafka.brokers", "127.0.0.1:9092"));
    let url = value("schema_registry.url", "http://127.0.0.1:8081");
    Ok(Connection { kafka, registry: Arc::new(SchemaRegistry::new(&url, Patience::default())?) })
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
