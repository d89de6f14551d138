//! What holds of a lane's progress whatever happens on it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What happens on a lane.
#[derive(Clone, Debug)]
enum Event {
    /// A record arrives so far past the last one, or is there and cannot be read yet.
    Came { gap: i64, size_bytes: usize, can_be_read: bool },
    /// One that could not be read arrives.
    CameAtLast(prop::sample::Index),
    /// One waits outside the window.
    /// One is finished.
    Finished(prop::sample::Index),
    /// How far the lane has come is committed.
    Committed,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_i64..3, 1_usize..100, prop::bool::weighted(0.7))
            .prop_map(|(gap, size_bytes, can_be_read)| Event::Came { gap, size_bytes, can_be_read }),
        2 => any::<prop::sample::Index>().prop_map(Event::CameAtLast),
        4 => any::<prop::sample::Index>().prop_map(Event::Finished),
        1 => Just(Event::Committed),
    ]
}

/// A record that is not finished.
#[derive(Clone, Copy)]
struct Open {
    size_bytes: usize,
    is_delayed: bool,
}

fn pick(open: &BTreeMap<i64, Open>, index: prop::sample::Index, is_delayed: bool) -> Option<i64> {
    let offsets: Vec<i64> = open
        .iter()
        .filter(|(_, record)| record.is_delayed == is_delayed)
        .map(|(offset, _)| *offset)
        .collect();
    (!offsets.is_empty()).then(|| offsets[index.index(offsets.len())])
}

proptest! {
    /// Goal: what a commit carries never passes a record that is not finished, and never falls: a record before it would be
    /// lost, or read again for ever. Method: any events, against a map of what is open.
    #[test]
    fn what_is_committed_passes_nothing_unfinished_and_never_falls(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let (mut lane, mut open, mut next) = (LaneProgress::new(7), BTreeMap::new(), 7);
        for event in events {
            let before = lane.committable_offset();
            match event {
                Event::Came { gap, size_bytes, can_be_read } => {
                    let offset = next + gap;
                    next = offset + 1;
                    open.insert(offset, Open { size_bytes, is_delayed: !can_be_read });
                    if can_be_read {
                        lane.arrived(offset, size_bytes, None);
                    } else {
                        lane.delayed(offset, size_bytes, None);
                    }
                }
                Event::CameAtLast(index) => {
                    let Some(offset) = pick(&open, index, true) else { continue };
                    open.entry(offset).and_modify(|record| record.is_delayed = false);
                    lane.arrived(offset, open[&offset].size_bytes, None);
                }
                Event::Finished(index) => {
                    let Some(offset) = pick(&open, index, false) else { continue };
                    open.remove(&offset);
                    lane.finished(offset);
                }
                Event::Committed => {
                    lane.committed(lane.committable_offset());
                    prop_assert!(!lane.has_moved());
                }
            }
            prop_assert_eq!(lane.committable_offset(), open.keys().next().copied().unwrap_or(next));
            prop_assert!(lane.committable_offset() >= before);
            let bytes: usize = open.values().map(|record| record.size_bytes).sum();
            prop_assert_eq!((lane.len(), lane.bytes()), (open.len(), bytes));
            prop_assert_eq!(lane.is_read_until(next), !open.values().any(|record| record.is_delayed));
        }
    }
}
