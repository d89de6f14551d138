//! A record that waits long at the head of the retry lane keeps its committed offset from moving: a restart would read everything
//! behind it again, and one day Kafka would delete the record itself. So it is written again at the tail.

use crate::event::{Outgoing, RetryEntry};
use crate::fact::Fact;
use crate::partition::job::InHand;
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::{Shared, Turn};
use crate::retry::waiting_room::Waiting;
use crate::settings::Settings;
use crate::state::ParkingPlace;
use crate::time::Timestamp;
use crate::topics::Lane;

/// So many records are written again in one turn at most; the next turn goes on.
const REPARKED_MAX: usize = 500;

impl Task {
    /// Writes the records again that have kept the retry lane from moving for too long, with all that is known of them: that is no
    /// attempt, and no new wait.
    pub(super) fn repark_what_pins(&mut self, turn: &mut Turn<'_>) {
        // While nothing goes on nothing moves in Kafka.
        if self.is_draining() || turn.is_stopped() {
            return;
        }
        for _ in 0..REPARKED_MAX {
            let Some((offset, at)) = self.pinned_until(turn.settings) else { return };
            let waiting = if at <= turn.now { self.waiting_room.take_at(offset) } else { None };
            let Some(waiting) = waiting else { return };
            self.repark_waiting(waiting, turn);
        }
    }

    /// When a record is written again, if nothing happens before.
    pub(super) fn next_reparking(&self, shared: &Shared) -> Option<Timestamp> {
        let is_stopped = self.is_draining() || shared.breaker.is_open() || shared.by_hand.stops_all();
        self.pinned_until(&shared.settings).filter(|_| !is_stopped).map(|(_, at)| at)
    }

    /// Which record keeps the retry lane from moving and waits, and until when it may.
    fn pinned_until(&self, settings: &Settings) -> Option<(i64, Timestamp)> {
        let offset = self.progress.head(Lane::Retry)?;
        Some((offset, self.waiting_room.since(offset)?.plus_ms(settings.retry_repark_after_ms)))
    }

    fn repark_waiting(&mut self, waiting: Waiting, turn: &mut Turn<'_>) {
        // Another copy of it counts by now, or it is answered.
        if !self.is_awaited(&waiting.entry, turn) {
            return self.progress.finished(Lane::Retry.at(waiting.offset));
        }
        let order = self.order_of(&waiting.entry);
        let RetryEntry { booking, mut schedule, .. } = waiting.entry;
        schedule.attempts = rules::attempts_of_reparked(schedule.attempts, turn.settings);
        let (key, position) = (booking.key.clone(), Some(Lane::Retry.at(waiting.offset)));
        let in_hand = InHand { booking, position, schedule, taken_up_at: turn.now, order, is_late: false };
        let generation = self.repark(&key, &in_hand, ParkingPlace::Retry);
        self.progress.finished(position);
        let InHand { booking, schedule, .. } = in_hand;
        turn.facts.push_back(Fact::BookingReparked { key, version: booking.version });
        self.outbox.write(Outgoing::Retry(Box::new(RetryEntry { booking, schedule, generation })));
    }
}
