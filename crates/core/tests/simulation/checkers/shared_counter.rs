//! Promise 6 where workers share a counter: over all of them no stretch of time sees more calls than the rate, whatever becomes of the
//! counter; no call goes out under a permit that is over; and once the counter is well all come back to it.

use std::collections::BTreeMap;

use healthflow_core::limits::shared_counter::{AHEAD_MS, Answer, PermitAsk};

use crate::plan::Plan;
use crate::worker::{Outbound, Running};
use crate::world::World;

/// Stretches that are looked at: what is a little too much each second shows in the longer ones (milliseconds).
const STRETCHES_MS: [i64; 3] = [1_000, 3_000, 10_000];
/// A permit may be used up to so long after its moment (milliseconds).
const USED_WITHIN_MS: i64 = 100;
/// How soon a worker is back (milliseconds).
const BACK_WITHIN_MS: i64 = 2_000;

/// The calls that one process lets go without the counter.
#[derive(Debug, Default)]
pub struct Alone {
    /// When the first of them went out, how many did since, and how many partitions it had at most; none while it has the counter.
    stretch: Option<(i64, usize, usize)>,
}

impl Alone {
    /// A call goes out under a permit of the counter.
    pub fn has_counter(&mut self) {
        self.stretch = None;
    }

    /// A call goes out without one, of a worker that owns so many partitions: no more than the fallback share of their part of
    /// the rate goes out, for the counter gives all the rest away.
    pub fn calls(&mut self, owned: usize, plan: &Plan, now: i64) -> Option<String> {
        let limits = plan.settings.shared_counter?;
        let (since, calls, owned_max) = self.stretch.get_or_insert((now, 0, owned));
        (*calls, *owned_max) = (*calls + 1, owned.max(*owned_max));
        let part = *owned_max as f64 / f64::from(plan.settings.partition_count.max(1));
        let rate = plan.settings.requests_per_second * part * limits.fallback_share;
        // What its bucket holds at most, and one call at the end.
        let most = rate * (now - *since) as f64 / 1_000.0 + (rate / 10.0).max(1.0) + 1.0;
        (*calls as f64 > most)
            .then(|| format!("lets {calls} calls go alone in {} ms, of {rate}/s", now - *since))
    }
}

/// What the counter gives while it has not heard of every partition.
#[derive(Debug, Default)]
pub struct GivenAway {
    /// When each partition's worker last heard it, by the counter's clock (microseconds).
    heard_us: BTreeMap<i32, i64>,
    /// Since when some are silent, how many permits it gave since, and the largest part that it could give; none while it hears of all.
    stretch: Option<(i64, usize, f64)>,
}

impl GivenAway {
    /// The counter answered: what it may give is all but the fallback share of the silent partitions' part, for whoever owns them
    /// goes on alone.
    pub fn answers(&mut self, ask: &PermitAsk, answer: &Answer, plan: &Plan) -> Option<String> {
        let limits = plan.settings.shared_counter?;
        self.heard_us.extend(ask.partitions.iter().map(|partition| (*partition, ask.answered_us)));
        let is_heard = |at: &&i64| answer.now_us - **at <= ask.silent_us;
        let silent = 1.0 - self.heard_us.values().filter(is_heard).count() as f64 / f64::from(ask.all);
        if silent <= 0.0 {
            self.stretch = None;
            return None;
        }
        let part = 1.0 - limits.fallback_share * silent;
        let (since_us, given, most_part) = self.stretch.get_or_insert((answer.now_us, 0, part));
        *most_part = most_part.max(part);
        // What was not used may be given again.
        *given = (*given + answer.slots_us.len()).saturating_sub(ask.back.all as usize);
        let (rate, ms) =
            (plan.settings.requests_per_second * *most_part, (answer.now_us - *since_us) / 1_000);
        // What its bucket holds at most, and one permit at either end.
        let most = rate * (ms + AHEAD_MS) as f64 / 1_000.0 + (rate / 10.0).max(1.0) + 2.0;
        (*given as f64 > most).then(|| format!("the counter gives {given} permits in {ms} ms, of {rate}/s"))
    }
}

/// The stretch that sees too many of `calls`, which are in order; stretches that `is_exempt` are left out.
pub fn overfull(calls: &[i64], plan: &Plan, is_exempt: impl Fn(i64, i64) -> bool) -> Option<String> {
    plan.settings.shared_counter?;
    let rate = plan.settings.requests_per_second;
    STRETCHES_MS.into_iter().find_map(|ms| {
        // One call more at either end, and one of each worker that goes on alone: its share may be rounded up by that.
        let most = rate * (ms + USED_WITHIN_MS) as f64 / 1_000.0 + 2.0 + plan.workers as f64;
        let (begin, within) =
            healthflow_proof::promises::limits::overfull(calls, (ms, false), most as usize, &is_exempt)?;
        Some(format!("{within} calls in the {ms} ms from {begin}"))
    })
}

/// A call goes out: its permit must not be over.
pub fn late(outbound: &Outbound, plan: &Plan, now: i64) -> Option<String> {
    let limits = plan.settings.shared_counter?;
    let waited_ms = now - outbound.begun_at;
    // Between the last look and the socket the process may sleep for less than the margin.
    let most_ms = limits.permit_life_ms + plan.settings.lease_margin_ms;
    let is_late = outbound.call.permit_until.is_some() && waited_ms > most_ms;
    is_late.then(|| format!("a call goes out {waited_ms} ms after its permit was taken"))
}

/// Everything has come to rest: who is still on his own.
pub fn alone(world: &World) -> Option<String> {
    let is_over = world.now > world.plan.faults_until + BACK_WITHIN_MS;
    let alone = |worker: &&crate::worker::Worker| {
        let away =
            worker.processor.status(worker.clock(world.now)).counter.is_some_and(|counter| counter.away);
        worker.running == Running::Up && away
    };
    let alone = world.workers.iter().filter(|_| is_over).find(alone)?;
    Some(format!("w{} has not come back to the counter", alone.number))
}
