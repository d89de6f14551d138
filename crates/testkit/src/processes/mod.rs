//! The real programs as child processes. Whatever ends the demo ends them: they hold the other end of a pipe, or the
//! kernel kills them with it. A terminal's Ctrl-C reaches the demo only, which stops them in order.

pub mod kafka_proxy;
pub mod log_reader;
pub mod redis;
pub mod simulator;
pub mod worker;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How often to look whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long a process may take to stop by itself; `stack.sh` gives both its servers 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// How a process is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopBy {
    /// By the end of its standard input, which also comes when we die.
    Input,
    /// By SIGTERM; the kernel kills it when we die.
    Signal,
}

/// Where a process writes its messages.
pub struct Messages<'a> {
    /// The file that they end up in.
    pub log: &'a Path,
    /// The file itself, or a pipe to who writes it.
    pub output: OwnedFd,
}

/// A child process. Dropping it stops it and waits for its end.
pub struct ChildProcess {
    name: String,
    child: Child,
    stop_by: StopBy,
    log: PathBuf,
    /// Its lines on standard output, once they are read.
    lines: Option<mpsc::Receiver<String>>,
    has_ended: bool,
}

impl ChildProcess {
    /// Starts `program`; its messages are added to the file `log`.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        log: &Path,
        stop_by: StopBy,
    ) -> Result<ChildProcess> {
        let messages = Messages { log, output: append(log)?.into() };
        ChildProcess::start_logging_to(name, program, arguments, messages, stop_by)
    }

    /// Starts `program`; its messages go to the pipe of `messages`, and from there to its file.
    pub fn start_logging_to(
        name: &str,
        program: &Path,
        arguments: &[String],
        messages: Messages<'_>,
        stop_by: StopBy,
    ) -> Result<ChildProcess> {
        let Messages { log, output: messages } = messages;
        let mut command = match stop_by {
            StopBy::Input => Command::new(program),
            StopBy::Signal => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL"]).arg(program);
                command
            }
        };
        let (input, output) = match stop_by {
            StopBy::Input => (Stdio::piped(), Stdio::piped()),
            StopBy::Signal => (Stdio::null(), messages.try_clone()?.into()),
        };
        let child = command
            .args(arguments)
            .stdin(input)
            .stdout(output)
            .stderr(messages)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", program.display()))?;
        Ok(ChildProcess {
            name: name.to_owned(),
            child,
            stop_by,
            log: log.to_owned(),
            lines: None,
            has_ended: false,
        })
    }

    /// Waits for its next line on standard output, of a process that is stopped by `Input`.
    pub async fn next_line(&mut self, limit: Duration) -> Result<String> {
        let lines = self.take_lines()?;
        let wait = move || (lines.recv_timeout(limit), lines);
        let (line, lines) = tokio::task::spawn_blocking(wait).await?;
        self.received(line, lines, limit)
    }

    /// The same, for a thread that may wait.
    pub fn wait_for_line(&mut self, limit: Duration) -> Result<String> {
        let lines = self.take_lines()?;
        let line = lines.recv_timeout(limit);
        self.received(line, lines, limit)
    }

    fn take_lines(&mut self) -> Result<mpsc::Receiver<String>> {
        self.lines.take().map_or_else(|| self.listen(), Ok)
    }

    fn received(
        &mut self,
        line: Result<String, RecvTimeoutError>,
        lines: mpsc::Receiver<String>,
        limit: Duration,
    ) -> Result<String> {
        self.lines = Some(lines);
        line.map_err(|why| match why {
            RecvTimeoutError::Timeout => self.failure(&format!("printed nothing for {} s", limit.as_secs())),
            RecvTimeoutError::Disconnected => self.failure("ended before it printed the line"),
        })
    }

    fn listen(&mut self) -> Result<mpsc::Receiver<String>> {
        let stdout = self.child.stdout.take().context("its output is not ours to read")?;
        let (lines, line) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that the process never waits for a reader.
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)));
        });
        Ok(line)
    }

    /// Writes a line to its standard input, of a process that is stopped by `Input`.
    pub fn write_line(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("its standard input is closed")?;
        writeln!(input, "{line}").with_context(|| format!("{} does not read its standard input", self.name))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                self.has_ended = true;
                bail!(self.failure(&format!("ended by itself ({status})")))
            }
        }
    }

    /// Its exit status, once it has ended; it was told to end.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.has_ended |= status.is_some();
        Ok(status)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.has_ended = true;
        Ok(())
    }

    fn failure(&self, what: &str) -> anyhow::Error {
        anyhow::anyhow!("{} {what}; the end of {}:\n{}", self.name, self.log.display(), tail(&self.log))
    }

    /// Stops it and waits for its end, unless it has ended.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true)
            && let Err(error) = self.stop()
        {
            eprintln!("{} could not be stopped: {error}", self.name);
        }
    }

    fn stop(&mut self) -> Result<ExitStatus> {
        drop(self.child.stdin.take());
        if self.stop_by == StopBy::Signal
            && let Some(pid) = Pid::from_raw(self.child.id().cast_signed())
        {
            kill_process(pid, Signal::TERM)?;
        }
        let deadline = Instant::now() + STOP_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                eprintln!("{} did not stop within {} s; killing it", self.name, STOP_LIMIT.as_secs());
                self.child.kill()?;
                return Ok(self.child.wait()?);
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs `program` to its end; fails if its exit status is not 0. Returns its standard output.
pub async fn run(program: &Path, arguments: Vec<String>) -> Result<String> {
    let shown = format!("{} {}", program.display(), arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    let output = output.with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!("{shown} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `--set` flags.
pub fn set(values: &[(&str, &str)]) -> Vec<String> {
    values.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]).collect()
}

/// A program of ours: beside the one that runs, or one folder above, where a test runs.
pub fn beside(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find our own program")?;
    let mut program = this.with_file_name(name);
    if !program.exists() {
        program = this.with_file_name("..").join(name);
    }
    if !program.exists() {
        bail!(
            "{} does not exist; run 'cargo build --workspace --bins' in the same profile first",
            program.display()
        );
    }
    Ok(program)
}

/// A port that is free now.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn append(log: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("cannot write {}", log.display()))
}

fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
