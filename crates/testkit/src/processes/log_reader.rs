//! Reads what a worker logs, as a log shipper would: a process of its own at the other end of a pipe, which may die.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{LOOK, append};

/// How long it may take to write down the last lines of a worker that has ended.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(2);

/// The process. Dropping it ends it, once it has written down everything if the worker has ended.
pub struct LogReader {
    child: Child,
}

impl LogReader {
    /// Starts one that adds to the file `log` what comes through the pipe.
    pub fn start(log: &Path) -> Result<(LogReader, OwnedFd)> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "cat"]).stdin(Stdio::piped()).stdout(append(log)?);
        let mut child = command.spawn().context("cannot start a log reader")?;
        let pipe = child.stdin.take().context("a log reader has no input")?;
        Ok((LogReader { child }, pipe.into()))
    }

    /// Kills it with SIGKILL: the worker's next write gets a broken pipe. Returns whether it ran.
    pub fn kill(&mut self) -> Result<bool> {
        let was_there = self.child.try_wait()?.is_none();
        if was_there {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(was_there)
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        let deadline = Instant::now() + LAST_LINES_LIMIT;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        if let Err(error) = self.kill() {
            eprintln!("demo: a log reader could not be stopped: {error}");
        }
    }
}
