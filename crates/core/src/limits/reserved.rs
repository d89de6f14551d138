//! What bookings that have begun will still need: a booking that stalls half way holds its patient, its slot and an open intent.

use std::collections::{BTreeMap, BTreeSet};

use crate::booking::BookingKey;
use crate::time::Timestamp;

/// Permits that are kept, by booking; `C` is a counter.
#[derive(Clone, Debug, Hash)]
pub(super) struct Reserved<C> {
    bookings: BTreeMap<BookingKey, Kept<C>>,
    ends: BTreeSet<(Timestamp, BookingKey)>,
    by_counter: BTreeMap<C, u32>,
}

#[derive(Clone, Debug, Hash)]
struct Kept<C> {
    until: Timestamp,
    of: Vec<(C, u32)>,
}

impl<C> Default for Reserved<C> {
    fn default() -> Self {
        Reserved { bookings: BTreeMap::new(), ends: BTreeSet::new(), by_counter: BTreeMap::new() }
    }
}

impl<C: Ord + Clone> Reserved<C> {
    /// How many permits of a counter are kept for bookings at `now`. What was kept for too long counts no more, also while no call
    /// goes out that would give it back: else those that wait for it would wait for each other.
    pub fn of(&self, counter: &C, now: Timestamp) -> u32 {
        let over = self.ends.iter().take_while(|(until, _)| *until <= now);
        let kept = over.filter_map(|(_, booking)| self.bookings.get(booking)).flat_map(|kept| &kept.of);
        let over: u32 = kept.filter(|(of, _)| of == counter).map(|(_, left)| left).sum();
        self.by_counter.get(counter).copied().unwrap_or(0).saturating_sub(over)
    }

    /// Whether any are kept for this one.
    pub fn has(&self, booking: &BookingKey) -> bool {
        self.bookings.contains_key(booking)
    }

    /// A call of `booking` takes one of these counters each; if it is its first, the rest of what it needs is kept for a while.
    /// Where it is the last, nothing is kept any more.
    pub fn takes(
        &mut self,
        booking: &BookingKey,
        needs: Vec<(C, u32)>,
        is_last: bool,
        (now, until): (Timestamp, Timestamp),
    ) {
        self.end(now);
        let known = self.release(booking);
        if is_last {
            return;
        }
        let rest = |counter: &C, need: u32| {
            let kept = known.iter().flatten().find(|(of, _)| of == counter).map(|(_, left)| *left);
            kept.unwrap_or(if known.is_some() { 0 } else { need }).saturating_sub(1)
        };
        let mut of: Vec<(C, u32)> =
            needs.into_iter().map(|(counter, need)| (counter.clone(), rest(&counter, need))).collect();
        // What this call did not count in stays.
        let untouched =
            known.into_iter().flatten().filter(|(counter, _)| of.iter().all(|(one, _)| one != counter));
        let untouched: Vec<(C, u32)> = untouched.collect();
        of.extend(untouched);
        of.retain(|(_, left)| *left > 0);
        if of.is_empty() {
            return;
        }
        for (counter, left) in &of {
            *self.by_counter.entry(counter.clone()).or_default() += left;
        }
        self.ends.insert((until, booking.clone()));
        self.bookings.insert(booking.clone(), Kept { until, of });
    }

    /// Gives back what was kept for too long.
    fn end(&mut self, now: Timestamp) {
        while let Some((until, booking)) = self.ends.first().cloned()
            && until <= now
        {
            self.release(&booking);
        }
    }

    fn release(&mut self, booking: &BookingKey) -> Option<Vec<(C, u32)>> {
        let Kept { until, of } = self.bookings.remove(booking)?;
        self.ends.remove(&(until, booking.clone()));
        for (counter, left) in &of {
            let all = self.by_counter.get(counter).copied().unwrap_or(0).saturating_sub(*left);
            if all == 0 {
                self.by_counter.remove(counter);
            } else {
                self.by_counter.insert(counter.clone(), all);
            }
        }
        Some(of)
    }
}
