//! The product: reads the command line and starts what it asks for.

use std::io::stdout;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::bail;
use clap::Parser;
use healthflow_sync::cli::{self, Cli, Command, Connection};
use healthflow_sync::config::Config;
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
    let config = Config::load(cli.config.as_deref(), &cli.set)?;
    let connection = Connection::new(&config)?;
    let mut out = stdout();
    match &cli.command {
        Command::Run => bail!("run is not there yet"),
        Command::Topics(arguments) => cli::topics::run(&connection, *arguments, &mut out).await,
        Command::Send(arguments) => cli::send::run(&connection, arguments, now(), &mut out).await,
        Command::Tail(arguments) => cli::tail::run(&connection, arguments, &mut out).await,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
