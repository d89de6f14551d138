//! The command line, one file per command. Commands use the same code as workers, so that what you try by hand is what
//! runs.

pub mod accept_topics;
pub mod controls;
mod open_files;
pub mod drop_record;
mod publish;
pub mod redrive;
pub mod repartition;
pub mod review;
pub mod run;
pub mod send;
pub mod tail;
pub mod takeover;
pub mod topics;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use rdkafka::ClientConfig;

use crate::registry::SchemaRegistry;

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

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a worker until it is asked to stop.
    Run {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
    },
    /// Create the topics and register their schemas, or check them.
    Topics {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
        /// What to do.
        #[command(flatten)]
        arguments: topics::Arguments,
    },
    /// Give every topic more partitions and move the state along; every worker must be stopped.
    Repartition {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
        /// What to do.
        #[command(flatten)]
        arguments: repartition::Arguments,
    },
    /// Hand the state of another fleet over to the configured one; every worker of both must be stopped.
    Takeover {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
        /// From whom.
        #[command(flatten)]
        arguments: takeover::Arguments,
    },
    /// Accept topics that were recreated, as after a restore from a backup; every worker must be stopped.
    AcceptTopics {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
        /// What to do.
        #[command(flatten)]
        arguments: accept_topics::Arguments,
    },
    /// Remove a record of a state topic that no worker can use and that keeps its task from going live.
    DropRecord {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
        /// Which.
        #[command(flatten)]
        arguments: drop_record::Arguments,
    },
    /// Try dead letters once more.
    Redrive {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
        /// Which.
        #[command(flatten)]
        arguments: redrive::Arguments,
    },
    /// Send nothing more to HealthFlow, for one practice or for all; every worker obeys within 2 seconds, and after restarts.
    Pause {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
        /// Whom.
        #[command(flatten)]
        arguments: controls::Arguments,
    },
    /// Send again what `pause` stopped.
    Resume {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
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
        settings: Settings,
        /// What to send.
        #[command(flatten)]
        arguments: send::Arguments,
    },
    /// Print the records of a topic as JSON lines; they hold patient data.
    Tail {
        /// Its configuration.
        #[command(flatten)]
        settings: Settings,
        /// What to print.
        #[command(flatten)]
        arguments: tail::Arguments,
    },
}

impl Command {
    /// Where it takes its configuration from.
    pub fn settings(&self) -> &Settings {
        match self {
            Command::Run { settings }
            | Command::Topics { settings, .. }
            | Command::Repartition { settings, .. }
            | Command::Takeover { settings, .. }
            | Command::AcceptTopics { settings, .. }
            | Command::DropRecord { settings, .. }
            | Command::Redrive { settings, .. }
            | Command::Pause { settings, .. }
            | Command::Resume { settings, .. }
            | Command::Send { settings, .. }
            | Command::Tail { settings, .. } => settings,
            Command::Limit { action } => action.settings(),
            Command::Review { action } => action.settings(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let line = ["x", "tail", "appointments.synced", "--limit", "2", "--set", "a.b=c", "--set", "d.e=f"];
        let cli = Cli::try_parse_from(line).expect("settings follow the command");
        assert_eq!(cli.command.settings().set, ["a.b=c", "d.e=f"]);
        assert!(
            Cli::try_parse_from(["x", "--set", "a.b=c", "run"]).is_err(),
            "before it they would be dropped"
        );
    }
}
