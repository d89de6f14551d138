//! What an operator set by hand, as it reaches the work: who may not be served any more is held, who may again is let go.

use std::sync::Arc;

use crate::fact::Fact;
use crate::limits::Controls;
use crate::processor::Processor;
use crate::time::Timestamp;

impl Processor {
    /// Obeys `controls` from now on.
    pub(super) fn controls_read(&mut self, controls: Controls, now: Timestamp) {
        let changed = controls.changed_since(&self.controls).cloned();
        self.facts.extend(changed.map(|control| Fact::ControlChanged { control: Arc::new(control) }));
        self.account.limit_by_hand(controls.per_second(None), now);
        self.controls = controls;
    }
}
