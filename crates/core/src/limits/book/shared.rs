//! What of the limits the shared counter keeps where there is one, and who counts it now. Two that count the same would be slower
//! than HealthFlow allows; none would be faster.

use std::collections::BTreeSet;

use crate::limits::book::{Book, is_for_all};
use crate::limits::policy::Policy;
use crate::limits::window::{Length, Window};
use crate::time::Timestamp;

/// The shared counter keeps no longer windows: what was used of those must not be forgotten (milliseconds).
const SHARED_MAX_MS: i64 = 60_000;

/// Who counts the calls of the limits that the shared counter can keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// The shared counter does.
    Shared,
    /// This worker does, within this part of its share, in thousandths.
    Here {
        /// The part.
        part_permille: u32,
    },
}

impl Book {
    /// From now on they are counted there. Whoever begins to count here begins as if nothing were left.
    pub fn count(&mut self, counted: Counted, now: Timestamp) {
        self.counted = counted;
        self.counters.retain(|(_, of), _| of.is_some());
        let owned: BTreeSet<i32> = self.owned.keys().copied().collect();
        self.set_owned(&owned, self.all, now);
    }

    /// The policies that the shared counter keeps where there is one.
    pub fn shareable(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(|policy| is_shareable(policy))
    }

    /// Whether a policy is counted in this book.
    pub(super) fn is_here(&self, policy: &Policy) -> bool {
        self.counted != Counted::Shared || !is_shareable(policy)
    }

    pub(super) fn part_permille(&self) -> u32 {
        match self.counted {
            Counted::Here { part_permille } => part_permille,
            Counted::Shared => 1_000,
        }
    }
}

/// Whether the shared counter can keep it. It counts calls of every kind, and forgets what it counted when it is emptied.
fn is_shareable(policy: &Policy) -> bool {
    let is_short = match &policy.window {
        Window::Rolling { ms } => *ms <= SHARED_MAX_MS,
        Window::Fixed(window) => matches!(window.length, Length::Part(ms) if ms <= SHARED_MAX_MS),
    };
    is_for_all(policy) && is_short
}
