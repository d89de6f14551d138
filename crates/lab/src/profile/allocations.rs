//! What `stack/count_allocations.c` counts inside of a worker, by what its threads do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::threads::minus;
use crate::bench::process::purpose_of;

/// Bytes of a number in the file, of the header, and numbers of a thread.
const NUMBER: usize = 8;
const NUMBERS_OF_A_THREAD: usize = 3;

/// Allocations and their bytes, by what the threads do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// How many; what grows or shrinks counts again.
    pub count: BTreeMap<&'static str, u64>,
    /// How many bytes were asked for.
    pub bytes: BTreeMap<&'static str, u64>,
}

/// What makes a worker count, into the file `counts`.
pub fn environment(counter: &Path, counts: &Path) -> Vec<(String, String)> {
    let variable = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
    vec![variable("LD_PRELOAD", counter), variable("COUNT_ALLOCATIONS", counts)]
}

/// Reads what the worker has allocated so far.
pub fn take(pid: u32, counts: &Path) -> Result<Allocations> {
    let file = fs::read(counts).with_context(|| format!("cannot read {}", counts.display()))?;
    let name = |thread: u64| {
        let comm = fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm")).unwrap_or_default();
        purpose_of(comm.trim())
    };
    let allocations = read(&file, name);
    ensure!(!allocations.count.is_empty(), "the worker counted no allocations; is it linked with glibc?");
    Ok(allocations)
}

fn read(file: &[u8], purpose: impl Fn(u64) -> &'static str) -> Allocations {
    let numbers: Vec<u64> =
        file.as_chunks::<NUMBER>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect();
    let mut allocations = Allocations::default();
    for of_thread in numbers.get(1..).unwrap_or_default().chunks_exact(NUMBERS_OF_A_THREAD) {
        let [thread, count, bytes] = of_thread[..] else { continue };
        if thread == 0 {
            continue;
        }
        let purpose = purpose(thread);
        *allocations.count.entry(purpose).or_default() += count;
        *allocations.bytes.entry(purpose).or_default() += bytes;
    }
    allocations
}

impl Allocations {
    /// What was allocated since then.
    pub fn since(&self, earlier: &Allocations) -> Allocations {
        Allocations { count: minus(&self.count, &earlier.count), bytes: minus(&self.bytes, &earlier.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_file_is_read() {
        let numbers: [u64; 10] = [2, 41, 5, 500, 42, 1, 16, 0, 0, 0];
        let file: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        let purpose = |thread| if thread == 41 { "decide" } else { "other" };
        let read = read(&file, purpose);
        assert_eq!(read.count, [("decide", 5), ("other", 1)].into());
        assert_eq!(read.bytes, [("decide", 500), ("other", 16)].into());
    }
}
