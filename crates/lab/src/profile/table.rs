//! What was measured, as the tables of docs/performance.md.

use std::collections::{BTreeMap, BTreeSet};

use super::allocations::Allocations;
use super::flamegraphs::Flamegraph;
use super::syscalls::Syscalls;
use super::threads::Counts;
use crate::bench::row::table;

/// Everything about one load. What could not be measured says why.
pub struct Profile {
    /// Bookings of each measurement.
    pub bookings: usize,
    /// CPU time and context switches.
    pub used: Counts,
    /// System calls.
    pub syscalls: Result<Syscalls, String>,
    /// Stacks.
    pub flamegraphs: Result<Vec<Flamegraph>, String>,
    /// Allocations.
    pub allocations: Allocations,
}

impl Profile {
    /// In Markdown.
    pub fn text(&self) -> String {
        let syscalls = self.syscalls.as_ref().map(|syscalls| self.by_name(syscalls));
        let pictures = self.flamegraphs.as_ref().map(|flamegraphs| functions(flamegraphs));
        let or_why = |what: &str, text: Result<String, &String>| {
            text.unwrap_or_else(|why| format!("No {what}: {why}"))
        };
        [self.by_threads(), or_why("system calls", syscalls), or_why("flamegraphs", pictures)].join("\n\n")
    }

    fn by_threads(&self) -> String {
        let none = BTreeMap::new();
        let syscalls = self.syscalls.as_ref().map_or(&none, |syscalls| &syscalls.all);
        let (used, allocations) = (&self.used, &self.allocations);
        let counted = [syscalls, &used.waits, &used.interruptions, &allocations.count, &allocations.bytes];
        let line = |name: &str, purposes: &[&'static str]| {
            let seconds: f64 = purposes.iter().filter_map(|purpose| used.cpu_seconds.get(purpose)).sum();
            let cells = counted.map(|counts| {
                let sum: u64 = purposes.iter().filter_map(|purpose| counts.get(purpose)).sum();
                format!(" {:.2} |", self.per_booking(sum))
            });
            let seconds_per_1000 = seconds * 1_000.0 / self.bookings as f64;
            format!("| {name} | {seconds_per_1000:.3} |{}", cells.concat())
        };
        let names = counted.iter().flat_map(|counts| counts.keys()).chain(used.cpu_seconds.keys());
        let purposes: Vec<&'static str> = names.copied().collect::<BTreeSet<_>>().into_iter().collect();
        let lines = purposes.iter().map(|purpose| line(purpose, &[purpose]));
        table(
            "| threads | CPU s per 1,000 | system calls a booking | waits a booking | interruptions a booking | allocations a booking | bytes allocated a booking |",
            lines.chain([line("all", &purposes)]),
        )
    }

    /// Which calls they are; a column for each kind of thread.
    fn by_name(&self, syscalls: &Syscalls) -> String {
        let purposes: Vec<&'static str> = syscalls.all.keys().copied().collect();
        let names: BTreeSet<&String> = syscalls.named.keys().map(|(_, name)| name).collect();
        let count = |purpose: &&'static str, name: &String| {
            syscalls.named.get(&(*purpose, name.clone())).copied().unwrap_or_default()
        };
        let cells = |counts: &mut dyn Iterator<Item = u64>| {
            counts.map(|count| format!(" {:.2} |", self.per_booking(count))).collect::<String>()
        };
        let line = |name: &&String| {
            format!("| {name} |{}", cells(&mut purposes.iter().map(|purpose| count(purpose, name))))
        };
        let other = |purpose: &&'static str| {
            let named: u64 = names.iter().map(|name| count(purpose, name)).sum();
            syscalls.all[purpose].saturating_sub(named)
        };
        let others = format!("| others |{}", cells(&mut purposes.iter().map(other)));
        let head: String = purposes.iter().map(|purpose| format!(" {purpose} |")).collect();
        table(&format!("| system calls a booking |{head}"), names.iter().map(line).chain([others]))
    }

    fn per_booking(&self, count: u64) -> f64 {
        count as f64 / self.bookings as f64
    }
}

fn functions(flamegraphs: &[Flamegraph]) -> String {
    let all: u64 = flamegraphs.iter().map(|one| one.samples).sum();
    let percent = |count: u64, of: u64| 100.0 * count as f64 / of.max(1) as f64;
    let line = |one: &Flamegraph| {
        let name = one.file.file_name().unwrap_or_default().to_string_lossy();
        let functions: Vec<String> = one
            .functions
            .iter()
            .map(|(function, count)| format!("`{function}` {:.0} %", percent(*count, one.samples)))
            .collect();
        let share = percent(one.samples, all);
        format!("| {} | {name} | {} | {share:.0} % | {} |", one.purpose, one.samples, functions.join(", "))
    };
    table(
        "| threads | flamegraph | samples | of all | in these functions themselves |",
        flamegraphs.iter().map(line),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_measured_says_why_and_the_rest_is_there() {
        let profile = Profile {
            bookings: 1_000,
            used: Counts { cpu_seconds: [("decide", 0.5)].into(), ..Counts::default() },
            syscalls: Ok(Syscalls {
                all: [("decide", 3_000)].into(),
                named: [(("decide", "futex".to_owned()), 2_000)].into(),
            }),
            flamegraphs: Err("perf is not permitted".to_owned()),
            allocations: Allocations { count: [("decide", 40_000)].into(), ..Allocations::default() },
        };
        let text = profile.text();
        assert!(text.contains("| decide | 0.500 | 3.00 | 0.00 | 0.00 | 40.00 | 0.00 |"), "{text}");
        assert!(text.contains("| futex | 2.00 |") && text.contains("| others | 1.00 |"), "{text}");
        assert!(text.contains("No flamegraphs: perf is not permitted"), "{text}");
    }
}
