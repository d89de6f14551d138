//! When a long limit will be used up, from what is left and how fast it was used lately. Nothing is decided by it: it tells people in
//! time.

use std::collections::{BTreeMap, VecDeque};

use crate::booking::{PracticeId, Source};
use crate::limits::policy::{Policy, Scope};
use crate::limits::window::{Fixed, Length, Window};
use crate::time::{DAY_MS, Timestamp};

/// What lately is: this part of the window, and at most a day.
const SPAN_PARTS: i64 = 24;

/// It is looked at in so many slices.
const SLICES: i64 = 12;

/// This part of it must have passed before anything is said: a quarter.
const ENOUGH_PARTS: i64 = 4;

/// How often it is looked whether there is something to tell, in milliseconds.
const EVERY_MS: i64 = 10_000;

/// Whose calls: of the limit with this number, of the account or of one practice.
pub(super) type Whose = (usize, Option<(i32, PracticeId)>);

/// A long limit at one moment, as far as this worker may use it. Of the practices that have the limit, the one that comes to its end
/// first.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaView {
    /// Its name.
    pub limit: Box<str>,
    /// Whose it is.
    pub scope: Scope,
    /// How many calls this worker may make in the window.
    pub calls: u32,
    /// How many of them are left.
    pub left: u32,
    /// Of those, how many are for live bookings only.
    pub reserve: u32,
    /// When the window ends; of a rolling one, when all that was used until now has come back.
    pub window_ends_at: Timestamp,
    /// When backfill will have used all that it may; none if that is not before the window ends.
    pub backfill_ends_at: Option<Timestamp>,
    /// When nothing will be left; none if that is not before the window ends.
    pub runs_out_at: Option<Timestamp>,
}

/// A limit that will be used up before its window ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaEnd {
    /// The limit's name.
    pub limit: Box<str>,
    /// For whom: for live bookings, or for backfill, which leaves them a reserve.
    pub source: Source,
    /// How many calls this worker has left.
    pub left: u32,
    /// When.
    pub runs_out_at: Timestamp,
    /// When there will be more.
    pub window_ends_at: Timestamp,
}

/// What one counter has, for its forecast.
#[derive(Clone, Debug, Default)]
pub(super) struct Stock {
    pub calls: u32,
    pub left: u32,
    pub reserve: u32,
    /// When how many calls come back, in order.
    pub come_back: Vec<(Timestamp, u32)>,
}

/// How fast limits were used lately, and what was told of that.
#[derive(Clone, Debug, Default)]
pub(super) struct Forecasts {
    recent: BTreeMap<Whose, Recent>,
    /// Until when nothing more is told of a limit, by whether it is for live bookings.
    told_until: BTreeMap<(usize, bool), Timestamp>,
    next_at: Timestamp,
}

/// The calls of a while.
#[derive(Clone, Debug)]
struct Recent {
    since: Timestamp,
    /// Of each slice: its number, calls of live bookings, other calls.
    slices: VecDeque<(i64, u32, u32)>,
}

/// Calls a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pace {
    live: f64,
    backfill: f64,
}

fn span_ms(window: &Window) -> i64 {
    let length_ms = match window {
        Window::Rolling { ms } | Window::Fixed(Fixed { length: Length::Part(ms), .. }) => *ms,
        Window::Fixed(Fixed { length: Length::Month, .. }) => 30 * DAY_MS,
    };
    (length_ms / SPAN_PARTS).clamp(SLICES, DAY_MS)
}

impl Stock {
    /// The parts of several partitions are one stock.
    pub fn add(&mut self, other: Stock) {
        self.calls = self.calls.saturating_add(other.calls);
        self.left = self.left.saturating_add(other.left);
        self.reserve = self.reserve.saturating_add(other.reserve);
        self.come_back.extend(other.come_back);
    }
}

impl QuotaView {
    /// Whether it comes to its end before another one, or has less left.
    pub(super) fn ends_before(&self, other: &QuotaView) -> bool {
        let end = |view: &QuotaView| (view.runs_out_at.unwrap_or(Timestamp::NEVER), view.left);
        end(self) < end(other)
    }
}

impl Recent {
    fn note(&mut self, is_live: bool, window: &Window, now: Timestamp) {
        let slice = now.0.div_euclid(span_ms(window) / SLICES);
        if self.slices.back().is_none_or(|(last, ..)| *last < slice) {
            self.slices.push_back((slice, 0, 0));
        }
        while self.slices.front().is_some_and(|(first, ..)| *first < slice - SLICES) {
            self.slices.pop_front();
        }
        if let Some((_, live, others)) = self.slices.back_mut() {
            *(if is_live { live } else { others }) += 1;
        }
    }

    /// None while too little is known.
    fn pace(&self, window: &Window, now: Timestamp) -> Option<Pace> {
        let span_ms = span_ms(window);
        let slice_ms = span_ms / SLICES;
        let first = now.0.div_euclid(slice_ms) - SLICES + 1;
        let from = self.since.0.max(first.saturating_mul(slice_ms));
        let seen_ms = now.0.saturating_sub(from);
        if now.since_ms(self.since) < span_ms / ENOUGH_PARTS || seen_ms <= 0 {
            return None;
        }
        let within = self.slices.iter().filter(|(slice, ..)| *slice >= first);
        let (live, others) = within.fold((0, 0), |(live, others), slice| (live + slice.1, others + slice.2));
        let part = |calls: u32| f64::from(calls) / seen_ms as f64;
        Some(Pace { live: part(live), backfill: part(others) })
    }
}

impl Forecasts {
    /// A call went out.
    pub fn spent(&mut self, whose: Whose, is_live: bool, window: &Window, now: Timestamp) {
        let recent = self.recent.entry(whose);
        let recent = recent.or_insert_with(|| Recent { since: now, slices: VecDeque::new() });
        recent.note(is_live, window, now);
    }

    /// Forgets how fast limits of others were used.
    pub fn retain(&mut self, is_ours: impl Fn(&(i32, PracticeId)) -> bool) {
        self.recent.retain(|(_, of), _| of.as_ref().is_none_or(&is_ours));
    }

    /// A limit at this moment.
    pub fn view(&self, whose: &Whose, policy: &Policy, stock: &Stock, now: Timestamp) -> QuotaView {
        let pace =
            self.recent.get(whose).and_then(|recent| recent.pace(&policy.window, now)).unwrap_or_default();
        let window_ends_at = match &policy.window {
            Window::Fixed(window) => window.around(now).1,
            Window::Rolling { ms } => now.plus_ms(*ms),
        };
        let (backfill_ends_at, runs_out_at) = forecast(stock, pace, now, window_ends_at);
        QuotaView {
            limit: policy.name.clone(),
            scope: policy.scope,
            calls: stock.calls,
            left: stock.left,
            reserve: stock.reserve,
            window_ends_at,
            backfill_ends_at,
            runs_out_at,
        }
    }

    /// Whether it is time to look whether there is something to tell.
    pub fn is_due(&mut self, now: Timestamp) -> bool {
        let is_due = now >= self.next_at;
        if is_due {
            self.next_at = now.plus_ms(EVERY_MS);
        }
        is_due
    }

    /// Whether it is news that this limit comes to its end, for live bookings or for others; it is once in a window.
    pub fn is_news(
        &mut self,
        index: usize,
        is_live: bool,
        window_ends_at: Timestamp,
        now: Timestamp,
    ) -> bool {
        let until = self.told_until.entry((index, is_live)).or_default();
        let is_news = now >= *until;
        if is_news {
            *until = window_ends_at;
        }
        is_news
    }
}

/// When backfill, and when everybody, comes to the end of what is left; none if that is not before `end`.
fn forecast(
    stock: &Stock,
    pace: Pace,
    now: Timestamp,
    end: Timestamp,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let (mut left, reserve) = (f64::from(stock.left), f64::from(stock.reserve));
    let mut backfill_ends_at = (left <= reserve).then_some(now);
    let mut at = now;
    for (next, calls) in stock.come_back.iter().copied().chain([(end, 0)]) {
        let next = next.clamp(at, end);
        while at < next {
            let goes_on = backfill_ends_at.is_none();
            let per_ms = pace.live + if goes_on { pace.backfill } else { 0.0 };
            let floor = if goes_on && pace.backfill > 0.0 { reserve } else { 0.0 };
            let lasts_ms = (left - floor).max(0.0) / per_ms;
            if per_ms <= 0.0 || lasts_ms >= next.since_ms(at) as f64 {
                left -= per_ms * next.since_ms(at) as f64;
                at = next;
                continue;
            }
            (at, left) = (at.plus_ms(lasts_ms as i64), floor);
            match floor > 0.0 {
                true => backfill_ends_at = Some(at),
                false => return (backfill_ends_at.or(Some(at)), Some(at)),
            }
        }
        left += f64::from(calls);
    }
    let is_empty = stock.left == 0;
    (backfill_ends_at.filter(|at| pace.backfill > 0.0 || *at == now), is_empty.then_some(now))
}

#[cfg(test)]
mod tests;
