//! What a process has used, from /proc.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// Linux counts CPU time for user space in hundredths of a second, on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds that the process has used, in user and kernel space, all threads.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    ticks(&stat)
        .map(|ticks| ticks as f64 / TICKS_PER_SECOND)
        .with_context(|| format!("{path} is not as known"))
}

/// The most memory that the process ever held, in MiB.
pub fn peak_rss_mb(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    peak_kb(&status).map(|kb| kb as f64 / 1_024.0).with_context(|| format!("{path} is not as known"))
}

/// Fields 14 and 15; the second field, the name, may hold blanks and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn peak_kb(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// CPU seconds of a process so far, by what its threads do. Threads that have ended are not in it.
pub fn cpu_seconds_by_threads(pid: u32) -> Result<BTreeMap<&'static str, f64>> {
    let mut by_threads = BTreeMap::new();
    let folder = format!("/proc/{pid}/task");
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
        let path = entry?.path();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let Some(ticks) = ticks(&read("stat")) else { continue };
        *by_threads.entry(purpose_of(read("comm").trim())).or_default() += ticks as f64 / TICKS_PER_SECOND;
    }
    Ok(by_threads)
}

/// What a thread of this name does.
pub fn purpose_of(name: &str) -> &'static str {
    match name {
        "lanes" => "read and decode",
        "tokio-rt-worker" => "call HealthFlow",
        _ if name.starts_with("task-") => "encode and commit",
        _ if name.starts_with("rdk:") => "librdkafka",
        _ if name.starts_with("healthflow-sync") => "decide",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(ticks(stat), Some(200));
        assert_eq!(ticks("7 (a"), None);
        assert_eq!(peak_kb("Name:\tx\nVmHWM:\t   20480 kB\n"), Some(20_480));
        assert!(cpu_seconds(std::process::id()).is_ok() && peak_rss_mb(std::process::id()).is_ok());
    }
}
