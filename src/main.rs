//! The product: reads the command line and the configuration, and runs the command.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Parser;
use healthflow_sync::cli::output::Printer;
use healthflow_sync::cli::{self, Cli, Command, Connection};
use healthflow_sync::config::Config;
use healthflow_sync::kafka_admin::topics::TopicFault;
use healthflow_sync::metrics::log;
use healthflow_sync::registry::{RegistryFault, SchemaRegistry};
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
    let (mut stdout, format) = (std::io::stdout(), command.output());
    match &command {
        Command::Config { action } => {
            return cli::config::run(action, &mut Printer::new(&mut stdout, format));
        }
        Command::Completions { shell } => return cli::manual::completions(*shell, &mut stdout),
        Command::Man { folder } => return cli::manual::man(folder.as_deref(), &mut stdout),
        _ => {}
    }
    let (file, flags) = command.settings().map(|of| (of.config.as_deref(), &of.set[..])).unwrap_or_default();
    let config = Config::load(file, flags)?;
    let retry_policy = match command {
        Command::Run { .. } => cli::run::registry_retry_policy(&config),
        _ => cli::run::command_retry_policy(&config),
    };
    let connection = Connection {
        kafka: cli::run::kafka_settings(&config)?.client(),
        registry: Arc::new(SchemaRegistry::new(cli::reach::registry_settings(&config), retry_policy)?),
    };
    if let Command::Run { .. } = command {
        return cli::run::run(&config, &connection).map(|()| ExitCode::SUCCESS);
    }
    // One thread beside this one, which may wait for Kafka.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let mut out = Printer::new(&mut stdout, format);
    let done = runtime.block_on(perform(command, &config, &connection, &mut out));
    done.map_err(|error| with_address(error, &config))
}

/// Runs a command that needs Kafka or the registry, and is no worker.
async fn perform(
    command: Command,
    config: &Config,
    connection: &Connection,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let kafka = cli::run::kafka_settings(config)?;
    let now = Clock::start().now();
    match command {
        Command::Run { .. } | Command::Config { .. } | Command::Completions { .. } | Command::Man { .. } => {
            Ok(ExitCode::SUCCESS)
        }
        Command::Topics { arguments, .. } => cli::topics::run(connection, arguments, config, out).await,
        Command::Repartition { arguments, .. } => {
            cli::repartition::run(connection, kafka, arguments, now, out).await
        }
        Command::Takeover { arguments, .. } => {
            cli::takeover::run(connection, kafka, &arguments, now, out).await
        }
        Command::AcceptTopics { arguments, .. } => {
            cli::accept_topics::run(connection, kafka, arguments, out).await
        }
        Command::DropRecord { arguments, .. } => {
            cli::drop_record::run(connection, kafka, arguments, out).await
        }
        Command::Redrive { arguments, .. } => {
            cli::redrive::run(connection, kafka, &arguments, now, out).await
        }
        Command::Pause { arguments, .. } => {
            cli::controls::pause(connection, &kafka, &arguments, now, out).await
        }
        Command::Resume { arguments, .. } => {
            cli::controls::resume(connection, &kafka, &arguments, now, out).await
        }
        Command::Limit { action } => cli::controls::limit(connection, &kafka, &action, now, out).await,
        Command::Review { action } => {
            let healthflow = cli::run::healthflow_settings(config);
            cli::review::run(connection, kafka, &healthflow, &action, Clock::start(), out).await
        }
        Command::Send { arguments, .. } => cli::send::run(connection, &arguments, now, out).await,
        Command::Tail { arguments, .. } => cli::tail::run(connection, &arguments, out).await,
    }
}

/// The error of a command with the address of the registry, if that is what did not answer.
fn with_address(error: anyhow::Error, config: &Config) -> anyhow::Error {
    let is_registrys = error.chain().any(|cause| {
        let fault = cause.downcast_ref::<RegistryFault>();
        let of_topics = cause.downcast_ref::<TopicFault>();
        fault
            .or(match of_topics {
                Some(TopicFault::Registry(fault)) => Some(fault),
                _ => None,
            })
            .is_some_and(RegistryFault::is_transient)
    });
    if is_registrys {
        anyhow!("{error:#}; `schema_registry.url` is {}", config.schema_registry.url)
    } else {
        error
    }
}
