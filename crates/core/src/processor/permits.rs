//! When a call may go out, and what it uses up: its permit from the account's rate or from the shared counter, and its place in every
//! stated limit.

use crate::limits::shared_counter::USE_WITHIN_MS;
use crate::partition::dispatch::ReadyCall;
use crate::processor::{Processor, rules};
use crate::time::Timestamp;

impl Processor {
    /// When the next call may go out, as far as what holds all calls goes.
    pub(super) fn next_permit_at(&mut self, now: Timestamp) -> Timestamp {
        let stated_at = self.shared.limits.next_at(now);
        let Some(counter) = &self.counter else { return self.account.next_at(now).max(stated_at) };
        let account_at = match counter.free_from() {
            Some(free_from) => self.account.next_at(now).max(free_from),
            None => self.account.free_at(now).max(counter.next_at(now)),
        };
        account_at.max(stated_at)
    }

    /// How many permits there will be within `ms`, as far as that can be known.
    pub(super) fn permits_within(&self, ms: i64, now: Timestamp) -> f64 {
        match self.counter_at_hand() {
            // Whatever others leave: it may be all.
            Some(_) if self.account.paused_until(now).is_none() => {
                self.account.whole_rate() * (ms + USE_WITHIN_MS) as f64 / 1_000.0
            }
            Some(_) => 0.0,
            None => self.account.permits_within(ms, now),
        }
    }

    /// A call goes out and counts in every limit. Returns until when it may, if the shared counter gave its permit.
    pub(super) fn take_permit(
        &mut self,
        partition: i32,
        send: &ReadyCall,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let is_away = self.counter_at_hand().is_none();
        match &mut self.counter {
            Some(counter) if !is_away => drop(counter.take(now)),
            _ => drop(self.account.try_take(now)),
        }
        let limits = self.shared.settings.shared_counter.filter(|_| !is_away);
        let asking = send.job.asking(partition, send.request.operation());
        self.shared.limits.take(asking, now);
        self.shared.limits.spend(asking, send.claim, now);
        limits.map(|limits| rules::permit_ends_at(&self.shared.settings, now.plus_ms(limits.permit_life_ms)))
    }
}
