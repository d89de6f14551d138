//! What was used of one long limit in one partition. A call is spent only from a portion that a good commit has counted as spent, so
//! whoever takes the partition over counts rather too much than too little. A fixed window is one stretch of time; a rolling one is
//! counted in 24 stretches, each of which counts until its last moment has left the window.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits::window::Window;
use crate::state::QuotaCount;
use crate::time::Timestamp;

/// Stretches of a rolling window.
const STRETCHES: i64 = 24;

/// A portion is this part of what a partition may use: one hundredth.
const PORTION_PARTS: u32 = 100;

/// A portion is at least so many calls: what one booking may need.
const PORTION_MIN: u32 = 4;

/// So much workers' clocks may differ, in milliseconds: a minute.
const CLOCKS_MS: i64 = 60_000;

/// The calls of one limit in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Count {
    stretches: BTreeMap<Timestamp, Stretch>,
}

/// The calls of one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Stretch {
    /// How many were made.
    spent: u32,
    /// How many the last good commit counts.
    granted: u32,
    /// How many the commit under way counts; as many as the last one if it counts no more.
    asked: u32,
}

impl Stretch {
    fn at_most(self) -> u32 {
        self.spent.max(self.asked)
    }
}

/// The stretch that is asked about, and what a partition may use in the window that ends with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub window: &'a Window,
    /// When the stretch begins that calls go out in now.
    pub current: Timestamp,
    /// When the stretch begins that is asked about: that one, or the next.
    pub begin: Timestamp,
    /// How many calls the partition may make.
    pub most: u32,
}

/// The stretch that `at` is in: its begin, and its end, which is the begin of the next one.
pub(super) fn stretch(window: &Window, at: Timestamp) -> (Timestamp, Timestamp) {
    match window {
        Window::Fixed(fixed) => fixed.around(at),
        Window::Rolling { ms } => {
            let length_ms = stretch_ms(*ms);
            let begin = Timestamp(at.0.div_euclid(length_ms).saturating_mul(length_ms));
            (begin, begin.plus_ms(length_ms))
        }
    }
}

fn stretch_ms(window_ms: i64) -> i64 {
    (window_ms / STRETCHES).max(1)
}

/// Whether a stretch that begins at `begin` counts in the window that ends with the stretch from `last`.
fn counts(window: &Window, begin: Timestamp, last: Timestamp) -> bool {
    match window {
        Window::Fixed(_) => begin == last,
        Window::Rolling { ms } => leaves_at(*ms, begin) > last && is_of_our_time(window, begin, last),
    }
}

/// What begins later than the next stretch, but for what workers' clocks may differ, was written by a wrong clock. It would count
/// for ever.
fn is_of_our_time(window: &Window, begin: Timestamp, current: Timestamp) -> bool {
    begin <= stretch(window, current).1.plus_ms(CLOCKS_MS)
}

/// When the last moment of a stretch has left a rolling window.
fn leaves_at(window_ms: i64, begin: Timestamp) -> Timestamp {
    begin.plus_ms(stretch_ms(window_ms).saturating_add(window_ms))
}

/// Whether a stretch counts now, later, or for a clock that is behind by one.
fn is_kept(window: &Window, begin: Timestamp, (before, current): (Timestamp, Timestamp)) -> bool {
    let counts_later = begin >= current && is_of_our_time(window, begin, current);
    counts_later || counts(window, begin, current) || counts(window, begin, before)
}

impl Count {
    /// As the owner before may have left it.
    pub fn restore(&mut self, begin: Timestamp, calls: u32) {
        let known = self.stretches.entry(begin).or_default();
        let calls = known.spent.max(calls);
        *known = Stretch { spent: calls, granted: calls, asked: calls };
    }

    fn of(&self, begin: Timestamp) -> Stretch {
        self.stretches.get(&begin).copied().unwrap_or_default()
    }

    /// What other stretches of the window may have seen; what may still be spent in them counts as spent.
    fn elsewhere(&self, frame: Frame<'_>) -> u32 {
        let others = self
            .stretches
            .iter()
            .filter(|(begin, _)| **begin != frame.begin && counts(frame.window, **begin, frame.begin));
        let used = |(begin, stretch): (&Timestamp, &Stretch)| {
            if *begin >= frame.current { stretch.at_most() } else { stretch.spent }
        };
        others.map(used).fold(0, u32::saturating_add)
    }

    /// How many of `most` calls are left.
    pub fn left(&self, most: u32, frame: Frame<'_>) -> u32 {
        most.saturating_sub(self.elsewhere(frame)).saturating_sub(self.of(frame.begin).spent)
    }

    /// How many of them a good commit has counted already.
    pub fn spendable(&self, most: u32, frame: Frame<'_>) -> u32 {
        let Stretch { spent, granted, .. } = self.of(frame.begin);
        granted.saturating_sub(spent).min(self.left(most, frame))
    }

    /// One call goes out.
    pub fn spend(&mut self, frame: Frame<'_>) {
        let stretch = self.stretches.entry(frame.current).or_default();
        stretch.spent = stretch.spent.saturating_add(1);
    }

    /// Whether any call went out in the current stretch.
    pub fn is_in_use(&self, current: Timestamp) -> bool {
        self.of(current).spent > 0
    }

    /// How many calls the next commit should count, if that is more than the last one does: another portion once half of one is
    /// spent.
    pub fn to_grant(&self, frame: Frame<'_>) -> Option<u32> {
        let Stretch { spent, asked, .. } = self.of(frame.begin);
        let portion = (frame.most / PORTION_PARTS).max(PORTION_MIN);
        let room = frame.most.saturating_sub(self.elsewhere(frame));
        let wanted = spent.saturating_add(portion).min(room);
        (asked.saturating_sub(spent) <= portion / 2 && wanted > asked).then_some(wanted)
    }

    /// The next commit counts another portion, where one is due. Returns whether it does.
    pub fn grant(&mut self, frame: Frame<'_>) -> bool {
        let more = self.to_grant(frame);
        more.into_iter().for_each(|calls| self.stretches.entry(frame.begin).or_default().asked = calls);
        more.is_some()
    }

    /// Whether it still counts in any window from the current one on.
    pub fn matters(&self, window: &Window, current: Timestamp) -> bool {
        let (before, _) = stretch(window, current.plus_ms(-1));
        self.stretches.keys().any(|begin| is_kept(window, *begin, (before, current)))
    }

    /// Whether a commit is under way that counts more.
    pub fn is_granting(&self, begin: Timestamp) -> bool {
        let Stretch { granted, asked, .. } = self.of(begin);
        asked > granted
    }

    /// The commit is good.
    pub fn committed(&mut self) {
        self.stretches.values_mut().for_each(|stretch| stretch.granted = stretch.asked);
    }

    /// What was not spent is given back by the next commit. Returns whether there is any; it cannot be spent any more.
    pub fn give_back(&mut self, current: Timestamp) -> bool {
        let mut gave = false;
        for (_, stretch) in self.stretches.range_mut(current..) {
            gave |= stretch.at_most() > stretch.spent;
            (stretch.granted, stretch.asked) = (stretch.spent, stretch.spent);
        }
        gave
    }

    /// When the first calls come back that were made.
    pub fn more_at(&self, window: &Window, current: (Timestamp, Timestamp)) -> Timestamp {
        let Window::Rolling { ms } = window else { return current.1 };
        let used = self
            .stretches
            .iter()
            .filter(|(begin, one)| one.at_most() > 0 && counts(window, **begin, current.0));
        used.map(|(begin, _)| leaves_at(*ms, *begin)).min().unwrap_or(current.1).max(current.1)
    }

    /// When how many calls come back, of those that count now.
    pub fn come_back(&self, window: &Window, current: Timestamp) -> impl Iterator<Item = (Timestamp, u32)> {
        let rolling_ms = if let Window::Rolling { ms } = window { Some(*ms) } else { None };
        let counting = self.stretches.iter().filter(move |(begin, _)| counts(window, **begin, current));
        counting.filter_map(move |(begin, one)| Some((leaves_at(rolling_ms?, *begin), one.spent)))
    }

    /// What the next commit says. The stretch before is kept too: a worker whose clock is behind still counts in it.
    pub fn record(&mut self, limit: &Arc<str>, window: &Window, current: Timestamp) -> Vec<QuotaCount> {
        let (before, _) = stretch(window, current.plus_ms(-1));
        self.stretches.retain(|begin, _| is_kept(window, *begin, (before, current)));
        let count = |(begin, stretch): (&Timestamp, &Stretch)| {
            let calls = if *begin >= current { stretch.at_most() } else { stretch.spent };
            QuotaCount { limit: limit.clone(), begin: *begin, calls }
        };
        self.stretches.iter().map(count).collect()
    }
}
