//! The product: reads the command line and the configuration, and runs the command.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use healthflow_sync::cli::{self, Cli, Command, Connection};
use healthflow_sync::config::Config;
use healthflow_sync::metrics::log;
use healthflow_sync::registry::SchemaRegistry;
use healthflow_sync::worker::Clock;

fn main() -> ExitCode {
    match start(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            log::say(&format!("healthflow-sync: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(command_line: Cli) -> anyhow::Result<ExitCode> {
    let command = command_line.command;
    let config = Config::load(command.settings().config.as_deref(), &command.settings().set)?;
    let retry_policy = match command {
        Command::Run { .. } => cli::run::registry_retry_policy(&config),
        _ => cli::run::command_retry_policy(&config),
    };
    let connection = Connection {
        kafka: cli::run::kafka_settings(&config)?.client(),
        registry: Arc::new(SchemaRegistry::new(&config.schema_registry.url, retry_policy)?),
    };
    let mut out = std::io::stdout();
    if let Command::Run { .. } = command {
        return cli::run::run(&config, &connection).map(|()| ExitCode::SUCCESS);
    }
    // One thread beside this one, which may wait for Kafka.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    runtime.block_on(async {
        match command {
            Command::Run { .. } => Ok(ExitCode::SUCCESS),
            Command::Topics { arguments, .. } => {
                cli::topics::run(&connection, arguments, &config, &mut out).await
            }
            Command::Repartition { arguments, .. } => {
                let kafka = cli::run::kafka_settings(&config)?;
                cli::repartition::run(&connection, kafka, arguments, Clock::start().now(), &mut out).await
            }
            Command::Takeover { arguments, .. } => {
                let kafka = cli::run::kafka_settings(&config)?;
                cli::takeover::run(&connection, kafka, &arguments, Clock::start().now(), &mut out).await
            }
            Command::AcceptTopics { arguments, .. } => {
                let kafka = cli::run::kafka_settings(&config)?;
                cli::accept_topics::run(&connection, kafka, arguments, &mut out).await
            }
            Command::DropRecord { arguments, .. } => {
                let kafka = cli::run::kafka_settings(&config)?;
                cli::drop_record::run(&connection, kafka, arguments, &mut out).await
            }
            Command::Redrive { arguments, .. } => {
                let kafka = cli::run::kafka_settings(&config)?;
                let now = Clock::start().now();
                cli::redrive::run(&connection, kafka, &arguments, now, &mut out).await
            }
            Command::Pause { arguments, .. } => {
                let (kafka, now) = (cli::run::kafka_settings(&config)?, Clock::start().now());
                cli::controls::pause(&connection, &kafka, &arguments, now, &mut out).await
            }
            Command::Resume { arguments, .. } => {
                let (kafka, now) = (cli::run::kafka_settings(&config)?, Clock::start().now());
                cli::controls::resume(&connection, &kafka, &arguments, now, &mut out).await
            }
            Command::Limit { action } => {
                let (kafka, now) = (cli::run::kafka_settings(&config)?, Clock::start().now());
                cli::controls::limit(&connection, &kafka, &action, now, &mut out).await
            }
            Command::Review { action } => {
                let kafka = cli::run::kafka_settings(&config)?;
                let healthflow = cli::run::healthflow_settings(&config);
                cli::review::run(&connection, kafka, &healthflow, &action, Clock::start(), &mut out).await
            }
            Command::Send { arguments, .. } => {
                cli::send::run(&connection, &arguments, Clock::start().now(), &mut out).await
            }
            Command::Tail { arguments, .. } => cli::tail::run(&connection, &arguments, &mut out).await,
        }
    })
}
