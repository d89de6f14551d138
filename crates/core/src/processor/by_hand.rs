//! What an operator set by hand, as it reaches the work: who may not be served any more is held back, who may again is let go.

use std::sync::Arc;

use crate::fact::Fact;
use crate::limits::Controls;
use crate::processor::Processor;
use crate::processor::ownership::OwnedTask;
use crate::processor::rules;
use crate::time::Timestamp;

impl Processor {
    /// Obeys `controls` from now on.
    pub(super) fn controls_read(&mut self, controls: Controls, now: Timestamp) {
        let changed = controls.changed_since(self.shared.by_hand.controls()).cloned();
        self.facts.extend(changed.map(|control| Fact::ControlChanged { control: Arc::new(control) }));
        self.account.limit_by_hand(controls.per_second(None), now);
        let mut obeyed = self.shared.by_hand.obey(controls, now);
        if !rules::pause_stops_ready(&self.shared.settings) {
            obeyed.stopped.clear();
        }
        for slot in self.tasks.values_mut() {
            let OwnedTask::Live(task) = slot else { continue };
            if obeyed.stops_all {
                task.stand_down(None, now);
            }
            for practice in &obeyed.stopped {
                task.stand_down(Some(practice), now);
            }
            let turn = self.shared.turn(&mut self.facts, now);
            for practice in &obeyed.let_go {
                task.take_back_held(practice, &turn);
            }
        }
    }

    /// When somebody may ask who waits for what an operator set by hand; none if nobody does.
    pub(super) fn next_by_hand(&mut self, now: Timestamp) -> Option<Timestamp> {
        let turn = self.shared.turn(&mut self.facts, now);
        let mut earliest: Option<Timestamp> = None;
        for slot in self.tasks.values() {
            let OwnedTask::Live(task) = slot else { continue };
            let permits = turn.by_hand.limited().filter(|practice| task.is_about_to_ask(practice));
            let permits = permits.filter_map(|practice| turn.by_hand.next_at(practice, now));
            let next = permits.filter(|at| *at > now).chain(task.can_let_go(&turn).then_some(now)).min();
            earliest = [earliest, next].into_iter().flatten().min();
        }
        earliest
    }

    /// Parks who is held by hand, where their lane could not be read on otherwise.
    pub(super) fn make_room(&mut self, now: Timestamp) {
        for slot in self.tasks.values_mut() {
            let OwnedTask::Live(task) = slot else { continue };
            task.make_room(&mut self.shared.turn(&mut self.facts, now));
        }
    }
}
