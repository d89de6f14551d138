//! Redis, as a process of a test: it keeps nothing on disk, so a killed one comes back empty.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{ChildProcess, StopBy, free_port};
use crate::wait::wait_for;

const START_LIMIT: Duration = Duration::from_secs(10);

/// A Redis of its own, on a port that it keeps.
pub struct Redis {
    /// Where it listens.
    pub port: u16,
    folder: PathBuf,
    options: Vec<String>,
    process: Option<ChildProcess>,
}

impl Redis {
    /// Starts one; `options` are more of its own, as on its command line.
    pub fn start(folder: &Path, options: &[String]) -> Result<Redis> {
        let port = free_port()?;
        let mut redis = Redis { port, folder: folder.to_owned(), options: options.to_vec(), process: None };
        redis.start_again()?;
        Ok(redis)
    }

    /// Its URL, without TLS.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it again on its port, with nothing in it.
    pub fn start_again(&mut self) -> Result<()> {
        let port = self.port.to_string();
        let mut arguments: Vec<String> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"].map(str::to_owned).into();
        arguments.push(self.folder.display().to_string());
        let has_tls = self.options.iter().any(|option| option == "--tls-port");
        arguments.extend(if has_tls { vec![] } else { vec!["--port".to_owned(), port] });
        arguments.extend(self.options.iter().map(|option| option.replace("PORT", &self.port.to_string())));
        let log = self.folder.join("redis.log");
        let program = Path::new("redis-server");
        let process = ChildProcess::start("Redis", program, &arguments, &log, StopBy::Signal)?;
        self.process = Some(process);
        let address = ("127.0.0.1", self.port);
        wait_for(START_LIMIT, || TcpStream::connect(address).ok()).context("Redis does not listen")?;
        Ok(())
    }

    /// Kills it: all that it knew is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }
}
