//! The worker and the shared counter: what it asks for, and which limits hold while the counter does not answer.

use crate::fact::Fact;
use crate::limits::Policy;
use crate::limits::book::Counted;
use crate::limits::shared_counter::{
    AHEAD_MS, Answer, Change, CounterTrouble, PermitAsk, RateTold, SILENT_MS, SharedCounter, USE_WITHIN_MS,
    WindowTold,
};
use crate::limits::window::{Length, Window};
use crate::partition::Shared;
use crate::processor::Processor;
use crate::processor::effect::Effect;
use crate::processor::ownership::OwnedTask;
use crate::processor::rules;
use crate::status::CounterStatus;
use crate::time::Timestamp;

/// The name of `healthflow.requests_per_second` among the rates.
const REQUESTS_PER_SECOND: &str = "requests_per_second";

impl Processor {
    /// The counter, while it answers.
    pub(super) fn counter_at_hand(&self) -> Option<&SharedCounter> {
        self.counter.as_ref().filter(|counter| counter.away().is_none())
    }

    /// How this worker stands with the counter.
    pub(super) fn counter_status(&self) -> Option<CounterStatus> {
        let away = self.counter.as_ref()?.away();
        let (since, why) = (away.map(|(since, _)| since), away.map(|(_, why)| why.code().into()));
        Some(CounterStatus { away: away.is_some(), since, why })
    }

    /// Time has passed for the counter: permits are over, or the worker has to go on alone.
    pub(super) fn look_at_counter(&mut self, now: Timestamp) {
        let is_asking = self.counter.as_ref().is_some_and(SharedCounter::is_asking);
        if is_asking && !rules::asks_again(&self.shared.settings) {
            return;
        }
        let change = self.counter.as_mut().and_then(|counter| counter.look(now));
        self.counter_changes(change, now);
    }

    /// The counter answered, or cannot be asked.
    pub(super) fn permits_answered(
        &mut self,
        number: u64,
        answer: Result<Answer, CounterTrouble>,
        now: Timestamp,
    ) {
        let change = self.counter.as_mut().and_then(|counter| counter.answered(number, answer, now));
        self.counter_changes(change, now);
    }

    fn counter_changes(&mut self, change: Option<Change>, now: Timestamp) {
        let Some((change, limits)) = change.zip(self.shared.settings.shared_counter) else { return };
        match change {
            Change::Away(_) => {
                let part = rules::part_alone(&self.shared.settings, limits.fallback_share);
                self.account.begin_share(part, now);
                let part_permille = (part * 1_000.0) as u32;
                self.shared.limits.count(Counted::Here { part_permille }, now);
            }
            Change::Back { .. } => self.shared.limits.count(Counted::Shared, now),
        }
        self.facts.push_back(Fact::CounterChanged(change));
    }

    /// When the counter is to be looked at or asked next; none where there is none.
    pub(super) fn next_look_at_counter(&self, now: Timestamp) -> Option<Timestamp> {
        self.counter.as_ref().map(|counter| counter.next_look(now))
    }

    /// Asks for permits if more are needed than there are, and says now and then that this worker is there.
    pub(super) fn ask_permits(&mut self, now: Timestamp) {
        let needed = self.permits_needed(now);
        let Some(counter) = &mut self.counter else { return };
        let Some(ask) = counter.ask(needed, now) else { return };
        let live = |slot: &OwnedTask| matches!(slot, OwnedTask::Live(_));
        let partitions = self.tasks.iter().filter(|(_, slot)| live(slot)).map(|(partition, _)| *partition);
        let rate = RateTold {
            name: REQUESTS_PER_SECOND.to_owned(),
            interval_us: interval_us(self.account.whole_rate()),
            burst: 0,
            paced_us: self.account.told_pace().map_or(0.0, interval_us),
        };
        let (mut rates, mut windows) = (vec![rate], Vec::new());
        for policy in self.shared.limits.shareable() {
            tell(policy, &mut rates, &mut windows);
        }
        let ask = PermitAsk {
            partitions: partitions.collect(),
            all: self.shared.settings.partition_count,
            fallback_share: self.shared.settings.shared_counter.map_or(1.0, |limits| limits.fallback_share),
            ahead_us: AHEAD_MS * 1_000,
            silent_us: SILENT_MS * 1_000,
            hold_us: self.account.paused_until(now).map_or(0, |until| until.since_ms(now) * 1_000),
            rates,
            windows,
            ..ask
        };
        self.effects.push_back(Effect::AskPermits { ask: Box::new(ask) });
    }

    /// How many calls may want to go out soon: those of jobs that have a place, as far as there is room beside the calls under way.
    fn permits_needed(&mut self, now: Timestamp) -> usize {
        if self.counter.is_none() || self.account.free_at(now) > now || self.shared.by_hand.stops_all() {
            return 0;
        }
        let most = self.in_flight_max(now);
        self.live_places().iter().sum::<usize>().min(most.saturating_sub(self.calls.len()))
    }
}

impl Shared {
    /// The counter of a worker that has just begun.
    pub(super) fn new_counter(&mut self, now: Timestamp) -> Option<SharedCounter> {
        let limits = self.settings.shared_counter?;
        self.limits.count(Counted::Shared, now);
        let use_within_ms = rules::permits_last_ms(&self.settings, USE_WITHIN_MS);
        Some(SharedCounter::new(limits.permits_max, use_within_ms, now))
    }
}

fn interval_us(per_second: f64) -> f64 {
    1_000_000.0 / per_second.max(0.000_1)
}

/// What the counter has to know of a policy.
fn tell(policy: &Policy, rates: &mut Vec<RateTold>, windows: &mut Vec<WindowTold>) {
    let name = format!("limit:{}", policy.name);
    match &policy.window {
        Window::Rolling { ms } => {
            // Permits are used up to so long after their moment: a window that is that much shorter sees no more.
            let window_us = (ms + USE_WITHIN_MS) as f64 * 1_000.0;
            let interval_us = window_us / f64::from(policy.calls);
            rates.push(RateTold { name, interval_us, burst: policy.burst, paced_us: 0.0 });
        }
        Window::Fixed(window) => {
            if let Length::Part(ms) = window.length {
                windows.push(WindowTold { name, calls: policy.calls, length_us: ms * 1_000 });
            }
        }
    }
}
