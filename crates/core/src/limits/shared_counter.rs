//! Permits of the shared counter: one place counts the calls of all workers, and each takes its permits there in small batches.
//! This part decides when a worker asks, what it may do with what it got, and when it goes on without.
//!
//! A permit is dated: it may be used from its moment on, for a tenth of a second. So however late an answer comes, and whatever a
//! worker hoards, no second sees more than the rate and a tenth of it. The counter's clock dates it; the worker's own boot clock,
//! which nobody can set, says when that moment has come at the latest and is over at the earliest.
//!
//! Without an answer the worker falls back to the part of its partitions. Before that the counter has taken that part off what it
//! gives to others: it does so for every partition whose worker has not told for [`SILENT_MS`] that it hears it.

pub mod ask;
#[cfg(test)]
mod tests;
mod trouble;

use crate::time::Timestamp;

pub use ask::{Answer, Back, PermitAsk, RateTold, WindowTold};
pub use trouble::CounterTrouble;

/// So often a worker tells the counter that it hears it, even if it needs nothing (milliseconds).
pub const HEARTBEAT_MS: i64 = 200;
/// An answer that takes longer counts as none (milliseconds).
pub const ANSWER_WITHIN_MS: i64 = 150;
/// A partition of which the counter has heard nothing for so long may be on its own soon (milliseconds).
pub const SILENT_MS: i64 = 500;
/// The counter gives permits so far ahead of their moment (milliseconds).
pub const AHEAD_MS: i64 = 200;
/// A permit is over so long after its moment (milliseconds): a tenth of a second's calls may come at once.
pub const USE_WITHIN_MS: i64 = 100;
/// How long after the last answer a worker goes on alone (milliseconds): when the counter has counted it as silent, what was given
/// ahead is used up, and two clocks may have run differently for a while.
pub const FALL_BACK_MS: i64 = SILENT_MS + AHEAD_MS + 50;
/// Between two asks of which the first got less than it asked for, at least (milliseconds).
const ASK_AGAIN_MS: i64 = 10;
/// After an ask that failed at once (milliseconds).
const FAILED_PAUSE_MS: i64 = 100;

/// How a worker uses the shared counter (the section `[limits]`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharedCounterLimits {
    /// `limits.fallback_share`: how much of the part of its partitions a worker takes while the counter does not answer.
    pub fallback_share: f64,
    /// `limits.permits_max`: permits that one worker has in hand at most.
    pub permits_max: usize,
    /// `limits.permit_life_ms`: a call that has not reached its connection by then does not go out.
    pub permit_life_ms: i64,
}

#[cfg(any(test, feature = "for-tests"))]
impl SharedCounterLimits {
    /// The defaults of `config/default.toml`.
    pub const fn for_tests() -> Self {
        SharedCounterLimits { fallback_share: 0.8, permits_max: 20, permit_life_ms: 2_000 }
    }
}

/// What changed for the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It goes on alone, because of this.
    Away(CounterTrouble),
    /// The counter answers again, after so many milliseconds alone.
    Back {
        /// How long it was alone.
        away_ms: i64,
    },
}

/// What a worker knows of the shared counter, and its permits.
#[derive(Clone, Debug, Hash)]
pub struct SharedCounter {
    permits_max: usize,
    use_within_ms: i64,
    /// How many partitions the worker has.
    partitions: usize,
    /// Permits in hand.
    hand: Vec<Permit>,
    /// What goes back with the next ask.
    back: Back,
    asked: Option<Asked>,
    next_number: u64,
    /// Nothing is asked before this, needed or not.
    ask_from: Timestamp,
    /// The next ask that needs no need.
    heartbeat_at: Timestamp,
    /// The counter's clock in its last answer, in microseconds.
    answered_us: Option<i64>,
    /// When that answer came; at first, when this began.
    answered_at: Timestamp,
    /// Why the last ask failed.
    trouble: CounterTrouble,
    away: Option<Away>,
    /// How many permits more are needed than there are in hand.
    missing: usize,
}

/// One call may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Permit {
    from: Timestamp,
    until: Timestamp,
    /// The counter's clock when it was given, in microseconds: the name of its batch.
    given_us: i64,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Asked {
    number: u64,
    at: Timestamp,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Away {
    since: Timestamp,
    /// A partition that came since then may still be counted elsewhere until this.
    free_from: Timestamp,
}

impl SharedCounter {
    /// Nothing was heard yet. So many permits are in hand at most, each to be used within so long after its moment.
    pub fn new(permits_max: usize, use_within_ms: i64, now: Timestamp) -> Self {
        SharedCounter {
            permits_max: permits_max.max(1),
            use_within_ms,
            partitions: 0,
            hand: Vec::new(),
            back: Back::default(),
            asked: None,
            next_number: 1,
            ask_from: now,
            heartbeat_at: now,
            answered_us: None,
            answered_at: now,
            trouble: CounterTrouble::NoAnswer,
            away: None,
            missing: 0,
        }
    }

    /// Since when the worker goes on alone, and why; none while the counter answers.
    pub fn away(&self) -> Option<(Timestamp, CounterTrouble)> {
        self.away.map(|away| (away.since, self.trouble))
    }

    /// Whether an ask has no answer yet.
    pub fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// While the worker goes on alone: nothing may go out before this.
    pub fn free_from(&self) -> Option<Timestamp> {
        self.away.map(|away| away.free_from)
    }

    /// The worker has so many partitions from now on. If these are more while it goes on alone, whoever had them may be counted as
    /// there a moment longer.
    pub fn set_partitions(&mut self, partitions: usize, now: Timestamp) {
        if let Some(away) = self.away.as_mut().filter(|_| partitions > self.partitions) {
            away.free_from = now.plus_ms(FALL_BACK_MS);
        }
        self.partitions = partitions;
    }

    /// Time has passed: an answer may be overdue, permits may be over, the worker may have to go on alone.
    pub fn look(&mut self, now: Timestamp) -> Option<Change> {
        if self.asked.take_if(|asked| now >= asked.at.plus_ms(ANSWER_WITHIN_MS)).is_some() {
            self.trouble = CounterTrouble::NoAnswer;
        }
        let back = &mut self.back;
        self.hand.retain(|permit| {
            let is_over = permit.until <= now;
            is_over.then(|| back.count(permit.given_us));
            !is_over
        });
        if self.away.is_some() || now < self.answered_at.plus_ms(FALL_BACK_MS) {
            return None;
        }
        self.hand.clear();
        self.away = Some(Away { since: now, free_from: now });
        Some(Change::Away(self.trouble))
    }

    /// The next ask, if it is time: `needed` permits are wanted by what is about to be sent. The caller fills in the rest.
    pub fn ask(&mut self, needed: usize, now: Timestamp) -> Option<PermitAsk> {
        let needed = needed.min(self.permits_max);
        self.missing = needed.saturating_sub(self.hand.len());
        if self.asked.is_some() || now < self.ask_from {
            return None;
        }
        let is_low = self.missing > 0 && self.hand.len() * 2 <= self.permits_max;
        if !is_low && now < self.heartbeat_at {
            return None;
        }
        if needed == 0 {
            let hand = std::mem::take(&mut self.hand);
            hand.iter().for_each(|permit| self.back.count(permit.given_us));
        }
        let number = self.next_number;
        self.next_number += 1;
        self.asked = Some(Asked { number, at: now });
        self.heartbeat_at = now.plus_ms(HEARTBEAT_MS);
        let (want, back) = (self.missing, std::mem::take(&mut self.back));
        Some(PermitAsk {
            number,
            want,
            back,
            answered_us: self.answered_us.unwrap_or(0),
            ..PermitAsk::default()
        })
    }

    /// An ask was answered, or failed for this reason.
    pub fn answered(
        &mut self,
        number: u64,
        answer: Result<Answer, CounterTrouble>,
        now: Timestamp,
    ) -> Option<Change> {
        // What comes too late counts as lost: its permits may be over.
        let asked = self.asked.take_if(|asked| asked.number == number)?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => {
                self.trouble = why;
                self.ask_from = now.plus_ms(FAILED_PAUSE_MS);
                return None;
            }
        };
        (self.answered_us, self.answered_at) = (Some(answer.now_us), now);
        self.ask_from = now.plus_ms((answer.again_us / 1_000).clamp(ASK_AGAIN_MS, HEARTBEAT_MS));
        let ends_at = answer.ends_us.map(|us| asked.at.plus_ms(us.saturating_sub(answer.now_us) / 1_000));
        for slot_us in &answer.slots_us {
            let ahead_us = slot_us.saturating_sub(answer.now_us);
            // The counter gave it between the ask and its answer: whichever is worse counts.
            let from = now.plus_ms((ahead_us + 999).div_euclid(1_000));
            let until = asked.at.plus_ms(ahead_us.div_euclid(1_000) + self.use_within_ms);
            let until = ends_at.map_or(until, |ends_at| until.min(ends_at));
            self.hand.push(Permit { from, until, given_us: answer.now_us });
        }
        let away = self.away.take()?;
        Some(Change::Back { away_ms: now.since_ms(away.since) })
    }

    /// Takes one permit, if there is one to be used now.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let usable =
            self.hand.iter().enumerate().filter(|(_, permit)| permit.from <= now && now < permit.until);
        let Some((index, _)) = usable.min_by_key(|(_, permit)| permit.until) else { return false };
        let Permit { given_us, .. } = self.hand.remove(index);
        self.back.is_used(given_us);
        true
    }

    /// When the next call may go out as far as this goes, or when there may be news.
    pub fn next_at(&self, now: Timestamp) -> Timestamp {
        let usable = self.hand.iter().filter(|permit| now < permit.until).map(|permit| permit.from.max(now));
        usable.min().unwrap_or_else(|| self.next_look(now).max(now.plus_ms(1)))
    }

    /// When there is something to do here even if nothing happens.
    pub fn next_look(&self, now: Timestamp) -> Timestamp {
        let ask_at = match self.asked {
            Some(asked) => asked.at.plus_ms(ANSWER_WITHIN_MS),
            None if self.missing > 0 => self.ask_from,
            None => self.heartbeat_at.max(self.ask_from),
        };
        let falls_back_at = self.answered_at.plus_ms(FALL_BACK_MS);
        let at = if self.away.is_some() { ask_at } else { ask_at.min(falls_back_at) };
        at.max(now)
    }
}
