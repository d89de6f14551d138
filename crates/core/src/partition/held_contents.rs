//! Held versions whose content only the topic has (rule K4): past `review.contents_max` a task keeps of each what it must know
//! while it waits, and reads the booking once it goes on. Without that bound a practice that leaves its reviews undecided would fill
//! the memory of the worker that serves the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::booking::{Booking, VersionKey};
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::state::Hold;

impl Task {
    /// Whose content is to be read from `appointments.review`, if that is not under way already.
    pub fn take_wanted_contents(&mut self) -> Vec<VersionKey> {
        self.held.take_wanted()
    }

    /// Contents were read. What waited for one goes on: what was let go, decisions, and looks. What is not in the topic any more
    /// is lost.
    pub fn contents_read(&mut self, found: Vec<Arc<Booking>>, turn: &mut Turn<'_>) {
        let mut found: BTreeMap<VersionKey, Arc<Booking>> =
            found.into_iter().map(|booking| (booking.version_key(), booking)).collect();
        let sought = self.held.take_read();
        for of in &sought {
            match found.remove(of) {
                Some(booking) => self.held.fill(booking),
                // It may not lie in the topic yet.
                None if self.held.has_content(of) => {}
                None => self.lose_held(of),
            }
        }
        for (decision, position) in self.held.take_undecided() {
            self.decided(decision, position, turn);
        }
        let order = |of: &VersionKey| self.held.get(of).map(|held| held.order);
        let mut in_order: Vec<_> = sought.iter().map(|of| (order(of), of)).collect();
        in_order.sort_unstable();
        for (_, of) in in_order {
            let is_look = self.held.takes_look(of);
            let state = self.ledger.bookings().get_hot(&of.booking);
            match state.and_then(|state| state.hold(of.version)) {
                Some(hold @ (Hold::Released | Hold::Rejected)) => self.let_go(of.clone(), hold, turn),
                Some(Hold::Question) if is_look => self.look_at_review(of, turn),
                Some(Hold::Question | Hold::Behind) | None => {}
            }
            self.held.empty(of, turn.settings.review_contents_max);
        }
    }

    /// The record of a held version is gone: nobody can ever decide about it.
    pub(super) fn lose_held(&mut self, of: &VersionKey) {
        let VersionKey { booking: key, version } = of;
        self.held.take(of);
        if self.ledger.bookings().get_hot(key).is_some_and(|state| state.hold(*version).is_some()) {
            self.ledger.change_booking(key).lost.push(*version);
            self.lost.owe(key.clone());
        }
    }
}
