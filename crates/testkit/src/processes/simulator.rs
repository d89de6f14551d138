//! The pretend HealthFlow, by `healthflow-simulator`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{ChildProcess, StopBy, beside};
use crate::project;

const START_LIMIT: Duration = Duration::from_secs(10);

/// A running simulator.
pub struct Simulator {
    /// Its base URL.
    pub url: String,
    process: ChildProcess,
}

impl Simulator {
    /// Starts one; `options` are flags of its own.
    pub async fn start(logs: &Path, options: &[String]) -> Result<Simulator> {
        let mut arguments: Vec<String> =
            ["--listen", "127.0.0.1:0", "--stop-with-stdin", "--token-file"].map(str::to_owned).into();
        arguments.push(token_file());
        arguments.extend_from_slice(options);
        let program = beside("healthflow-simulator")?;
        let log = logs.join("simulator.log");
        let mut process = ChildProcess::start("the simulator", &program, &arguments, &log, StopBy::Input)?;
        let line = process.next_line(START_LIMIT).await?;
        let url =
            line.strip_prefix("ready healthflow=").context("the simulator did not print its address")?;
        Ok(Simulator { url: url.to_owned(), process })
    }

    /// Fails if it has ended.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }
}

/// The file with the token that it asks for.
pub fn token_file() -> String {
    project("stack/simulator-token").display().to_string()
}
