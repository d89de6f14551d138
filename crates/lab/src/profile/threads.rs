//! CPU time and context switches of each thread, from /proc: no tool is needed, and nothing is slowed down.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use crate::bench::process::{cpu_seconds_by_threads, purpose_of};

/// What the threads have used so far, by what they do.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// CPU seconds.
    pub cpu_seconds: BTreeMap<&'static str, f64>,
    /// How often a thread waited for something.
    pub waits: BTreeMap<&'static str, u64>,
    /// How often a thread was interrupted by another one.
    pub interruptions: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Reads them. Threads that have ended are not in it.
    pub fn take(pid: u32) -> Result<Counts> {
        let mut counts = Counts { cpu_seconds: cpu_seconds_by_threads(pid)?, ..Counts::default() };
        let folder = format!("/proc/{pid}/task");
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
            let path = entry?.path();
            let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
            let (purpose, status) = (purpose_of(read("comm").trim()), read("status"));
            *counts.waits.entry(purpose).or_default() += switches(&status, "voluntary_ctxt_switches:");
            *counts.interruptions.entry(purpose).or_default() +=
                switches(&status, "nonvoluntary_ctxt_switches:");
        }
        Ok(counts)
    }

    /// What was used from these counts to `later` ones.
    pub fn until(&self, later: &Counts) -> Counts {
        let seconds = |(name, to): (&&'static str, &f64)| {
            (*name, to - self.cpu_seconds.get(name).copied().unwrap_or_default())
        };
        Counts {
            cpu_seconds: later.cpu_seconds.iter().map(seconds).collect(),
            waits: minus(&later.waits, &self.waits),
            interruptions: minus(&later.interruptions, &self.interruptions),
        }
    }
}

/// What is more in `later` than in `earlier`, name by name.
pub fn minus(
    later: &BTreeMap<&'static str, u64>,
    earlier: &BTreeMap<&'static str, u64>,
) -> BTreeMap<&'static str, u64> {
    let more = |(name, to): (&&'static str, &u64)| {
        (*name, to.saturating_sub(earlier.get(name).copied().unwrap_or_default()))
    };
    later.iter().map(more).collect()
}

fn switches(status: &str, name: &str) -> u64 {
    let count = status.lines().find_map(|line| line.strip_prefix(name));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t41\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(switches(status, "voluntary_ctxt_switches:"), 41);
        assert_eq!(switches(status, "nonvoluntary_ctxt_switches:"), 7);
        assert!(!Counts::take(std::process::id()).expect("we have threads").waits.is_empty());
    }

    #[test]
    fn what_was_counted_before_is_left_out() {
        assert_eq!(minus(&[("decide", 7), ("lanes", 1)].into(), &[("decide", 3)].into())["decide"], 4);
    }
}
