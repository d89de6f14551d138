//! The command line: what can be typed, and one file per command. Each is a thin use of what workers use too,
//! so that what is tried by hand is what runs.

pub mod run;
pub mod send;
pub mod tail;
pub mod topics;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use rdkafka::ClientConfig;

use crate::kafka::schema_registry::SchemaRegistry;

/// Puts a dental practice's bookings into its health record, exactly once.
#[derive(Clone, Debug, Parser)]
#[command(name = "healthflow-sync", version)]
pub struct Cli {
    /// Configuration file (TOML), over the built-in defaults.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets one key over file and environment, as in --set kafka.brokers=broker:9092; may be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a worker until it is told to stop.
    Run,
    /// Create the topics and register their schemas, or check them.
    Topics(topics::Arguments),
    /// Publish one booking as DentScheduler would.
    Send(send::Arguments),
    /// Print the records of a topic as JSON lines; they hold patient data.
    Tail(tail::Arguments),
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
        let cli = Cli::try_parse_from(["x", "tail", "appointments.synced", "--limit", "2", "--set", "a.b=c"]);
        let cli = cli.expect("global flags may follow the command");
        assert_eq!(cli.set, ["a.b=c"]);
        assert!(matches!(cli.command, Command::Tail(tail::Arguments { limit: Some(2), .. })));
    }
}
