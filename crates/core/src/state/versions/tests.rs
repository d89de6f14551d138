//! The set against a plain one, within its bound and at it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Versions as producers number them: neighbours, a clock's milliseconds, a clock's nanoseconds, and any others.
fn versions() -> impl Strategy<Value = Vec<Version>> {
    let neighbours = proptest::collection::vec(1_u64..60, 0..40);
    let clock = |start: u64, step: u64| {
        proptest::collection::vec((0_u64..400).prop_map(move |tick| start + tick * step), 0..200)
    };
    let milliseconds = clock(1_795_521_600_000, 997);
    let nanoseconds = clock(1_795_521_600_000_000_000, 1_000_000_007);
    let any = proptest::collection::vec(any::<u64>(), 0..40);
    prop_oneof![neighbours, milliseconds, nanoseconds, any]
}

fn set_of(versions: &[Version], bytes_max: usize) -> VersionSet {
    let mut set = VersionSet::default();
    versions.iter().for_each(|version| set.insert(*version, bytes_max));
    set
}

proptest! {
    /// Whatever was inserted is contained, and nothing else within the bound is.
    #[test]
    fn contains_exactly_what_was_inserted(versions in versions()) {
        let set = set_of(&versions, ANSWERED_BYTES_MAX);
        let model: BTreeSet<Version> = versions.iter().copied().collect();
        for version in model.iter().flat_map(|one| [one.saturating_sub(1), *one, one.saturating_add(1)]) {
            prop_assert_eq!(set.contains(version), version == 0 || model.contains(&version), "{}", version);
        }
        prop_assert_eq!(set.forgotten(), 0);
    }

    /// At the bound nothing is claimed that was not put in. What is lost are whole runs, the lowest ones, and each of their
    /// versions says that it may have been; a version above is never in question.
    #[test]
    fn beyond_the_bound_only_the_lowest_are_lost_and_say_so(versions in versions(), bytes_max in 0_usize..40) {
        let set = set_of(&versions, bytes_max);
        let model: BTreeSet<Version> = versions.iter().copied().collect();
        prop_assert!(set.runs().len() <= bytes_max);
        for version in model.iter().flat_map(|one| [one.saturating_sub(1), *one, one.saturating_add(1)]) {
            if set.contains(version) {
                prop_assert!(version == 0 || model.contains(&version), "{} was never put in", version);
            } else if model.contains(&version) {
                prop_assert!(set.may_have_forgotten(version), "{} is lost unsaid", version);
            }
        }
    }

    /// Any set is written and restored as it is; the list for earlier workers has the same content.
    #[test]
    fn a_set_is_restored_as_it_was(versions in versions(), bytes_max in prop_oneof![0_usize..40, Just(4_096)]) {
        let set = set_of(&versions, bytes_max);
        let restored = VersionSet::restored(set.floor(), set.runs(), set.forgotten());
        prop_assert_eq!(restored.as_ref(), Ok(&set));
        if let Some(above) = set.above().filter(|_| set.forgotten() == 0) {
            prop_assert_eq!(VersionSet::new(set.floor(), above), set);
        }
    }

    /// Random bytes are refused, or are a valid set.
    #[test]
    fn bytes_that_nobody_wrote_never_panic(floor in any::<u64>(), bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(mut set) = VersionSet::restored(floor, &bytes, 0) {
            set.insert(floor, 40);
            set.insert(u64::MAX, 40);
            prop_assert!(set.contains(floor));
        }
    }
}

/// Goal: versions in falling order take no room. Method: three thousand of them.
#[test]
fn neighbours_are_one_run_in_whatever_order_they_come() {
    let falling: Vec<Version> = (2..=3_001).rev().collect();
    let set = set_of(&falling, ANSWERED_BYTES_MAX);
    assert!(set.runs().len() <= 3 && !set.contains(1) && set.contains(2) && set.contains(3_001));
    let mut whole = set;
    whole.insert(1, ANSWERED_BYTES_MAX);
    assert_eq!((whole.floor(), whole.runs().len()), (3_001, 0));
}

/// Goal: the bound is wide enough for what is ordinary. Method: one change a minute, by the clock of its producer.
#[test]
fn hundreds_of_versions_from_a_clock_are_remembered() {
    for (unit, start) in [(60_000, 1_795_521_600_000_u64), (60_000_000_000, 1_795_521_600_000_000_000)] {
        let clock: Vec<Version> = (0..500).map(|minute| start + minute * unit).collect();
        let set = set_of(&clock, ANSWERED_BYTES_MAX);
        assert!(set.forgotten() == 0 && clock.iter().all(|version| set.contains(*version)), "{unit}");
    }
}
