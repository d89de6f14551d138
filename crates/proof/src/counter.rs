//! The shared counter as a value: line by line what `src/shared_counter/permits.lua` does in Redis, with a clock that is handed in.
//! A test of the product compares the two. So what the simulation lives through is what Redis runs.

use std::collections::BTreeMap;

use healthflow_core::limits::shared_counter::{Answer, PermitAsk};

/// What Redis remembers; empty after it lost everything.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    numbers: BTreeMap<String, f64>,
    heard: BTreeMap<i32, i64>,
}

/// How a counter is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One that forgot everything gives permits at once.
    BeginsWithBurst,
    /// The part of whoever may be on its own is given to others.
    SilentShareKept,
}

impl Counter {
    /// Answers one ask.
    pub fn ask(&mut self, ask: &PermitAsk, now_us: i64, fault: Option<Fault>) -> Answer {
        let mut now = now_us as f64;
        let (ahead, silent) = (ask.ahead_us as f64, ask.silent_us as f64);
        let last = self.get("last");
        now = last.filter(|last| now < *last && last - now < 1_000_000.0).unwrap_or(now);
        let now_us = now as i64;
        let is_new = last.is_none_or(|last| now < last || now - last > silent);
        let is_new = is_new && fault != Some(Fault::BeginsWithBurst);
        self.set("last", now);
        let part = self.part(ask, now_us, fault);
        let asked = if ask.hold_us > 0 { now + ask.hold_us as f64 } else { 0.0 };
        let held = self.get("held").unwrap_or(0.0).max(asked).min(now + 3_600_000_000.0);
        self.set("held", held);
        let first = now.max(held);
        let back = &ask.back;
        let is_back = back.newest > 0 && self.get("given") == Some(back.newest_us as f64);
        let mut rates = Vec::new();
        for rate in &ask.rates {
            if rate.paced_us > 0.0 {
                self.set(&format!("paced:{}", rate.name), rate.paced_us);
                self.set(&format!("paced_until:{}", rate.name), now + 1_000_000.0);
            }
            let is_paced = self.get(&format!("paced_until:{}", rate.name)).unwrap_or(0.0) > now;
            let paced = self.get(&format!("paced:{}", rate.name)).filter(|_| is_paced).unwrap_or(0.0);
            let (step, burst) = (rate.interval_us.max(paced) / part, f64::from(rate.burst));
            let known = self.get(&format!("free:{}", rate.name));
            let free = match known.filter(|_| !is_new) {
                Some(free) if is_back => free - f64::from(back.newest) * step,
                Some(free) => free,
                None if fault == Some(Fault::BeginsWithBurst) => 0.0,
                None => now + ahead + burst * step,
            };
            rates.push((step, burst, free.min(now + ahead + (burst + 1.0) * step)));
        }
        let mut windows = self.windows(ask, (now_us, part), (is_new, fault));
        let (mut slots_us, mut again_us) = (Vec::new(), 0.0);
        while slots_us.len() < ask.want {
            let slot = rates.iter().fold(first, |slot, (step, burst, free)| slot.max(free - burst * step));
            let mut wait = slot - now - ahead;
            for (used, most, ends) in &windows {
                if used >= most || slot >= *ends {
                    wait = wait.max(ends - now);
                }
            }
            if wait > 0.0 {
                again_us = wait;
                break;
            }
            for (step, _, free) in &mut rates {
                *free = free.max(slot) + *step;
            }
            windows.iter_mut().for_each(|(used, ..)| *used += 1.0);
            slots_us.push(slot as i64);
        }
        for (told, (_, _, free)) in ask.rates.iter().zip(&rates) {
            self.set(&format!("free:{}", told.name), *free);
        }
        for (told, (used, ..)) in ask.windows.iter().zip(&windows) {
            self.set(&format!("used:{}", told.name), *used);
        }
        if !slots_us.is_empty() {
            self.set("given", now);
        }
        let ends_us = windows.iter().map(|(_, _, ends)| *ends as i64).min();
        Answer { now_us, again_us: again_us.ceil() as i64, ends_us, slots_us }
    }

    /// How much of everything is left for those that ask.
    fn part(&mut self, ask: &PermitAsk, now_us: i64, fault: Option<Fault>) -> f64 {
        let answered_us = if ask.answered_us <= now_us { ask.answered_us } else { 0 };
        self.heard.extend(ask.partitions.iter().map(|partition| (*partition, answered_us)));
        let within = now_us - ask.silent_us..=now_us;
        let heard = self.heard.values().filter(|at| within.contains(at)).count();
        if fault == Some(Fault::SilentShareKept) {
            return 1.0;
        }
        1.0 - ask.fallback_share * (1.0 - (heard as f64 / f64::from(ask.all)).min(1.0))
    }

    /// Of each fixed window: how many calls it has seen, how many it may see, and when it ends.
    fn windows(
        &mut self,
        ask: &PermitAsk,
        (now_us, part): (i64, f64),
        (is_new, fault): (bool, Option<Fault>),
    ) -> Vec<(f64, f64, f64)> {
        let mut windows = Vec::new();
        for told in &ask.windows {
            let begin_us = now_us - now_us.rem_euclid(told.length_us);
            let known = self.get(&format!("begin:{}", told.name));
            let calls = f64::from(told.calls);
            let (mut part, mut used) = (part, 0.0);
            if is_new || (known.is_none() && fault != Some(Fault::BeginsWithBurst)) {
                used = calls;
            } else if known == Some(begin_us as f64) {
                used = self.get(&format!("used:{}", told.name)).unwrap_or(calls);
                if ask.back.all > 0 && ask.back.oldest_us >= begin_us {
                    used = (used - f64::from(ask.back.all)).max(0.0);
                }
                part = part.min(self.get(&format!("part:{}", told.name)).unwrap_or(part));
            }
            self.set(&format!("begin:{}", told.name), begin_us as f64);
            self.set(&format!("part:{}", told.name), part);
            windows.push((used, (calls * part).floor(), (begin_us + told.length_us) as f64));
        }
        windows
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).copied()
    }

    fn set(&mut self, name: &str, number: f64) {
        self.numbers.insert(name.to_owned(), number);
    }
}
