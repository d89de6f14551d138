//! perf at a running worker. It begins to count when it is told to and has said so, so that it misses nothing of what is
//! measured; and it says itself why it may not.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};

/// How long perf may take to begin, or to write down what it has.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

/// A perf at work. Killed if it is dropped before it is stopped.
pub struct Perf {
    child: Child,
    /// Where its numbers or samples go.
    pub data: PathBuf,
    log: PathBuf,
}

impl Perf {
    /// Starts `perf WHAT OPTIONS` at the process and lets it begin; the error says why that cannot be.
    pub fn start(what: &str, options: &[&str], pid: u32, data: PathBuf) -> Result<Perf, String> {
        let log = data.with_extension("log");
        let [commands, answers] = ["commands", "answers"].map(|name| data.with_extension(name));
        let (mut orders, mut said) = (fifo(&commands)?, fifo(&answers)?);
        let messages = File::create(&log).map_err(|why| format!("cannot write {}: {why}", log.display()))?;
        let child = Command::new("perf")
            .args([what, "--delay=-1", "--control"])
            .arg(format!("fifo:{},{}", commands.display(), answers.display()))
            .arg("-o")
            .arg(&data)
            .args(options)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(messages)
            .spawn()
            .map_err(|why| format!("cannot start perf: {why}"))?;
        let mut perf = Perf { child, data, log };
        let began = orders
            .write_all(b"enable\n")
            .map_err(|why| format!("cannot tell perf to begin: {why}"))
            .and_then(|()| perf.wait_for_answer(&mut said));
        let _ = (fs::remove_file(commands), fs::remove_file(answers));
        began.map(|()| perf)
    }

    fn wait_for_answer(&mut self, said: &mut File) -> Result<(), String> {
        let (deadline, mut text) = (Instant::now() + LIMIT, [0; 16]);
        while Instant::now() < deadline {
            if said.read(&mut text).is_ok_and(|length| length > 0) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("perf ended ({status}); it said: {}", self.last_words()));
            }
            std::thread::sleep(LOOK);
        }
        Err(format!("perf did not begin within {} s; it said: {}", LIMIT.as_secs(), self.last_words()))
    }

    /// Stops it; then its data are complete.
    pub fn stop(mut self) -> Result<PathBuf, String> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).ok_or("perf has no process id")?;
        kill_process(pid, Signal::INT).map_err(|why| format!("cannot stop perf: {why}"))?;
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Ok(self.data.clone());
            }
            std::thread::sleep(LOOK);
        }
        Err(format!("perf did not end within {} s", LIMIT.as_secs()))
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" ")
    }
}

impl Drop for Perf {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = (self.child.kill(), self.child.wait());
        }
    }
}

/// A pipe with a name, open at both ends here, so that neither side waits for the other to open it.
fn fifo(path: &Path) -> Result<File, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot make the pipe {}: {why}", path.display());
    let _ = fs::remove_file(path);
    rustix::fs::mknodat(CWD, path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .map_err(|why| cannot(&why))?;
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, OFlags::NONBLOCK.bits().cast_signed());
    options.open(path).map_err(|why| cannot(&why))
}
