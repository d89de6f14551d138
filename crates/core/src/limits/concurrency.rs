//! How many calls may be under way, between one and `worker.max_in_flight`: additive increase, multiplicative decrease (Chiu and
//! Jain, 1989), on time-outs and on latency against the usual one. Without it a HealthFlow that slows down under many calls gets
//! all of them all the same, each of them late.

use std::hash::{Hash, Hasher};

use crate::time::Timestamp;

/// How long calls are watched before the limit changes, at least: then it is back from one to everything within ten seconds.
const WINDOW_MS: i64 = 500;

/// So many calls are judged, no fewer; of more only the first count.
const CALLS_MIN: usize = 10;
const CALLS_MAX: usize = 500;

/// A median this much above the usual one is no sign of too many calls, in milliseconds: a busy machine of our own does that.
const SLOWER_MS: f64 = 100.0;

/// If this part of the calls times out, there are too many.
const TIMED_OUT_SHARE: f64 = 0.1;

/// What is left of the limit after each step down.
const DECREASE: f64 = 0.7;

/// How much of `worker.max_in_flight` each step up adds.
const INCREASE_PART: f64 = 1.0 / 16.0;

/// If fewer calls do not make the median smaller than this part of what it was, their number is not what makes them slow.
const HELPS_BELOW: f64 = 0.9;

/// The usual latency follows a higher one by this part in each window, so that a lucky moment is forgotten.
const DRIFT: f64 = 0.02;

/// How many calls may be under way.
#[derive(Clone, Debug)]
pub struct Concurrency {
    /// At most, as configured.
    max: usize,
    /// How many times the usual latency is slow; 0: nothing is.
    slow_ratio: f64,
    limit: f64,
    /// The median when few calls were under way; none before the first window.
    usual_ms: Option<f64>,
    /// The median that the last step down was for, while it is not known whether that helps.
    stepped_down_at_ms: Option<f64>,
    window: Window,
}

/// The calls that went out since the limit changed last.
#[derive(Clone, Debug, Default, Hash)]
struct Window {
    began_at: Timestamp,
    elapsed_ms: Vec<i64>,
    timed_out: usize,
    /// The most calls that were under way.
    peak: usize,
}

impl Concurrency {
    /// Everything that is configured may be under way.
    pub fn new(max: usize, slow_ratio: f64, now: Timestamp) -> Self {
        let window = Window { began_at: now, ..Window::default() };
        Concurrency { max, slow_ratio, limit: max as f64, usual_ms: None, stepped_down_at_ms: None, window }
    }

    /// How many calls may be under way now.
    pub fn limit(&self) -> usize {
        (self.limit as usize).max(1)
    }

    /// A call that went out at `sent_at` ended; `under_way` were before it did, with it.
    pub fn ended(&mut self, sent_at: Timestamp, has_timed_out: bool, under_way: usize, now: Timestamp) {
        // A call from before a change says nothing about it.
        if self.slow_ratio == 0.0 || sent_at < self.window.began_at {
            return;
        }
        let window = &mut self.window;
        window.peak = window.peak.max(under_way);
        window.timed_out += usize::from(has_timed_out);
        if window.elapsed_ms.len() < CALLS_MAX {
            window.elapsed_ms.push(now.since_ms(sent_at).max(0));
        }
        if now.since_ms(window.began_at) >= WINDOW_MS && window.elapsed_ms.len() >= CALLS_MIN {
            let window = std::mem::replace(&mut self.window, Window { began_at: now, ..Window::default() });
            self.judge(window);
        }
    }

    fn judge(&mut self, mut window: Window) {
        let timed_out = window.timed_out as f64 >= TIMED_OUT_SHARE * window.elapsed_ms.len() as f64;
        let middle = window.elapsed_ms.len() / 2;
        let (_, median_ms, _) = window.elapsed_ms.select_nth_unstable(middle);
        let median_ms = *median_ms as f64;
        let usual_ms = self.usual_ms.unwrap_or(median_ms).min(median_ms);
        let is_slow = median_ms > self.slow_ratio * usual_ms && median_ms > usual_ms + SLOWER_MS;
        if !is_slow && !timed_out {
            self.usual_ms = Some(usual_ms + DRIFT * (median_ms - usual_ms));
            self.stepped_down_at_ms = None;
            if window.peak >= self.limit() {
                let step = (self.max as f64 * INCREASE_PART).max(1.0);
                self.limit = (self.limit + step).min(self.max as f64);
            }
            return;
        }
        let has_helped = self.stepped_down_at_ms.is_none_or(|before| median_ms < HELPS_BELOW * before);
        if has_helped || timed_out {
            self.usual_ms = Some(usual_ms);
            self.stepped_down_at_ms = Some(median_ms);
            self.limit = (self.limit.min(window.peak as f64) * DECREASE).max(1.0);
        } else {
            // HealthFlow is that slow whatever we do.
            self.usual_ms = Some(median_ms);
            self.stepped_down_at_ms = None;
        }
    }
}

impl Hash for Concurrency {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Concurrency { max: _, slow_ratio: _, limit, usual_ms, stepped_down_at_ms, window } = self;
        let numbers = [Some(*limit), *usual_ms, *stepped_down_at_ms];
        (numbers.map(|number| number.map(f64::to_bits)), window).hash(hasher);
    }
}

#[cfg(test)]
mod tests;
