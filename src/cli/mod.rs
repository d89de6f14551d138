//! The command line, one file per command. Commands use the same code as workers, so that what you try by hand is what
//! runs.

pub mod accept_topics;
pub mod config;
pub mod controls;
pub mod drop_record;
pub mod manual;
mod name_lock;
mod open_files;
pub mod output;
mod publish;
pub mod reach;
pub mod redrive;
pub mod repartition;
pub mod review;
mod starting;
mod watcher;
pub mod run;
pub mod send;
pub mod tail;
pub mod takeover;
pub mod topics;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use rdkafka::ClientConfig;

use crate::cli::output::Format;
use crate::registry::{SchemaRegistry, Translator};
use healthflow_core::event::avro::contracts;

/// Puts a dental practice's bookings into its health record, exactly once.
#[derive(Clone, Debug, Parser)]
#[command(name = "healthflow-sync", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where a command takes its configuration from. The flags follow the command: clap drops one before the command if the
/// same flag also comes after it.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Configuration file (TOML), over the built-in defaults.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets one key over file and environment, as in --set kafka.brokers=broker:9092; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What commands that print results share.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Its configuration.
    #[command(flatten)]
    pub settings: Settings,
    /// The form of results: lines for people, or one JSON object a line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a worker until it is asked to stop.
    Run {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
    },
    /// Show the configuration: every key, its value, its origin, its meaning.
    Config {
        /// What to do.
        #[command(subcommand)]
        action: config::Action,
    },
    /// Create the topics and register their schemas, or check them.
    Topics {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// What to do.
        #[command(flatten)]
        arguments: topics::Arguments,
    },
    /// Give every topic more partitions and move the state along; every worker must be stopped.
    Repartition {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// What to do.
        #[command(flatten)]
        arguments: repartition::Arguments,
    },
    /// Hand the state of another fleet over to the configured one; every worker of both must be stopped.
    Takeover {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// From whom.
        #[command(flatten)]
        arguments: takeover::Arguments,
    },
    /// Accept topics that were recreated, as after a restore from a backup; every worker must be stopped.
    AcceptTopics {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// What to do.
        #[command(flatten)]
        arguments: accept_topics::Arguments,
    },
    /// Remove a record of a state topic that no worker can use and that keeps its task from going live.
    DropRecord {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Which.
        #[command(flatten)]
        arguments: drop_record::Arguments,
    },
    /// Try dead letters once more.
    Redrive {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Which.
        #[command(flatten)]
        arguments: redrive::Arguments,
    },
    /// Send nothing more to HealthFlow, for one practice or for all; every worker obeys within 2 seconds, and after restarts.
    Pause {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Whom.
        #[command(flatten)]
        arguments: controls::Arguments,
    },
    /// Send again what `pause` stopped.
    Resume {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Whom.
        #[command(flatten)]
        arguments: controls::Arguments,
    },
    /// Set, clear or list limits and weights while workers run.
    Limit {
        /// What to do.
        #[command(subcommand)]
        action: controls::Action,
    },
    /// List, show and decide what waits for a person.
    Review {
        /// What to do.
        #[command(subcommand)]
        action: review::Action,
    },
    /// Publish one booking as DentScheduler would.
    Send {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// What to send.
        #[command(flatten)]
        arguments: send::Arguments,
    },
    /// Print the records of a topic as JSON lines, in text and JSON output alike; they hold patient data.
    Tail {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// What to print.
        #[command(flatten)]
        arguments: tail::Arguments,
    },
    /// Print the completions of these commands for a shell.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write a page for each command.
    Man {
        /// Write healthflow-sync.1 and a page for each command to this folder.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

impl Command {
    /// Where it takes its configuration from; none if it needs none.
    pub fn settings(&self) -> Option<&Settings> {
        match self {
            Command::Run { settings } => Some(settings),
            Command::Completions { .. } | Command::Man { .. } => None,
            other => other.options().map(|options| &options.settings),
        }
    }

    /// The form of its results.
    pub fn output(&self) -> Format {
        self.options().map(|options| options.output).unwrap_or_default()
    }

    fn options(&self) -> Option<&Options> {
        match self {
            Command::Run { .. } | Command::Completions { .. } | Command::Man { .. } => None,
            Command::Topics { options, .. }
            | Command::Repartition { options, .. }
            | Command::Takeover { options, .. }
            | Command::AcceptTopics { options, .. }
            | Command::DropRecord { options, .. }
            | Command::Redrive { options, .. }
            | Command::Pause { options, .. }
            | Command::Resume { options, .. }
            | Command::Send { options, .. }
            | Command::Tail { options, .. } => Some(options),
            Command::Config { action } => Some(action.options()),
            Command::Limit { action } => Some(action.options()),
            Command::Review { action } => Some(action.options()),
        }
    }
}

/// How the commands reach Kafka and the schema registry.
#[derive(Clone)]
pub struct Connection {
    /// Brokers and their security, as librdkafka names it.
    pub kafka: ClientConfig,
    /// The registry.
    pub registry: Arc<SchemaRegistry>,
}

impl Connection {
    /// The schemas for a command. A worker waits for a registry that is away; whoever typed a command wants to be told.
    ///
    /// # Errors
    /// The registry does not answer, does not know our schemas, or we may not look.
    pub async fn translator(&self, group: &str) -> anyhow::Result<Arc<Translator>> {
        let any = contracts().first();
        if let Some(contract) = any {
            self.registry.look_up(contract).await?;
        }
        Ok(Translator::connect(self.registry.clone(), group).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let line = ["x", "tail", "appointments.synced", "--limit", "2", "--set", "a.b=c", "--set", "d.e=f"];
        let cli = Cli::try_parse_from(line).expect("settings follow the command");
        assert_eq!(cli.command.settings().expect("it has some").set, ["a.b=c", "d.e=f"]);
        assert!(
            Cli::try_parse_from(["x", "--set", "a.b=c", "run"]).is_err(),
            "before it they would be dropped"
        );
    }
}
