//! Stacks by time, as a flamegraph for each kind of thread. The clock is the kernel's own (`cpu-clock`): it needs no
//! counters of the processor, which a virtual machine rarely has.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::perf::Perf;
use crate::bench::process::purpose_of;

/// Samples a second of each busy processor: no divisor of the timers that threads sleep by.
const SAMPLES_PER_SECOND: &str = "997";
/// How much of a stack is kept. The stacks are unwound by the program's own tables, since neither we nor librdkafka keep
/// frame pointers.
const STACKS: &str = "dwarf,16384";
/// How many functions are named per kind of thread.
const FUNCTIONS: usize = 6;

/// What the samples say of one kind of thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flamegraph {
    /// What the threads do.
    pub purpose: &'static str,
    /// Samples in it.
    pub samples: u64,
    /// The picture.
    pub file: PathBuf,
    /// Functions in which most samples were taken, not counting what they call.
    pub functions: Vec<(String, u64)>,
}

/// Begins to take samples.
pub fn start(pid: u32, out: &Path) -> Result<Perf, String> {
    let options = ["-N", "-e", "cpu-clock", "-F", SAMPLES_PER_SECOND, "--call-graph", STACKS];
    Perf::start("record", &options, pid, out.join("samples.data"))
}

/// Ends it and draws the pictures.
pub fn finish(perf: Perf, inferno: &Path, out: &Path) -> Result<Vec<Flamegraph>, String> {
    let folded = fold(&perf.stop()?, inferno)?;
    let mut flamegraphs = Vec::new();
    for (purpose, stacks) in by_purpose(&folded) {
        flamegraphs.push(draw(purpose, &stacks, inferno, out)?);
    }
    flamegraphs.sort_by_key(|one| std::cmp::Reverse(one.samples));
    if flamegraphs.is_empty() { Err("perf took no samples".to_owned()) } else { Ok(flamegraphs) }
}

/// A line for each stack: the thread's name and the functions, outermost first, then how often it was seen.
fn fold(samples: &Path, inferno: &Path) -> Result<String, String> {
    let program = inferno.join("inferno-collapse-perf");
    // Without its search for inlined functions, which runs a program for each address.
    let mut script = Command::new("perf")
        .args(["script", "--no-inline", "-F", "comm,pid,tid,time,event,ip,sym,dso", "-i"])
        .arg(samples)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|why| format!("cannot start perf: {why}"))?;
    let stacks = script.stdout.take().ok_or("perf has no output")?;
    let folded = Command::new(&program)
        .stdin(stacks)
        .stderr(Stdio::null())
        .output()
        .map_err(|why| format!("cannot run {}: {why}", program.display()));
    script.wait().map_err(|why| format!("perf script: {why}"))?;
    Ok(String::from_utf8_lossy(&folded?.stdout).into_owned())
}

fn by_purpose(folded: &str) -> BTreeMap<&'static str, String> {
    let mut stacks: BTreeMap<&'static str, String> = BTreeMap::new();
    for line in folded.lines() {
        let thread = line.split(';').next().unwrap_or_default();
        let stacks = stacks.entry(purpose_of(thread)).or_default();
        stacks.push_str(line);
        stacks.push('\n');
    }
    stacks
}

fn draw(purpose: &'static str, stacks: &str, inferno: &Path, out: &Path) -> Result<Flamegraph, String> {
    let name = purpose.to_lowercase().replace(' ', "-");
    let (folded, file) = (out.join(format!("{name}.folded")), out.join(format!("{name}.svg")));
    fs::write(&folded, stacks).map_err(|why| format!("cannot write {}: {why}", folded.display()))?;
    let picture = File::create(&file).map_err(|why| format!("cannot write {}: {why}", file.display()))?;
    let program = inferno.join("inferno-flamegraph");
    let drawn = Command::new(&program)
        .args(["--title", purpose])
        .arg(&folded)
        .stdin(Stdio::null())
        .stdout(picture)
        .status()
        .map_err(|why| format!("cannot run {}: {why}", program.display()))?;
    if !drawn.success() {
        return Err(format!("{} could not draw {}", program.display(), folded.display()));
    }
    Ok(Flamegraph { purpose, samples: samples_of(stacks), file, functions: functions_of(stacks) })
}

/// The stack of a folded line and how often it was seen.
fn stack(line: &str) -> Option<(&str, u64)> {
    let (stack, count) = line.rsplit_once(' ')?;
    Some((stack, count.parse().ok()?))
}

fn samples_of(stacks: &str) -> u64 {
    stacks.lines().filter_map(stack).map(|(_, count)| count).sum()
}

fn functions_of(stacks: &str) -> Vec<(String, u64)> {
    let mut by_function: HashMap<&str, u64> = HashMap::new();
    for (stack, count) in stacks.lines().filter_map(stack) {
        *by_function.entry(stack.rsplit(';').next().unwrap_or_default()).or_default() += count;
    }
    let mut functions: Vec<(String, u64)> =
        by_function.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    functions.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    functions.truncate(FUNCTIONS);
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_told_apart_by_what_their_threads_do() {
        let folded = "task-0;start;commit 3\ntask-1;start;commit;write 2\nlanes;start;poll 1\n";
        let stacks = by_purpose(folded);
        assert_eq!(stacks.keys().copied().collect::<Vec<_>>(), ["encode and commit", "read and decode"]);
        let of_tasks = &stacks["encode and commit"];
        assert_eq!(samples_of(of_tasks), 5);
        assert_eq!(functions_of(of_tasks), [("commit".to_owned(), 3), ("write".to_owned(), 2)]);
    }
}
