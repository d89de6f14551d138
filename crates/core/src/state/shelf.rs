//! Where a task keeps what it remembers: millions of entries of which few are worked on. Those lie open; the others are
//! packed, one short run of bytes each, and are unpacked when somebody asks. Without it a booking that nobody touches any
//! more would take as much memory as one at work.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use hashbrown::HashTable;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::booking::PracticeId;

/// Room that packing begins with, in bytes; an entry may be longer.
const USUAL_BYTES: usize = 256;

/// What a shelf holds, and under which name.
pub trait Shelved: Clone + Default + Serialize + DeserializeOwned {
    /// Which one of a task's.
    type Key: Clone + Ord + Hash + fmt::Debug;

    /// The practice and the id within it that a key is made of.
    fn parts(key: &Self::Key) -> (&PracticeId, &str);

    /// The key that is made of these.
    fn key(practice: &PracticeId, id: &str) -> Self::Key;

    /// Whether nothing of it is under way, so that it may be packed. What a new owner has to look through lies open.
    fn is_settled(&self) -> bool;
}

/// Entries by key, each either open or packed; which of the two makes no difference to what is read.
#[derive(Clone)]
pub struct Shelf<V: Shelved> {
    open: HashMap<V::Key, Box<V>>,
    packed: Tables,
    hasher: RandomState,
}

/// An entry as bytes: its id, then its value. Never leaves the process.
type Packed = Box<[u8]>;

/// What is packed, by practice: so a key need not hold one, and no table is so long that its growth holds anybody up.
type Tables = HashMap<PracticeId, HashTable<Packed>>;

fn pack<V: Shelved>(id: &str, value: &V) -> Option<Packed> {
    let bytes = postcard::to_extend(id, Vec::with_capacity(USUAL_BYTES)).ok()?;
    let bytes = postcard::to_extend(value, bytes).ok()?;
    // As long as it has to be, unlike the vector.
    Some(Box::from(bytes.as_slice()))
}

/// Id and value. The id as bytes: most ids that are met are not the one that is wanted.
fn parts(packed: &[u8]) -> (&[u8], &[u8]) {
    postcard::take_from_bytes(packed).expect("an id is packed first")
}

fn key_of<V: Shelved>(practice: &PracticeId, packed: &[u8]) -> V::Key {
    V::key(practice, str::from_utf8(parts(packed).0).expect("an id is text"))
}

fn unpack<V: Shelved>(packed: &[u8]) -> V {
    postcard::from_bytes(parts(packed).1).expect("a value is packed after its id")
}

fn take(tables: &mut Tables, hasher: &RandomState, (practice, id): (&PracticeId, &str)) -> Option<Packed> {
    let id = id.as_bytes();
    let found = tables.get_mut(practice)?.find_entry(hasher.hash_one(id), |one| parts(one).0 == id);
    found.ok().map(|entry| entry.remove().0)
}

impl<V: Shelved> Shelf<V> {
    /// What is known of `key`.
    pub fn get(&self, key: &V::Key) -> Option<Cow<'_, V>> {
        if let Some(value) = self.get_open(key) {
            return Some(Cow::Borrowed(value));
        }
        let (practice, id) = V::parts(key);
        let hash = self.hasher.hash_one(id.as_bytes());
        let entry = self.packed.get(practice)?.find(hash, |one| parts(one).0 == id.as_bytes())?;
        Some(Cow::Owned(unpack(entry)))
    }

    /// What lies open of `key`: enough for whoever asks what is under way.
    pub fn get_open(&self, key: &V::Key) -> Option<&V> {
        self.open.get(key).map(|value| &**value)
    }

    /// What is known of `key`, for change; as of nothing where nothing is. It lies open from now on.
    pub fn change(&mut self, key: &V::Key) -> &mut V {
        match self.open.entry(key.clone()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let packed = take(&mut self.packed, &self.hasher, V::parts(key));
                place.insert(Box::new(packed.map(|packed| unpack(&packed)).unwrap_or_default()))
            }
        }
    }

    /// Opens what is known of `key`, for somebody who will look at it often.
    pub fn open(&mut self, key: &V::Key) -> Option<&mut V> {
        if let Some(packed) = take(&mut self.packed, &self.hasher, V::parts(key)) {
            self.open.insert(key.clone(), Box::new(unpack(&packed)));
        }
        self.open.get_mut(key).map(|value| &mut **value)
    }

    /// Puts in what is known of `key` now, in place of what was.
    pub fn put(&mut self, key: V::Key, value: V) {
        self.forget(&key);
        if !self.packs(&key, &value) {
            self.open.insert(key, Box::new(value));
        }
    }

    /// Packs an entry that nobody works on any more, if it is settled.
    pub fn settle(&mut self, key: &V::Key) {
        let Some((key, value)) = self.open.remove_entry(key) else { return };
        if !self.packs(&key, &value) {
            self.open.insert(key, value);
        }
    }

    /// Forgets what is known of `key`.
    pub fn forget(&mut self, key: &V::Key) {
        self.open.remove(key);
        take(&mut self.packed, &self.hasher, V::parts(key));
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.open.len() + self.packed_count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything of which something is open, to look at.
    pub fn open_iter(&self) -> impl Iterator<Item = (&V::Key, &V)> {
        self.open.iter().map(|(key, value)| (key, &**value))
    }

    /// All open entries, for change: everything that is not settled is among them.
    pub fn open_entries(&mut self) -> impl Iterator<Item = (&V::Key, &mut V)> {
        self.open.iter_mut().map(|(key, value)| (key, &mut **value))
    }

    /// All entries. Unpacks every one: for tests, and where there are few.
    pub fn iter(&self) -> impl Iterator<Item = (V::Key, Cow<'_, V>)> {
        let open = self.open.iter().map(|(key, value)| (key.clone(), Cow::Borrowed(&**value)));
        open.chain(self.packed.keys().flat_map(|practice| self.packed_of(practice)))
    }

    /// The keys of what is packed and whose first field passes; nothing else is unpacked.
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
        let open = self.open.iter().filter(move |(key, _)| V::parts(key).0 == practice);
        open.map(|(key, value)| (key.clone(), Cow::Borrowed(&**value))).chain(self.packed_of(practice))
    }

    fn packed_of<'a>(&'a self, practice: &'a PracticeId) -> impl Iterator<Item = (V::Key, Cow<'a, V>)> {
        let entries = self.packed.get(practice).into_iter().flatten();
        entries.map(move |packed| (key_of::<V>(practice, packed), Cow::Owned(unpack(packed))))
    }

    fn packed_count(&self) -> usize {
        self.packed.values().map(HashTable::len).sum()
    }

    /// Whether `value` is packed now; not one that must lie open.
    fn packs(&mut self, key: &V::Key, value: &V) -> bool {
        let (practice, id) = V::parts(key);
        let Some(entry) = value.is_settled().then(|| pack(id, value)).flatten() else { return false };
        let hasher = &self.hasher;
        let table = self.packed.entry(practice.clone()).or_default();
        table.insert_unique(hasher.hash_one(id.as_bytes()), entry, |one| hasher.hash_one(parts(one).0));
        true
    }
}

impl<V: Shelved> Default for Shelf<V> {
    fn default() -> Self {
        Shelf { open: HashMap::new(), packed: HashMap::new(), hasher: RandomState::new() }
    }
}

impl<V: Shelved + Hash> Hash for Shelf<V> {
    /// By what is known, not by what lies open, and in the order of the keys.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        entries.hash(hasher);
    }
}

impl<V: Shelved + fmt::Debug> fmt::Debug for Shelf<V> {
    /// Only counts what is packed: its bytes hold ids of patients.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("open", &self.open).field("packed", &self.packed_count()).finish()
    }
}

#[cfg(test)]
mod tests;
