//! Operators pause practices or everything, limit practices, and change their minds. What they set is a record that every
//! worker reads a moment later, each at its own time, and at its start before anything else.

use std::collections::BTreeMap;

use healthflow_core::booking::PracticeId;
use healthflow_core::limits::Controls;
use healthflow_core::limits::controls::{Change, Signed};
use healthflow_core::limits::stops::{Stops, stopped_ms};
use healthflow_core::processor::Input;
use healthflow_core::settings::Settings;
use healthflow_core::time::Timestamp;

use crate::coverage::Phase;
use crate::faults::FaultKind;
use crate::plan::{Plan, Theme};
use crate::worker::{Deed, Running};
use crate::world::World;
use healthflow_proof::random::Random;

/// How late a worker may read what was set: what `src/kafka/controls.rs` promises.
pub const READ_WITHIN_MS: i64 = 2_000;

/// What is set, and when whom it stopped.
#[derive(Default)]
pub struct Operators {
    pub controls: Controls,
    stops: BTreeMap<Option<PracticeId>, Stops>,
    /// When a worker woke up last: what it did not read while it slept it could not leave out.
    pub slept_until: i64,
}

/// The chance of operators' own: other lives stay as they are.
fn chance(seed: u64) -> Random {
    Random::new(seed.wrapping_mul(53) + 19)
}

/// Whether operators do something in this life, if it has several workers.
fn operate(random: &mut Random) -> bool {
    random.chance(0.25)
}

/// How often operators do something, as the mean pause between two deeds; 0: never.
pub fn every_ms(plan: &Plan) -> i64 {
    let mut random = chance(plan.seed);
    if plan.workers > 1 && operate(&mut random) { *random.pick(&[4_000, 20_000]) } else { 0 }
}

/// Where operators pause practices, versions are often given up early: time in a pause must not count for that.
pub fn draw(seed: u64, theme: Theme, settings: &mut Settings) {
    let mut random = chance(seed);
    if operate(&mut random) && random.chance(0.7) && theme != Theme::Days {
        settings.retry_max_age_ms = 8_000;
        settings.retry_backoff_max_ms = settings.retry_backoff_min_ms;
    }
}

impl Operators {
    /// For how long of the time since `then` this practice was paused at least, as any worker must have read it: that a pause began it
    /// may read late, and a sleeping worker later. Left out is a pause while a version waited anyway, `in_waits`.
    pub fn paused_ms(
        &self,
        practice: &PracticeId,
        in_waits: &[(Timestamp, Timestamp)],
        then: i64,
        now: i64,
    ) -> i64 {
        if self.slept_until >= then {
            return 0;
        }
        let of = |whom: Option<PracticeId>| self.stops.get(&whom).map(|stops| stops.until(Timestamp(now)));
        let stops = of(None).into_iter().flatten().chain(of(Some(practice.clone())).into_iter().flatten());
        let read = stops.map(|(from, to)| (from.plus_ms(READ_WITHIN_MS).min(to), to));
        let waits = || in_waits.iter().map(|(from, to)| (*from, (*to).min(Timestamp(now))));
        stopped_ms(read.chain(waits()), Timestamp(then)) - stopped_ms(waits(), Timestamp(then))
    }
}

impl World {
    /// An operator does something.
    pub fn somebody_operates(&mut self) {
        let number = self.random.below(5);
        let practice = (number < 4).then(|| PracticeId::from(format!("pr-{number}")));
        let controls = &self.operators.controls;
        let is_paused =
            practice.as_ref().map_or(controls.is_account_paused(), |one| controls.is_practice_paused(one));
        let change = match practice {
            Some(_) if self.random.chance(0.4) => match self.random.below(3) {
                0 => Change::ClearLimit,
                _ => {
                    Change::SetLimit { per_second: Some(*self.random.pick(&[0.5, 2.0, 10.0])), weight: None }
                }
            },
            _ if is_paused => Change::Resume,
            _ => Change::Pause,
        };
        self.is_set(practice, change);
    }

    /// Whatever was set is taken back.
    pub fn operators_leave(&mut self) {
        let in_force: Vec<_> = self.operators.controls.in_force().map(|control| control.id.clone()).collect();
        for id in in_force {
            for change in [Change::Resume, Change::ClearLimit] {
                self.is_set(id.practice.clone(), change);
            }
        }
    }

    fn is_set(&mut self, practice: Option<PracticeId>, change: Change) {
        let signed = Signed { by: "ops".into(), why: "a whim".into(), at: Timestamp(self.now) };
        let Some(control) = self.operators.controls.next(practice.clone(), change, signed) else { return };
        self.coverage.strikes(FaultKind::ByHand);
        self.coverage.meets(FaultKind::ByHand, Phase::Any);
        self.story.tell(self.now, || format!("somebody sets {control:?}"));
        self.operators.controls.take(control);
        let stops = self.operators.stops.entry(practice).or_default();
        match change {
            Change::Pause => stops.begin(Timestamp(self.now)),
            Change::Resume => stops.end(Timestamp(self.now)),
            Change::SetLimit { .. } | Change::ClearLimit => {}
        }
        for worker in 0..self.workers.len() {
            if self.workers[worker].running != Running::Down {
                let read_at = self.now + self.random.between(20, READ_WITHIN_MS - 500);
                let at = read_at.max(self.workers[worker].hears_operators_at + 1);
                self.workers[worker].hears_operators_at = at;
                let controls = self.operators.controls.clone();
                self.worker_does(worker, at - self.now, Deed::Learn(Input::ControlsRead { controls }));
            }
        }
    }
}
