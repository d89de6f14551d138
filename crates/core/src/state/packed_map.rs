//! Where a task keeps its state: millions of entries, of which few are in use. Those are hot; the others are packed into a
//! few bytes each and unpacked on demand. Without it a booking at rest would take as much memory as one in work.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::HashTable;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::booking::PracticeId;
use crate::hash::{HashMap, RandomState};

/// Initial size of the packing buffer, in bytes; an entry may be longer.
const USUAL_BYTES: usize = 256;

/// A value of a packed map, and its key.
pub trait Packable: Clone + Default + Serialize + DeserializeOwned {
    /// Which one of a task's.
    type Key: Clone + Ord + Hash + fmt::Debug;

    /// The practice and the id within it that a key is made of.
    fn parts(key: &Self::Key) -> (&PracticeId, &str);

    /// The key that is made of these.
    fn key(practice: &PracticeId, id: &str) -> Self::Key;

    /// Whether nothing of it is under way, so that it may be packed. What a new owner must look through stays hot.
    fn may_be_packed(&self) -> bool;
}

/// Entries by key, each either hot or packed; a reader sees no difference.
#[derive(Clone)]
pub struct PackedMap<V: Packable> {
    hot: HashMap<V::Key, Box<Hot<V>>>,
    packed: Tables,
    hasher: RandomState,
    /// How often a hot entry was lent for change.
    changes: u64,
    /// How often the packed entries changed.
    repacks: u64,
}

/// A value that is in use.
#[derive(Clone, Debug)]
struct Hot<V> {
    value: V,
    /// The number of the change that it was last lent for.
    changed: u64,
}

/// Marks the stamp of an entry that is packed, or that does not exist.
const COLD: u64 = 1 << 63;

/// An entry as bytes: its id, then its value. Never leaves the process.
type Packed = Box<[u8]>;

/// The packed entries, by practice: a key need not contain it, and no table is so large that its growth takes long.
type Tables = HashMap<PracticeId, HashTable<Packed>>;

fn packed<V: Packable>(id: &str, value: &V) -> Option<Packed> {
    let bytes = postcard::to_extend(id, Vec::with_capacity(USUAL_BYTES)).ok()?;
    let bytes = postcard::to_extend(value, bytes).ok()?;
    // Exactly as long as needed, unlike a vector.
    Some(Box::from(bytes.as_slice()))
}

/// Id and value. The id as bytes: most ids in a lookup are not the wanted one.
fn parts(packed: &[u8]) -> (&[u8], &[u8]) {
    postcard::take_from_bytes(packed).expect("an id is packed first")
}

fn key_of<V: Packable>(practice: &PracticeId, packed: &[u8]) -> V::Key {
    V::key(practice, str::from_utf8(parts(packed).0).expect("an id is text"))
}

fn unpacked<V: Packable>(packed: &[u8]) -> V {
    postcard::from_bytes(parts(packed).1).expect("a value is packed after its id")
}

fn take(tables: &mut Tables, hasher: &RandomState, (practice, id): (&PracticeId, &str)) -> Option<Packed> {
    let id = id.as_bytes();
    let found = tables.get_mut(practice)?.find_entry(hasher.hash_one(id), |one| parts(one).0 == id);
    found.ok().map(|entry| entry.remove().0)
}

impl<V: Packable> PackedMap<V> {
    /// The value of `key`.
    pub fn get(&self, key: &V::Key) -> Option<Cow<'_, V>> {
        if let Some(value) = self.get_hot(key) {
            return Some(Cow::Borrowed(value));
        }
        let (practice, id) = V::parts(key);
        let hash = self.hasher.hash_one(id.as_bytes());
        let entry = self.packed.get(practice)?.find(hash, |one| parts(one).0 == id.as_bytes())?;
        Some(Cow::Owned(unpacked(entry)))
    }

    /// The value of `key` if it is hot: enough to see what is under way.
    pub fn get_hot(&self, key: &V::Key) -> Option<&V> {
        self.hot.get(key).map(|hot| &hot.value)
    }

    /// A number that is another one whenever the value of `key` may have changed.
    pub fn stamp(&self, key: &V::Key) -> u64 {
        self.hot.get(key).map_or(COLD | self.repacks, |hot| hot.changed)
    }

    /// The value of `key`, mutable; the default if there is none. It is hot from now on.
    pub fn entry_mut(&mut self, key: &V::Key) -> &mut V {
        self.changes += 1;
        let hot = match self.hot.entry(key.clone()) {
            Entry::Occupied(hot) => hot.into_mut(),
            Entry::Vacant(place) => {
                let packed = take(&mut self.packed, &self.hasher, V::parts(key));
                let value = packed.map(|packed| unpacked(&packed)).unwrap_or_default();
                self.repacks += 1;
                place.insert(Box::new(Hot { value, changed: 0 }))
            }
        };
        hot.changed = self.changes;
        &mut hot.value
    }

    /// Unpacks the value of `key`, which will be used often; none if there is none.
    pub fn unpack(&mut self, key: &V::Key) -> Option<&mut V> {
        if let Some(packed) = take(&mut self.packed, &self.hasher, V::parts(key)) {
            self.repacks += 1;
            self.hot.insert(key.clone(), Box::new(Hot { value: unpacked(&packed), changed: 0 }));
        }
        self.changes += 1;
        let hot = self.hot.get_mut(key)?;
        hot.changed = self.changes;
        Some(&mut hot.value)
    }

    /// Replaces the value of `key`.
    pub fn insert(&mut self, key: V::Key, value: V) {
        self.remove(&key);
        if !self.packs(&key, &value) {
            self.changes += 1;
            self.hot.insert(key, Box::new(Hot { value, changed: self.changes }));
        }
    }

    /// Packs an entry that is not in use any more, if it may be packed.
    pub fn pack(&mut self, key: &V::Key) {
        let Some((key, hot)) = self.hot.remove_entry(key) else { return };
        if !self.packs(&key, &hot.value) {
            self.hot.insert(key, hot);
        }
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: &V::Key) {
        self.repacks += 1;
        self.hot.remove(key);
        take(&mut self.packed, &self.hasher, V::parts(key));
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.hot.len() + self.packed_count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hot entries.
    pub fn hot_iter(&self) -> impl Iterator<Item = (&V::Key, &V)> {
        self.hot.iter().map(|(key, hot)| (key, &hot.value))
    }

    /// The hot entries, mutable: every entry that may not be packed is among them.
    pub fn hot_iter_mut(&mut self) -> impl Iterator<Item = (&V::Key, &mut V)> {
        let changes = &mut self.changes;
        self.hot.iter_mut().map(|(key, hot)| {
            *changes += 1;
            hot.changed = *changes;
            (key, &mut hot.value)
        })
    }

    /// All entries. Unpacks every one: for tests, and for few entries.
    pub fn iter(&self) -> impl Iterator<Item = (V::Key, Cow<'_, V>)> {
        let hot = self.hot.iter().map(|(key, hot)| (key.clone(), Cow::Borrowed(&hot.value)));
        hot.chain(self.packed.keys().flat_map(|practice| self.packed_of(practice)))
    }

    /// The keys of packed entries whose first field passes; unpacks nothing else.
    pub fn packed_by_first_field<'a, T: DeserializeOwned>(
        &'a self,
        passes: impl Fn(T) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = V::Key> + 'a {
        self.packed.iter().flat_map(move |(practice, entries)| {
            let passing = entries.iter().filter(move |packed| {
                postcard::take_from_bytes::<T>(parts(packed).1).is_ok_and(|(first, _)| passes(first))
            });
            passing.map(|packed| key_of::<V>(practice, packed))
        })
    }

    /// All entries of one practice. Unpacks every one.
    pub fn of_practice<'a>(&'a self, practice: &'a PracticeId) -> impl Iterator<Item = (V::Key, Cow<'a, V>)> {
        let hot = self.hot.iter().filter(move |(key, _)| V::parts(key).0 == practice);
        hot.map(|(key, hot)| (key.clone(), Cow::Borrowed(&hot.value))).chain(self.packed_of(practice))
    }

    fn packed_of<'a>(&'a self, practice: &'a PracticeId) -> impl Iterator<Item = (V::Key, Cow<'a, V>)> {
        let entries = self.packed.get(practice).into_iter().flatten();
        entries.map(move |packed| (key_of::<V>(practice, packed), Cow::Owned(unpacked(packed))))
    }

    fn packed_count(&self) -> usize {
        self.packed.values().map(HashTable::len).sum()
    }

    /// Packs `value` if it may be packed; returns whether it did.
    fn packs(&mut self, key: &V::Key, value: &V) -> bool {
        let (practice, id) = V::parts(key);
        let Some(entry) = value.may_be_packed().then(|| packed(id, value)).flatten() else { return false };
        self.repacks += 1;
        let hasher = &self.hasher;
        let table = self.packed.entry(practice.clone()).or_default();
        table.insert_unique(hasher.hash_one(id.as_bytes()), entry, |one| hasher.hash_one(parts(one).0));
        true
    }
}

impl<V: Packable> Default for PackedMap<V> {
    fn default() -> Self {
        PackedMap {
            hot: HashMap::default(),
            packed: HashMap::default(),
            hasher: RandomState::default(),
            changes: 0,
            repacks: 0,
        }
    }
}

impl<V: Packable + Hash> Hash for PackedMap<V> {
    /// By the values, hot or packed, in the order of the keys.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        entries.hash(hasher);
    }
}

impl<V: Packable + fmt::Debug> fmt::Debug for PackedMap<V> {
    /// Prints only the number of packed entries: their bytes contain ids of patients.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedMap").field("hot", &self.hot).field("packed", &self.packed_count()).finish()
    }
}

#[cfg(test)]
mod tests;
