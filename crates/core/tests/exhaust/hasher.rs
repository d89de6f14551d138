//! One number for a state, with every instant as its distance from now: two worlds that differ only in what time it is
//! are the same world. What is longer ago than anything asks for is equally long ago.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

/// Instants are the only integers of this size in a state.
const INSTANTS: std::ops::Range<i64> = 1_000_000_000_000..10_000_000_000_000;

/// Nothing in a small world asks how long ago something was beyond this, in milliseconds.
const LONG_AGO_MS: i64 = 20_000;

/// Nothing in a small world lasts as long as this, in milliseconds: what lies further ahead never comes, and is what
/// it is.
const NEVER_MS: i64 = 1_000_000;

/// Hashes what it is fed, instants relative to `now`.
pub struct RelativeHasher {
    now: i64,
    state: u64,
}

impl RelativeHasher {
    pub fn new(now: i64) -> Self {
        RelativeHasher { now, state: 0x9E37_79B9_7F4A_7C15 }
    }

    fn mix(&mut self, value: u64) {
        let product = u128::from(self.state ^ value) * u128::from(0x8bb8_4b93_962e_acc9_u64);
        let folded = (product as u64) ^ ((product >> 64) as u64);
        self.state = folded.rotate_left(23) ^ value.wrapping_mul(0xA076_1D64_78BD_642F);
    }
}

impl Hasher for RelativeHasher {
    fn finish(&self) -> u64 {
        let mut end = self.state;
        end ^= end >> 32;
        end = end.wrapping_mul(0xd6e8_feb8_6659_fd93);
        end ^ (end >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let chunks = bytes.chunks_exact(8);
        let rest = chunks.remainder();
        for chunk in chunks {
            self.mix(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        let mut last = [0_u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        last[7] = rest.len() as u8;
        self.mix(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }

    fn write_i64(&mut self, value: i64) {
        let is_near = INSTANTS.contains(&value) && value - self.now < NEVER_MS;
        let relative = if is_near { (value - self.now).max(-LONG_AGO_MS) } else { value };
        self.mix(relative as u64);
    }
}

/// A part of a world that other worlds may share; its number is reckoned once for each moment.
#[derive(Debug)]
pub struct Part<T>(Rc<Known<T>>);

#[derive(Clone, Debug)]
struct Known<T> {
    value: T,
    hash: Cell<Option<(i64, u64)>>,
}

impl<T> Part<T> {
    pub fn new(value: T) -> Self {
        Part(Rc::new(Known { value, hash: Cell::new(None) }))
    }
}

impl<T: Hash> Part<T> {
    pub fn fingerprint(&self, now: i64) -> u64 {
        if let Some((at, hash)) = self.0.hash.get()
            && at == now
        {
            return hash;
        }
        let mut hasher = RelativeHasher::new(now);
        self.0.value.hash(&mut hasher);
        let hash = hasher.finish();
        self.0.hash.set(Some((now, hash)));
        hash
    }
}

impl<T: Clone> Part<T> {
    /// The part, for change: a copy of its own if others share it.
    pub fn change(&mut self) -> &mut T {
        let known = Rc::make_mut(&mut self.0);
        known.hash.set(None);
        &mut known.value
    }
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Part(Rc::clone(&self.0))
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// Goal: what differs only in what time it is counts as the same, and nothing else does. Method: one pair moved in time.
#[test]
fn instants_count_from_now() {
    use healthflow_core::time::Timestamp;
    let hash = |now: i64, pair: (i64, i64)| {
        let mut hasher = RelativeHasher::new(now);
        (Timestamp(pair.0), pair.1).hash(&mut hasher);
        hasher.finish()
    };
    let (now, later) = (1_900_000_000_000, 1_900_000_004_000);
    assert_eq!(hash(now, (now - 5, 7)), hash(later, (later - 5, 7)));
    assert_ne!(hash(now, (now - 5, 7)), hash(now, (now - 6, 7)));
    assert_ne!(hash(now, (now - 5, 7)), hash(now, (now - 5, 8)));
    assert_eq!(hash(now, (now - 50_000, 7)), hash(now, (now - 60_000, 7)), "long ago is long ago");
}
