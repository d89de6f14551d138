//! Which versions of a booking are answered. One number is not enough: version 3 may be answered while 2 still waits
//! for retry, and after a restart 2 must neither be answered twice nor forgotten (rule K5).

use serde::{Deserialize, Serialize};

use crate::booking::Version;

/// How many answered versions are remembered one by one above the floor.
pub const ANSWERED_ABOVE_MAX: usize = 32;

/// A set of versions: everything up to a floor, and single ones above it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionSet {
    floor: Version,
    above: Vec<Version>,
}

impl VersionSet {
    /// The set with everything up to `floor` and each of `above`.
    pub fn new(floor: Version, mut above: Vec<Version>) -> Self {
        above.sort_unstable();
        above.dedup();
        let mut set = VersionSet { floor, above };
        set.raise_floor();
        set
    }

    /// Everything up to here is in the set.
    pub fn floor(&self) -> Version {
        self.floor
    }

    /// The single versions above the floor, ascending.
    pub fn above(&self) -> &[Version] {
        &self.above
    }

    /// Whether `version` is in the set. Also true of one under the floor that was never seen: more than
    /// [`ANSWERED_ABOVE_MAX`] gaps in one booking are not remembered.
    pub fn contains(&self, version: Version) -> bool {
        version <= self.floor || self.above.binary_search(&version).is_ok()
    }

    /// Adds `version`.
    pub fn insert(&mut self, version: Version) {
        if version <= self.floor {
            return;
        }
        if let Err(index) = self.above.binary_search(&version) {
            self.above.insert(index, version);
            self.raise_floor();
        }
    }

    fn raise_floor(&mut self) {
        let mut raised = 0;
        while raised < self.above.len()
            && (self.above[raised] <= self.floor + 1 || self.above.len() - raised > ANSWERED_ABOVE_MAX)
        {
            self.floor = self.floor.max(self.above[raised]);
            raised += 1;
        }
        self.above.drain(..raised);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever was inserted is contained, and nothing else within the limit is.
        #[test]
        fn contains_exactly_what_was_inserted(versions in proptest::collection::vec(1_u64..60, 0..30)) {
            let mut set = VersionSet::default();
            for version in &versions {
                set.insert(*version);
            }
            for version in 1..60 {
                prop_assert_eq!(set.contains(version), versions.contains(&version));
            }
            prop_assert_eq!(&VersionSet::new(set.floor(), set.above().to_vec()), &set);
        }
    }

    /// Goal: memory of a booking stays bounded. Method: only even versions, many more than the limit.
    #[test]
    fn more_gaps_than_the_limit_raise_the_floor() {
        let mut set = VersionSet::default();
        for version in (2..=200).step_by(2) {
            set.insert(version);
        }
        assert_eq!(set.above().len(), ANSWERED_ABOVE_MAX);
        assert!(set.contains(200) && !set.contains(199) && set.contains(set.floor() - 1));
    }
}
