//! HealthFlow's limits: requests a second, a day's quota, and any list of further ones. All are looked at before any counts.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::faults::{Faults, Strikes};
use super::tell::Told;
use healthflow_core::time::{DAY_MS, Timestamp};

/// A limit in the list `limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Its name in the headers.
    pub name: String,
    /// How many requests.
    pub calls: u64,
    /// In how many seconds.
    pub window_seconds: u64,
    /// Whether its windows begin at multiples of their length since 1970 (UTC); else any window counts.
    #[serde(default)]
    pub fixed: bool,
    /// Whether each practice has it for itself.
    #[serde(default)]
    pub per_practice: bool,
    /// Which requests count.
    #[serde(default)]
    pub counts: Strikes,
}

/// Which limits a request counts in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted<'a> {
    /// Its practice, if it names one.
    pub practice: Option<&'a str>,
    pub is_write: bool,
    pub is_appointment_create: bool,
}

/// What was used of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Throttle {
    tokens: f64,
    filled_at: Option<Timestamp>,
    day: i64,
    in_day: u64,
    /// When requests came, by limit and practice.
    used: BTreeMap<(String, String), VecDeque<i64>>,
}

impl Limit {
    /// Whose it is, if the request counts in it.
    fn whose(&self, of: Counted<'_>) -> Option<(String, String)> {
        let counts = match self.counts {
            Strikes::All => true,
            Strikes::Writes => of.is_write,
            Strikes::AppointmentCreates => of.is_appointment_create,
            Strikes::Reads => !of.is_write,
        };
        let practice = if self.per_practice { of.practice? } else { "" };
        counts.then(|| (self.name.clone(), practice.to_owned()))
    }

    fn window_ms(&self) -> i64 {
        self.window_seconds.max(1).cast_signed().saturating_mul(1_000)
    }

    /// The uses that still count at `now`.
    fn within(&self, used: Option<&VecDeque<i64>>, now: Timestamp) -> Vec<i64> {
        let window_ms = self.window_ms();
        let begin = if self.fixed {
            now.0.div_euclid(window_ms) * window_ms
        } else {
            now.0.saturating_sub(window_ms).saturating_add(1)
        };
        used.into_iter().flatten().copied().filter(|at| *at >= begin).collect()
    }

    /// In how many milliseconds there is more, once these were used.
    fn reset_ms(&self, within: &[i64], now: Timestamp) -> i64 {
        let window_ms = self.window_ms();
        let at = if self.fixed {
            (now.0.div_euclid(window_ms) + 1) * window_ms
        } else {
            within.first().map_or(now.0, |first| first + window_ms)
        };
        (at - now.0).max(0)
    }
}

impl Throttle {
    /// Takes one of each limit; if one of them has none, returns after how many seconds it will.
    pub(super) fn take(&mut self, faults: &Faults, of: Counted<'_>, now: Timestamp) -> Result<(), u64> {
        for limit in &faults.limits {
            let Some(whose) = limit.whose(of) else { continue };
            let within = limit.within(self.used.get(&whose), now);
            if within.len() as u64 >= limit.calls {
                return Err(seconds(limit.reset_ms(&within, now)).max(1));
            }
        }
        self.take_from_day(faults.requests_per_day, now)?;
        self.take_token(faults, now)?;
        for limit in &faults.limits {
            let Some(whose) = limit.whose(of) else { continue };
            let used = self.used.entry(whose).or_default();
            used.push_back(now.0);
            let oldest = now.0.saturating_sub(limit.window_ms());
            while used.front().is_some_and(|at| *at < oldest) {
                used.pop_front();
            }
        }
        Ok(())
    }

    fn take_token(&mut self, faults: &Faults, now: Timestamp) -> Result<(), u64> {
        let rate = faults.requests_per_second;
        if rate <= 0.0 {
            return Ok(());
        }
        let most = if faults.burst == 0 { rate.max(1.0) } else { f64::from(faults.burst) };
        let grown = self.filled_at.map_or(most, |at| now.since_ms(at).max(0) as f64 * rate / 1_000.0);
        self.tokens = (self.tokens + grown).min(most);
        self.filled_at = Some(now);
        if self.tokens < 1.0 {
            return Err(((1.0 - self.tokens) / rate).ceil().max(1.0) as u64);
        }
        self.tokens -= 1.0;
        Ok(())
    }

    fn take_from_day(&mut self, quota: u64, now: Timestamp) -> Result<(), u64> {
        let day = now.0.div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.in_day) = (day, 0);
        }
        if quota > 0 && self.in_day >= quota {
            return Err(seconds(day_left_ms(now)));
        }
        self.in_day += 1;
        Ok(())
    }

    /// What is left of every limit that such a request counts in.
    pub(super) fn told(&self, faults: &Faults, of: Counted<'_>, now: Timestamp) -> Vec<Told> {
        let mut told = Vec::new();
        let rate = faults.requests_per_second;
        if rate > 0.0 {
            told.push(Told {
                name: "default".into(),
                calls: rate.ceil() as u64,
                window_s: 1,
                remaining: self.tokens.max(0.0) as u64,
                reset_ms: 1_000,
            });
        }
        if faults.requests_per_day > 0 {
            told.push(Told {
                name: "day".into(),
                calls: faults.requests_per_day,
                window_s: 86_400,
                remaining: faults.requests_per_day.saturating_sub(self.in_day),
                reset_ms: day_left_ms(now),
            });
        }
        for limit in &faults.limits {
            let Some(whose) = limit.whose(of) else { continue };
            let within = limit.within(self.used.get(&whose), now);
            told.push(Told {
                name: limit.name.clone(),
                calls: limit.calls,
                window_s: limit.window_seconds,
                remaining: limit.calls.saturating_sub(within.len() as u64),
                reset_ms: limit.reset_ms(&within, now),
            });
        }
        told
    }
}

fn day_left_ms(now: Timestamp) -> i64 {
    DAY_MS - now.0.rem_euclid(DAY_MS)
}

fn seconds(ms: i64) -> u64 {
    ms.unsigned_abs().div_ceil(1_000)
}
