//! Whose records come into foreign partitions. A publisher with another partitioner sends nearly all of its records astray, so
//! each of its keys is reported once a minute; with a line a record the log would hold nothing else.

use std::collections::BTreeMap;

use crate::repeats::Repeats;
use crate::time::Timestamp;

/// Keys of a task that are kept apart; records of more keys than that are counted in the metric only.
const KEYS_MAX: usize = 100;

/// The keys of a task, and when each was reported last.
#[derive(Clone, Debug, Default)]
pub(super) struct MisroutedKeys {
    keys: BTreeMap<Vec<u8>, Repeats>,
}

impl MisroutedKeys {
    /// Notes a record under `key`; returns how many there were since the last report, this one included, if it is time for
    /// another.
    pub(super) fn note(&mut self, key: &[u8], now: Timestamp) -> Option<u64> {
        if let Some(known) = self.keys.get_mut(key) {
            return known.again(now);
        }
        if self.keys.len() >= KEYS_MAX {
            self.keys.retain(|_, known| !known.is_due(now));
        }
        if self.keys.len() >= KEYS_MAX {
            return None;
        }
        self.keys.insert(key.to_vec(), Repeats::first(now));
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repeats::REPORT_EVERY_MS;

    #[test]
    fn a_key_is_reported_once_a_minute_with_what_came_since() {
        let mut keys = MisroutedKeys::default();
        let at = |seconds: i64| Timestamp(seconds * 1_000);
        assert_eq!(keys.note(b"a", at(0)), Some(1));
        assert_eq!(
            [keys.note(b"a", at(1)), keys.note(b"b", at(1)), keys.note(b"a", at(59))],
            [None, Some(1), None]
        );
        assert_eq!(keys.note(b"a", at(60)), Some(3));
        assert_eq!([keys.note(b"a", at(119)), keys.note(b"a", at(500))], [None, Some(2)]);
    }

    #[test]
    fn more_keys_than_are_kept_apart_take_no_memory_and_come_again_later() {
        let mut keys = MisroutedKeys::default();
        let mut told =
            |number: usize, at| keys.note(format!("key-{number}").as_bytes(), Timestamp(at)).is_some();
        assert_eq!((0..3 * KEYS_MAX).filter(|number| told(*number, 0)).count(), KEYS_MAX);
        assert!(told(2 * KEYS_MAX, REPORT_EVERY_MS), "there is room for those of this minute");
    }
}
