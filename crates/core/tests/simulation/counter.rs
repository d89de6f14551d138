//! The counter that all workers share in some lives: it answers late, answers get lost, a worker or all of them cannot reach it, and it
//! comes back with another clock and without its memory. Drawn by itself, so that lives without it stay as they are.

use healthflow_core::limits::shared_counter::{Answer, CounterTrouble, PermitAsk};
use healthflow_core::limits::window::{Fixed, Length, Window};
use healthflow_core::limits::{Operations, Policy, Scope, SharedCounterLimits};
use healthflow_core::processor::Input;
use healthflow_core::settings::Settings;
use healthflow_proof::counter::{Counter, Fault};

use crate::checkers::shared_counter::GivenAway;
use crate::coverage::Phase;
use crate::defects::Defect;
use crate::faults::FaultKind;
use crate::plan::Plan;
use crate::world::{Event, World};
use healthflow_proof::random::Random;

/// The counter as its world sees it.
#[derive(Debug, Default)]
pub struct SharedCounter {
    counter: Counter,
    /// What it gives while it does not hear of all.
    given_away: GivenAway,
    /// How far its clock is ahead.
    skew_ms: i64,
    /// Until then nobody reaches it.
    away_until: i64,
    /// Until then this worker does not.
    cut_off: Option<(usize, i64)>,
    /// Until then its answers take up to so long.
    slow_until: i64,
    slow_ms: i64,
}

/// An ask on its way, or its answer.
#[derive(Debug)]
pub struct Asked {
    worker: usize,
    life: u64,
    ask: PermitAsk,
}

/// Whether the workers of this life share a counter, and how; then the rate is so low that it matters.
pub fn draw(seed: u64, settings: &mut Settings) {
    let mut random = Random::new(seed.wrapping_mul(113) + 23);
    if !random.chance(0.3) {
        return;
    }
    settings.shared_counter = Some(SharedCounterLimits {
        fallback_share: *random.pick(&[0.3, 0.8]),
        permits_max: *random.pick(&[1, 5, 20]),
        permit_life_ms: 2_000,
    });
    settings.requests_per_second = *random.pick(&[4.0, 10.0, 10.0, 50.0]);
    if random.chance(0.5) {
        let (calls, ms) = *random.pick(&[(6, 2_000), (20, 5_000), (30, 10_000)]);
        settings.limits.push(Policy {
            name: "shared-window".into(),
            scope: Scope::Account,
            operations: Operations::ALL,
            calls,
            window: Window::Fixed(Fixed::aligned(Length::Part(ms))),
            burst: 0,
        });
    }
}

/// How often something happens to the counter, as the mean pause between two such events; 0: never.
pub fn every_ms(plan: &Plan) -> i64 {
    let mut random = Random::new(plan.seed.wrapping_mul(127) + 29);
    if plan.settings.shared_counter.is_none() { 0 } else { *random.pick(&[0, 4_000, 15_000]) }
}

impl World {
    /// A worker asks.
    pub fn counter_is_asked(&mut self, worker: usize, ask: PermitAsk) {
        let life = self.workers[worker].life;
        let ms = self.random.between(0, 2) + self.counter_delay_ms();
        self.after(ms, Event::CounterAsked(Box::new(Asked { worker, life, ask })));
    }

    /// The ask arrives, or does not.
    pub fn counter_answers(&mut self, Asked { worker, life, ask }: Asked) {
        let counter = &self.counter;
        let is_cut_off = counter.cut_off.is_some_and(|(one, until)| one == worker && self.now < until);
        let is_away = self.now < counter.away_until || is_cut_off;
        // A connection that is refused is noticed at once, an unplugged cable is not.
        if is_away && self.random.chance(0.5) {
            return;
        }
        let fault = match self.plan.defect {
            Some(Defect::CounterBeginsWithBurst) => Some(Fault::BeginsWithBurst),
            Some(Defect::SilentShareKept) => Some(Fault::SilentShareKept),
            _ => None,
        };
        let answer: Result<Answer, CounterTrouble> = if is_away {
            Err(CounterTrouble::Unreachable)
        } else {
            let now_us = (self.now + self.counter.skew_ms) * 1_000 + self.random.between(0, 999);
            Ok(self.counter.counter.ask(&ask, now_us, fault))
        };
        if let Ok(answer) = &answer
            && let Some(what) = self.counter.given_away.answers(&ask, answer, &self.plan)
        {
            self.violate("shared counter", what);
        }
        if ask.want > 0 || ask.back.all > 0 {
            let given = answer.as_ref().map(|answer| (answer.slots_us.len(), answer.again_us / 1_000));
            self.story
                .tell(self.now, || format!("w{worker} asks {} back {:?}: {given:?}", ask.want, ask.back));
        }
        if self.workers[worker].life != life || self.strikes(0.01) {
            return;
        }
        let ms = self.random.between(0, 2) + self.counter_delay_ms();
        self.worker_learns(worker, ms, Input::PermitsAnswered { number: ask.number, answer });
    }

    fn counter_delay_ms(&mut self) -> i64 {
        if self.now < self.counter.slow_until { self.random.between(0, self.counter.slow_ms) } else { 0 }
    }

    /// Something happens to the counter.
    pub fn something_befalls_the_counter(&mut self) {
        self.coverage.strikes(FaultKind::Counter);
        self.coverage.meets(FaultKind::Counter, Phase::Any);
        let until = |world: &mut World, most_ms| {
            (world.now + world.random.between(100, most_ms)).min(world.plan.faults_until)
        };
        let what = match self.random.below(4) {
            0 => {
                self.counter.away_until = until(self, 8_000);
                "is away"
            }
            1 => {
                let worker = self.random.below(self.workers.len());
                self.counter.cut_off = Some((worker, until(self, 15_000)));
                "cannot be reached by a worker"
            }
            2 => {
                self.counter.slow_until = until(self, 8_000);
                self.counter.slow_ms = *self.random.pick(&[20, 100, 300]);
                "is slow"
            }
            _ => {
                // Fixed windows of a clock that is off are other windows; of them nothing is asked here.
                let is_fixed = |policy: &Policy| matches!(policy.window, Window::Fixed(_));
                let has_windows = self.plan.settings.limits.iter().any(is_fixed);
                let skew_ms = if has_windows { 0 } else { self.random.between(-5_000, 5_000) };
                let away_until = until(self, 3_000);
                let was_away = self.random.chance(0.5);
                self.counter = SharedCounter {
                    skew_ms,
                    away_until: if was_away { away_until } else { 0 },
                    ..SharedCounter::default()
                };
                "forgets everything"
            }
        };
        self.story.tell(self.now, || format!("the counter {what}"));
    }
}
