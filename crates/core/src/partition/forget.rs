//! Forgetting bookings that no record will name again, so that state does not grow for ever (rule K9).

use crate::booking::BookingKey;
use crate::fact::Fact;
use crate::partition::task::Task;
use crate::time::Timestamp;

/// Bookings that are forgotten in one commit; more wait for the next hour.
const FORGOTTEN_MAX: usize = 10_000;

impl Task {
    /// Puts into the next batch that those bookings are forgotten whose last visit and last answer lie further back than
    /// `keep_days`, and of which nothing is open. The input topics keep no record for that long (checked at the start), so
    /// none of them can come again.
    pub(super) fn forget_old(&mut self, now: Timestamp, keep_days: u32) {
        if keep_days == 0 {
            return;
        }
        let before_day = i64::from(now.day()) - i64::from(keep_days);
        let is_old = |last_day: i32| last_day != 0 && i64::from(last_day) < before_day;
        // What is packed has nothing open and is not at hand.
        let old = self.ledger.bookings().packed_by_first_field(is_old);
        let forgotten: Vec<BookingKey> = old.take(FORGOTTEN_MAX).collect();
        if forgotten.is_empty() {
            return;
        }
        let (partition, count) = (self.partition, forgotten.len() as u64);
        self.outbox.tell(Fact::BookingsForgotten { partition, count });
        for key in forgotten {
            self.ledger.forget_booking(key);
        }
    }
}
