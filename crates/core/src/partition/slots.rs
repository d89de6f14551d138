//! Who waits for whose slot (rule K11). Bookings of one provider are coupled where HealthFlow keeps slots exclusive: what
//! one leaves another one takes. Desks take one legal step after the other, but we write different bookings at the same
//! time and skip versions; without this the second step may come first, and a patient loses a visit that nobody else has.
//!
//! Only bookings with an unanswered version are here, at hand or parked: only those will free a slot.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::appointment::Span;
use crate::booking::{BookingKey, PracticeId, Version};
use crate::hash::HashMap;
use crate::state::Wish;

/// What one booking takes of the book, and what its unanswered versions want of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// What it may occupy in HealthFlow now.
    pub occupied: Vec<Span>,
    /// Whether it exists in a slot that state does not have: what an earlier worker wrote, or what a look-up found.
    pub somewhere: bool,
    /// What its unanswered versions want; none where an earlier worker parked one.
    pub wishes: BTreeMap<Version, Option<Wish>>,
}

/// What a footprint was made from, so that one that has not changed need not be made again: it is asked for at every step of a
/// booking, and most steps are reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MadeFrom {
    /// The stamp of the booking's state.
    pub state: u64,
    /// The versions at hand, with their orders, folded into one number.
    pub versions: u64,
    /// Whether its open write may have had an effect.
    pub may_have_effect: bool,
}

impl Hash for MadeFrom {
    /// It follows from job and state.
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A provider's day: what overlaps has one in common.
type Day = (PracticeId, Arc<str>, i32);

/// Slots that are taken, wanted and waited for.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    known: HashMap<BookingKey, Footprint>,
    by_day: HashMap<Day, BTreeSet<BookingKey>>,
    somewhere: HashMap<PracticeId, BTreeSet<BookingKey>>,
    /// The bookings that each one waits for; none while they are not known.
    waits_for: BTreeMap<BookingKey, BTreeSet<BookingKey>>,
    awaited_by: BTreeMap<BookingKey, BTreeSet<BookingKey>>,
    undecided: BTreeSet<BookingKey>,
}

impl Hash for Slots {
    /// What is known is read from jobs and state; who waits is not.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Slots { known: _, by_day: _, somewhere: _, waits_for, awaited_by: _, undecided: _ } = self;
        waits_for.hash(hasher);
    }
}

impl Footprint {
    /// Every stretch that it takes or wants.
    fn spans(&self) -> impl Iterator<Item = &Span> {
        let wanted = self.wishes.values().flatten().filter_map(|wish| wish.span.as_ref());
        self.occupied.iter().chain(wanted)
    }
}

/// Whether `wish` has nothing of `span`.
fn leaves(wish: &Wish, span: &Span) -> bool {
    wish.span.as_ref().is_none_or(|wanted| !wanted.overlaps(span))
}

fn days<'a>(practice: &'a PracticeId, span: &'a Span) -> impl Iterator<Item = Day> + 'a {
    span.days().map(|day| (practice.clone(), span.provider_id.clone(), day))
}

impl Slots {
    /// Puts in what `key` takes and wants now; returns the bookings that waited for it and should look again.
    pub fn put(&mut self, key: &BookingKey, footprint: Footprint) -> BTreeSet<BookingKey> {
        if self.has(key, &footprint) {
            return BTreeSet::new();
        }
        let is_over = footprint.wishes.is_empty();
        self.take_out(key);
        if is_over {
            self.stop_waiting(key);
        } else {
            for day in footprint.spans().flat_map(|span| days(&key.practice, span)) {
                self.by_day.entry(day).or_default().insert(key.clone());
            }
            if footprint.somewhere {
                self.somewhere.entry(key.practice.clone()).or_default().insert(key.clone());
            }
            self.known.insert(key.clone(), footprint);
        }
        let waiters = self.awaited_by.remove(key).unwrap_or_default();
        for waiter in &waiters {
            self.stop_waiting(waiter);
        }
        waiters
    }

    /// Whether this is what is known of `key`.
    pub fn has(&self, key: &BookingKey, footprint: &Footprint) -> bool {
        self.known.get(key).map_or(footprint.wishes.is_empty(), |known| known == footprint)
    }

    fn take_out(&mut self, key: &BookingKey) {
        let Some(old) = self.known.remove(key) else { return };
        for day in old.spans().flat_map(|span| days(&key.practice, span)) {
            if let Some(of_day) = self.by_day.get_mut(&day) {
                of_day.remove(key);
                if of_day.is_empty() {
                    self.by_day.remove(&day);
                }
            }
        }
        if let Some(of_practice) = self.somewhere.get_mut(&key.practice) {
            of_practice.remove(key);
            if of_practice.is_empty() {
                self.somewhere.remove(&key.practice);
            }
        }
    }

    /// The bookings that `key` must wait for before it takes `span`, which it wants since `order`: those that have something
    /// of it and an unanswered version that leaves it, or will have before they leave it and wanted that earlier. Once
    /// HealthFlow has `refused` it, also every booking whose slot is unknown.
    pub fn blockers(&self, key: &BookingKey, order: i64, span: &Span, refused: bool) -> BTreeSet<BookingKey> {
        let near = days(&key.practice, span).filter_map(|day| self.by_day.get(&day)).flatten();
        let far = self.somewhere.get(&key.practice).into_iter().flatten().filter(|_| refused);
        let others = near.chain(far).filter(|other| *other != key);
        others.filter(|other| self.will_free(other, order, span, refused)).cloned().collect()
    }

    fn will_free(&self, other: &BookingKey, order: i64, span: &Span, refused: bool) -> bool {
        let Some(footprint) = self.known.get(other) else { return false };
        let leaves_after = |version: Version| {
            let mut later = footprint.wishes.range(version..);
            later.any(|(_, wish)| wish.as_ref().map_or(refused, |wish| leaves(wish, span)))
        };
        let has_it = |taken: &Span| taken.overlaps(span);
        (footprint.occupied.iter().any(has_it) || (refused && footprint.somewhere)) && leaves_after(0)
            || self.written_first(other, footprint).any(|(version, wish)| {
                wish.order < order && wish.span.as_ref().is_some_and(has_it) && leaves_after(version + 1)
            })
    }

    /// The versions of `key` that must be written although a newer one is known, oldest first.
    pub fn first_of(&self, key: &BookingKey) -> Vec<Version> {
        let footprint = self.known.get(key);
        let first = footprint.into_iter().flat_map(|footprint| self.written_first(key, footprint));
        first.map(|(version, _)| version).collect()
    }

    /// Older versions that free what another booking wants that came before the newest: a desk that exchanges two visits by
    /// way of a third time takes three steps, and without the first one the other two wait for each other.
    fn written_first<'a>(
        &'a self,
        key: &'a BookingKey,
        footprint: &'a Footprint,
    ) -> impl Iterator<Item = (Version, &'a Wish)> {
        let newest =
            footprint.wishes.last_key_value().and_then(|(version, wish)| Some((*version, wish.as_ref()?)));
        let older = newest.into_iter().flat_map(move |(newest, last)| {
            let older = footprint.wishes.range(..newest);
            older.filter_map(move |(version, wish)| Some((*version, wish.as_ref()?, last.order)))
        });
        let mut taken: Vec<&Span> = footprint.occupied.iter().collect();
        older.filter_map(move |(version, wish, until)| {
            let frees = taken.iter().any(|span| self.is_wanted(key, span, wish, until));
            if frees {
                taken = wish.span.iter().collect();
            }
            frees.then_some((version, wish))
        })
    }

    /// Whether another booking wants something of `span` that `wish` leaves, before `until`. Also one that came before `wish`,
    /// for an older version that would have freed it may have been left out; but not if `wish` needs what that one has: each
    /// would wait for the other.
    fn is_wanted(&self, key: &BookingKey, span: &Span, wish: &Wish, until: i64) -> bool {
        let others = days(&key.practice, span).filter_map(|day| self.by_day.get(&day)).flatten();
        let wishes = others.filter(|other| *other != key).filter_map(|other| self.known.get(other));
        wishes.flat_map(|of| of.wishes.values().flatten().map(move |other| (of, other))).any(|(of, other)| {
            let comes_after = wish.order < other.order;
            (comes_after || of.occupied.iter().all(|span| leaves(wish, span)))
                && other.order < until
                && other.span.as_ref().is_some_and(|wanted| wanted.overlaps(span) && leaves(wish, wanted))
        })
    }

    /// Whether a booking of the practice exists in a slot that state does not have.
    pub fn is_anybody_somewhere(&self, practice: &PracticeId) -> bool {
        self.somewhere.contains_key(practice)
    }

    /// Notes that `key` waits for `blockers`: it looks again as soon as something about one of them changes.
    pub fn wait(&mut self, key: &BookingKey, blockers: BTreeSet<BookingKey>) {
        self.stop_waiting(key);
        for blocker in &blockers {
            self.awaited_by.entry(blocker.clone()).or_default().insert(key.clone());
        }
        if blockers.is_empty() {
            self.undecided.insert(key.clone());
        }
        self.waits_for.insert(key.clone(), blockers);
    }

    /// The bookings that wait while it is not known for which.
    pub fn undecided(&self) -> impl Iterator<Item = &BookingKey> {
        self.undecided.iter()
    }

    /// Takes out the bookings that wait while it is not known for which.
    pub fn take_undecided(&mut self) -> BTreeSet<BookingKey> {
        let undecided = std::mem::take(&mut self.undecided);
        undecided.iter().for_each(|key| self.stop_waiting(key));
        undecided
    }

    /// Notes that `key` waits for no slot any more.
    pub fn stop_waiting(&mut self, key: &BookingKey) {
        self.undecided.remove(key);
        for blocker in self.waits_for.remove(key).unwrap_or_default() {
            if let Some(waiters) = self.awaited_by.get_mut(&blocker) {
                waiters.remove(key);
                if waiters.is_empty() {
                    self.awaited_by.remove(&blocker);
                }
            }
        }
    }

    /// Whether one of `blockers` wants, at one or more removes, what `key` has: then none of them can go first.
    pub fn is_in_cycle(&self, key: &BookingKey, blockers: &BTreeSet<BookingKey>) -> bool {
        let mut open: Vec<BookingKey> = blockers.iter().cloned().collect();
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            if next == *key {
                return true;
            }
            let wishes = self.known.get(&next).and_then(|footprint| footprint.wishes.values().next_back());
            if let Some(Wish { order, span: Some(wanted) }) = wishes.and_then(Option::as_ref)
                && seen.insert(next.clone())
            {
                open.extend(self.blockers(&next, *order, wanted, false));
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
