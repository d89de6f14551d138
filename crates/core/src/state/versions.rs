//! Which versions of a booking are answered. One number is not enough: version 3 may be answered while 2 still waits for
//! retry, and after a restart 2 must neither be answered twice nor forgotten (rule K5). Nor is a fixed number of gaps: if
//! versions are taken from a clock, there is a gap after each.

use serde::{Deserialize, Serialize};

use crate::booking::Version;

/// Most bytes for the answered versions of one booking above the floor. Versions from a clock take about six each,
/// neighbours two all together.
pub const ANSWERED_BYTES_MAX: usize = 4_096;

/// How many single versions are written as a list, which earlier workers can read.
pub const ANSWERED_ABOVE_MAX: usize = 32;

/// A set of versions: everything up to a floor, and runs above it. It contains only what was put in. What was put in can be
/// missing only up to [`VersionSet::forgotten`]: the set has a bound, and the lowest runs are forgotten first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionSet {
    floor: Version,
    /// Runs above the floor, ascending and apart: how many versions are before each, and how many more than one it has; as
    /// varints, because most bookings have none and some have hundreds.
    runs: Vec<u8>,
    forgotten: Version,
}

/// Versions one after the other, the last one included.
type Run = (Version, Version);

/// The bytes are not runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its answered versions cannot be read")]
pub struct NotRuns;

impl VersionSet {
    /// The set with everything up to `floor` and each of `above`.
    pub fn new(floor: Version, mut above: Vec<Version>) -> Self {
        above.sort_unstable();
        let mut set = VersionSet { floor, ..VersionSet::default() };
        set.take_over(above.into_iter().map(|version| (version, version)));
        set
    }

    /// The set that had this [`VersionSet::floor`], [`VersionSet::runs`] and [`VersionSet::forgotten`].
    ///
    /// # Errors
    /// `runs` are not runs.
    pub fn restored(floor: Version, runs: &[u8], forgotten: Version) -> Result<Self, NotRuns> {
        let read = Runs { bytes: runs, end: floor }.collect::<Result<Vec<Run>, NotRuns>>()?;
        let mut set = VersionSet { floor, runs: Vec::new(), forgotten };
        set.take_over(read.into_iter());
        Ok(set)
    }

    /// Everything up to here is in the set.
    pub fn floor(&self) -> Version {
        self.floor
    }

    /// What is in the set above the floor, as bytes.
    pub fn runs(&self) -> &[u8] {
        &self.runs
    }

    /// Up to here versions may have been forgotten; 0 if none was.
    pub fn forgotten(&self) -> Version {
        self.forgotten
    }

    /// The versions above the floor one by one, ascending; none if there are more than [`ANSWERED_ABOVE_MAX`], or some were
    /// forgotten.
    pub fn above(&self) -> Option<Vec<Version>> {
        let mut above = Vec::new();
        for (first, last) in self.iter() {
            if self.forgotten > 0 || last - first >= ANSWERED_ABOVE_MAX as Version {
                return None;
            }
            above.extend(first..=last);
        }
        (above.len() <= ANSWERED_ABOVE_MAX).then_some(above)
    }

    /// Whether `version` is in the set for certain.
    pub fn contains(&self, version: Version) -> bool {
        version <= self.floor || self.iter().any(|(first, last)| (first..=last).contains(&version))
    }

    /// Whether `version` is not in the set, but may have been.
    pub fn may_have_forgotten(&self, version: Version) -> bool {
        version <= self.forgotten && !self.contains(version)
    }

    /// Adds `version`, and forgets the lowest runs if all of them take more than `bytes_max`.
    pub fn insert(&mut self, version: Version, bytes_max: usize) {
        if self.contains(version) {
            return;
        }
        let mut runs: Vec<Run> = self.iter().collect();
        runs.insert(runs.partition_point(|(first, _)| *first < version), (version, version));
        self.take_over(runs.into_iter());
        self.keep_within(bytes_max);
    }

    /// What is in either set; the lowest runs are forgotten as in [`VersionSet::insert`].
    #[must_use]
    pub fn joined(&self, other: &VersionSet, bytes_max: usize) -> VersionSet {
        let mut runs: Vec<Run> = self.iter().chain(other.iter()).collect();
        runs.sort_unstable();
        let (floor, forgotten) = (self.floor.max(other.floor), self.forgotten.max(other.forgotten));
        let mut set = VersionSet { floor, runs: Vec::new(), forgotten };
        set.take_over(runs.into_iter());
        set.keep_within(bytes_max);
        set
    }

    fn keep_within(&mut self, bytes_max: usize) {
        while self.runs.len() > bytes_max {
            let runs: Vec<Run> = self.iter().collect();
            let Some(((_, last), others)) = runs.split_first() else { return };
            self.forgotten = self.forgotten.max(*last);
            self.take_over(others.iter().copied());
        }
    }

    fn iter(&self) -> impl Iterator<Item = Run> + '_ {
        // This process wrote what is in memory.
        Runs { bytes: &self.runs, end: self.floor }.map_while(Result::ok)
    }

    /// Adds runs in ascending order; joins those that touch, and extends the floor by one that touches it.
    fn take_over(&mut self, ascending: impl Iterator<Item = Run>) {
        self.runs.clear();
        let (mut end, mut open): (Version, Option<Run>) = (self.floor, None);
        for (first, last) in ascending {
            match &mut open {
                None if first <= end.saturating_add(1) => end = end.max(last),
                Some(run) if first <= run.1.saturating_add(1) => run.1 = run.1.max(last),
                _ => {
                    if open.is_none() {
                        self.floor = end;
                    }
                    end = self.write(open.replace((first, last)), end);
                }
            }
        }
        if open.is_none() {
            self.floor = end;
        }
        self.write(open, end);
        if self.forgotten <= self.floor {
            self.forgotten = 0;
        }
    }

    /// Writes a run that begins after `end`; returns the end for the next one.
    fn write(&mut self, run: Option<Run>, end: Version) -> Version {
        let Some((first, last)) = run else { return end };
        write_varint(&mut self.runs, first - end - 2);
        write_varint(&mut self.runs, last - first);
        last
    }
}

/// Reads runs one after the other.
struct Runs<'a> {
    bytes: &'a [u8],
    end: Version,
}

impl Iterator for Runs<'_> {
    type Item = Result<Run, NotRuns>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let run = self.read();
        if run.is_none() {
            self.bytes = &[];
        }
        Some(run.ok_or(NotRuns))
    }
}

impl Runs<'_> {
    fn read(&mut self) -> Option<Run> {
        let first = self.end.checked_add(2)?.checked_add(read_varint(&mut self.bytes)?)?;
        let last = first.checked_add(read_varint(&mut self.bytes)?)?;
        self.end = last;
        Some((first, last))
    }
}

/// Seven bits a byte, the lowest first; all but the last byte have the highest bit set.
fn write_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;
