//! Hashes a map by its entries, whatever their order. Two processors that know the same must have the same hash: without it,
//! an exhaustive search would take every copy for something new and never end.

use std::hash::{Hash, Hasher};

use crate::hash::HashMap;

/// Feeds every entry of `map` to `hasher`, in the order of the keys.
pub fn hash_entries<K: Hash + Ord, V: Hash, H: Hasher>(map: &HashMap<K, V>, hasher: &mut H) {
    let mut entries: Vec<(&K, &V)> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries.hash(hasher);
}
