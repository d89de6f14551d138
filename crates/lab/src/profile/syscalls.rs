//! System calls by thread and by name, counted by the kernel's tracepoints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::perf::Perf;
use crate::bench::process::purpose_of;

/// Every call has this event.
const ALL: &str = "raw_syscalls:sys_enter";
/// Those that a worker makes again and again have their own beside it.
const NAMED: [&str; 12] = [
    "futex",
    "epoll_wait",
    "poll",
    "read",
    "write",
    "writev",
    "sendto",
    "sendmsg",
    "recvfrom",
    "recvmsg",
    "clock_nanosleep",
    "sched_yield",
];

/// How many calls there were: by what the threads do, and of that by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syscalls {
    /// All of them.
    pub all: BTreeMap<&'static str, u64>,
    /// By name.
    pub named: BTreeMap<(&'static str, String), u64>,
}

/// Begins to count.
pub fn start(pid: u32, out: &Path) -> Result<Perf, String> {
    let events: Vec<String> = NAMED.iter().map(|name| format!("syscalls:sys_enter_{name}")).collect();
    let events = format!("{ALL},{}", events.join(","));
    Perf::start("stat", &["--per-thread", "-x", ",", "-e", &events], pid, out.join("syscalls.csv"))
}

/// Ends it and returns what was counted.
pub fn finish(perf: Perf) -> Result<Syscalls, String> {
    let file = perf.stop()?;
    let text = fs::read_to_string(&file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
    let counted = read(&text);
    if counted.all.values().sum::<u64>() == 0 {
        return Err(format!("perf counted none; see {}", file.display()));
    }
    Ok(counted)
}

/// Lines of `thread-id,count,,event,…`.
fn read(text: &str) -> Syscalls {
    let mut counted = Syscalls::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [thread, count, _, event, ..] = fields[..] else { continue };
        let (Some((thread, _)), Ok(count)) = (thread.trim().rsplit_once('-'), count.trim().parse::<u64>())
        else {
            continue;
        };
        let purpose = purpose_of(thread);
        if event == ALL {
            *counted.all.entry(purpose).or_default() += count;
        } else if let Some(name) = event.strip_prefix("syscalls:sys_enter_") {
            *counted.named.entry((purpose, name.to_owned())).or_default() += count;
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfs_lines_are_read() {
        let text = "# started on a Monday\n\n\
            task-3-812,40,,raw_syscalls:sys_enter,9,100.00,,\n\
            task-4-813,2,,raw_syscalls:sys_enter,9,100.00,,\n\
            task-4-813,<not counted>,,syscalls:sys_enter_futex,0,100.00,,\n\
            lanes-814,7,,syscalls:sys_enter_poll,9,100.00,,\n";
        let counted = read(text);
        assert_eq!(counted.all, [("encode and commit", 42)].into());
        assert_eq!(counted.named, [(("read and decode", "poll".to_owned()), 7)].into());
    }
}
