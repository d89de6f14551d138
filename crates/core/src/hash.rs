//! The hash of the maps that each booking asks: foldhash, a third of SipHash's work for keys as short as ids (docs/performance.md).
//! Whoever publishes bookings chooses the ids, so it is the variant with a seed for each map, drawn anew in each process.

pub use foldhash::quality::RandomState;

/// A map by keys that nobody needs in order.
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// A set of what nobody needs in order.
pub type HashSet<K> = std::collections::HashSet<K, RandomState>;
