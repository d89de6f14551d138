//! The circuit breaker of the account: while HealthFlow does not answer, nothing is sent but one real call now and then, and
//! no booking pays for what is not its own fault. Without it an outage turns every waiting booking into a doubt with an
//! attempt, a look-up and a retry record of its own, and ages them all towards a dead letter. The three states are those of
//! Nygard, *Release It!*; closing is slow, because what has just come back is easily lost again.

mod window;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use crate::booking::PracticeId;
use crate::coded::coded;
use crate::limits::stops::Stops;
use crate::time::Timestamp;

use window::{Sample, Window};

/// What is let through as soon as HealthFlow answers again; the rest follows in proportion to time.
const RAMP_FROM: f64 = 0.1;

/// So many practices whose probe failed are passed over by the next ones.
const PASSED_OVER_MAX: usize = 8;

/// When it opens, how it asks, how it closes; each is a key of the section `[breaker]`. Durations are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerLimits {
    /// `breaker.window_ms`: how far back calls count.
    pub window_ms: i64,
    /// `breaker.calls_min`: it judges no fewer calls than this; 0: there is no breaker.
    pub calls_min: usize,
    /// `breaker.failed_share`: it opens if this part of the calls failed.
    pub failed_share: f64,
    /// `breaker.slow_ms`: a call that takes this long is slow.
    pub slow_ms: i64,
    /// `breaker.slow_share`: it opens if this part of the calls was slow.
    pub slow_share: f64,
    /// `breaker.probe_min_ms`: the first probe goes out this long after it opened.
    pub probe_min_ms: i64,
    /// `breaker.probe_max_ms`: the longest time from one probe to the next.
    pub probe_max_ms: i64,
    /// `breaker.ramp_ms`: from the first probe that was answered to full speed.
    pub ramp_ms: i64,
    /// `breaker.notice_after_ms`: once it was open for so long, a notice says so; 0: none does.
    pub notice_after_ms: i64,
}

#[cfg(any(test, feature = "for-tests"))]
impl BreakerLimits {
    /// The defaults of `config/default.toml`; a test of the configuration compares the two.
    pub const fn for_tests() -> Self {
        BreakerLimits {
            window_ms: 30_000,
            calls_min: 10,
            failed_share: 0.5,
            slow_ms: 5_000,
            slow_share: 0.8,
            probe_min_ms: 1_000,
            probe_max_ms: 5_000,
            ramp_ms: 10_000,
            notice_after_ms: 30_000,
        }
    }

    /// There is no breaker.
    pub const fn off() -> Self {
        BreakerLimits { calls_min: 0, ..BreakerLimits::for_tests() }
    }
}

/// How a call ended, as far as it says whether HealthFlow works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// HealthFlow answered, whatever it answered.
    Answered,
    /// It did not: no connection, no answer, 5xx, or nothing that can be read.
    Failed(BreakerCause),
    /// Nothing was sent, for a reason of our own.
    Unsent,
}

/// How the breaker changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It opened.
    Opened {
        /// What opened it.
        cause: BreakerCause,
        /// Calls that it judged.
        calls: usize,
        /// How many of them failed, or were slow.
        bad: usize,
    },
    /// A probe failed: it stays open.
    ProbeFailed,
    /// A probe was answered: it closes, little by little.
    Closed {
        /// How long it was open.
        open_ms: u64,
    },
}

coded! {
    /// What opens the breaker; the code is the metric label, and that of the fault where it is one.
    pub enum BreakerCause {
        /// There was no connection.
        Connect = "connect",
        /// No answer came in time.
        Timeout = "timeout",
        /// The connection broke before the answer came.
        Reset = "reset",
        /// HealthFlow answered 5xx.
        ServerError = "server_error",
        /// HealthFlow answered 503 with `Retry-After`.
        Unavailable = "unavailable",
        /// The answer could not be read.
        Unreadable = "unreadable",
        /// A proxy between us and HealthFlow answered.
        Foreign = "foreign",
        /// Answers came too late.
        Slow = "slow",
    }
}

coded! {
    /// The state of the breaker; the code is the name on the status page.
    pub enum BreakerState {
        /// Everything goes out.
        Closed = "closed",
        /// Nothing goes out, but for a probe.
        Open = "open",
        /// HealthFlow has just answered again: little goes out, and more by the second.
        Ramping = "ramping",
    }
}

/// The breaker as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerView {
    /// Its state.
    pub state: BreakerState,
    /// Since when.
    pub since: Timestamp,
    /// What opened it.
    pub cause: BreakerCause,
}

/// The circuit breaker of one worker.
#[derive(Clone, Debug)]
pub struct Breaker {
    limits: BreakerLimits,
    window: Window,
    state: State,
    /// Probes that failed one after the other, or closings that did not last.
    failed_probes: u32,
    passed_over: VecDeque<PracticeId>,
    /// When it was open.
    opened: Stops,
    /// When HealthFlow answered last, in time; none before it did.
    answered_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Hash)]
enum State {
    Closed,
    Open { since: Timestamp, cause: BreakerCause, next_probe_at: Timestamp, probe: Option<u64> },
    Ramping { since: Timestamp, cause: BreakerCause },
}

impl Breaker {
    /// A breaker that is closed.
    pub fn new(limits: BreakerLimits) -> Self {
        Breaker {
            limits,
            window: Window::default(),
            state: State::Closed,
            failed_probes: 0,
            passed_over: VecDeque::new(),
            opened: Stops::default(),
            answered_at: None,
        }
    }

    /// Whether nothing may be sent but a probe.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether it is open and a probe may go out.
    pub fn is_probe_due(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Open { next_probe_at, probe: None, .. } if next_probe_at <= now)
    }

    /// When the next probe may go out; none if it is not open, or if one is under way.
    pub fn next_probe_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { next_probe_at, probe: None, .. } => Some(next_probe_at),
            _ => None,
        }
    }

    /// Whether the probe should be of another practice, if there is one: those whose probes failed may themselves be what
    /// fails.
    pub fn passes_over(&self, practice: &PracticeId) -> bool {
        self.passed_over.contains(practice)
    }

    /// How it is; none while it is closed.
    pub fn view(&self, now: Timestamp) -> Option<BreakerView> {
        match self.state {
            State::Open { since, cause, .. } => Some(BreakerView { state: BreakerState::Open, since, cause }),
            State::Ramping { since, cause } if self.part(now) < 1.0 => {
                Some(BreakerView { state: BreakerState::Ramping, since, cause })
            }
            State::Closed | State::Ramping { .. } => None,
        }
    }

    /// What part of the calls and places may be used: 1 while it is closed.
    pub fn part(&self, now: Timestamp) -> f64 {
        let State::Ramping { since, .. } = self.state else { return 1.0 };
        let part = now.since_ms(since).max(0) as f64 / self.limits.ramp_ms.max(1) as f64;
        (RAMP_FROM + (1.0 - RAMP_FROM) * part).min(1.0)
    }

    /// Whether it is known that HealthFlow has worked since `then` and still does. Without a breaker nobody knows better.
    pub fn has_worked_since(&self, then: Timestamp) -> bool {
        self.limits.calls_min == 0 || (!self.is_open() && self.answered_at.is_some_and(|at| at >= then))
    }

    /// How long it takes until everything goes out again, at least, in milliseconds.
    pub fn ramp_left_ms(&self, now: Timestamp) -> i64 {
        match self.state {
            State::Closed => 0,
            State::Open { .. } => self.limits.ramp_ms,
            State::Ramping { since, .. } => (self.limits.ramp_ms - now.since_ms(since)).max(0),
        }
    }

    /// When it was open, until `now` where it still is.
    pub fn open_until(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        self.opened.until(now)
    }

    /// A call goes out; if it is open, that is the probe.
    pub fn is_sent(&mut self, call: u64) {
        if let State::Open { probe, .. } = &mut self.state {
            probe.get_or_insert(call);
        }
    }

    /// A call for `practice` ended, `elapsed_ms` after it went out.
    pub fn ended(
        &mut self,
        call: u64,
        practice: &PracticeId,
        end: CallEnd,
        elapsed_ms: i64,
        now: Timestamp,
    ) -> Option<Change> {
        if self.limits.calls_min == 0 {
            return None;
        }
        let is_slow = elapsed_ms >= self.limits.slow_ms;
        if end == CallEnd::Answered && !is_slow {
            self.answered_at = Some(now);
        }
        if let State::Open { next_probe_at, probe, since, cause } = &mut self.state {
            if *probe != Some(call) {
                // It was under way when the breaker opened: an answer is a reason to ask now.
                if end == CallEnd::Answered && !is_slow {
                    *next_probe_at = now.min(*next_probe_at);
                }
                return None;
            }
            *probe = None;
            match end {
                CallEnd::Unsent => None,
                CallEnd::Answered if !is_slow => {
                    let (since, cause) = (*since, *cause);
                    Some(self.close(since, cause, now))
                }
                CallEnd::Answered | CallEnd::Failed(_) => {
                    self.failed_probes = self.failed_probes.saturating_add(1);
                    *next_probe_at = now.plus_ms(wait_ms(&self.limits, self.failed_probes));
                    self.pass_over(practice);
                    Some(Change::ProbeFailed)
                }
            }
        } else {
            self.judge(practice, end, is_slow, now)
        }
    }

    /// Takes in how a call ended while calls go out, and opens if too many ended badly.
    fn judge(
        &mut self,
        practice: &PracticeId,
        end: CallEnd,
        is_slow: bool,
        now: Timestamp,
    ) -> Option<Change> {
        if matches!(self.state, State::Ramping { .. }) && self.part(now) >= 1.0 {
            (self.state, self.failed_probes) = (State::Closed, 0);
        }
        let failed = match end {
            CallEnd::Unsent => return None,
            CallEnd::Answered => None,
            CallEnd::Failed(cause) => Some(cause),
        };
        let sample = Sample { at: now, practice: practice.clone(), has_failed: failed.is_some(), is_slow };
        self.window.take_in(sample, self.limits.window_ms);
        if failed.is_none() && !is_slow {
            return None;
        }
        let (min, window) = (self.limits.calls_min, &self.window);
        let bad = window
            .too_many(min, self.limits.failed_share, |one| one.has_failed)
            .map(|bad| (bad, failed.unwrap_or(BreakerCause::Slow)))
            .or_else(|| {
                Some((window.too_many(min, self.limits.slow_share, |one| one.is_slow)?, BreakerCause::Slow))
            });
        let (bad, cause) = bad?;
        let calls = self.window.len();
        self.window.clear();
        let next_probe_at = now.plus_ms(wait_ms(&self.limits, self.failed_probes));
        self.state = State::Open { since: now, cause, next_probe_at, probe: None };
        self.opened.begin(now);
        Some(Change::Opened { cause, calls, bad })
    }

    fn close(&mut self, since: Timestamp, cause: BreakerCause, now: Timestamp) -> Change {
        self.state = State::Ramping { since: now, cause };
        // If it opens again before it is fully closed, the probes go on where they were.
        self.failed_probes = self.failed_probes.max(1);
        self.passed_over.clear();
        self.opened.end(now);
        Change::Closed { open_ms: now.since_ms(since).max(0).unsigned_abs() }
    }

    fn pass_over(&mut self, practice: &PracticeId) {
        if !self.passed_over.contains(practice) {
            self.passed_over.push_back(practice.clone());
        }
        if self.passed_over.len() > PASSED_OVER_MAX {
            self.passed_over.pop_front();
        }
    }
}

/// From one probe to the next: twice as long each time, up to the longest.
fn wait_ms(limits: &BreakerLimits, failed_probes: u32) -> i64 {
    let longest_ms = limits.probe_max_ms.max(limits.probe_min_ms);
    limits.probe_min_ms.saturating_mul(1_i64 << failed_probes.min(30)).min(longest_ms)
}

impl Hash for Breaker {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Breaker { limits: _, window, state, failed_probes, passed_over, opened, answered_at } = self;
        (window, state, failed_probes, passed_over, opened, answered_at).hash(hasher);
    }
}

#[cfg(test)]
mod tests;
