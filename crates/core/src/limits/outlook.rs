//! When what waits will be done: the work before it, and the rate that is left. It is a promise to people, so it is simple, it is
//! bounded, and it is rather too late than too early.

use crate::time::Timestamp;

/// How many calls a booking costs, mostly: one or two of a known patient, four of an unknown one.
const CALLS_OF_A_BOOKING: f64 = 2.0;

/// So much longer than that the work is thought to take: for look-ups, for what is tried again, and for commits.
const SPARE: f64 = 1.2;

/// No promise is nearer than this, in milliseconds: a booking needs a call and a commit.
const NEAREST_MS: i64 = 1_000;

/// No promise is farther away than this, in milliseconds: three days, after which a booking is given up.
const FARTHEST_MS: i64 = 72 * 3_600_000;

/// What a worker has to do, and how fast it may.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Bookings that wait in all its tasks, as far as they were read.
    pub bookings_waiting: usize,
    /// Calls a second that it may send.
    pub per_second: f64,
    /// The part of them that is left for what is late while fresh bookings wait too; 1 if none does.
    pub part_left: f64,
    /// Nothing is sent before this.
    pub begins_at: Timestamp,
    /// How long it takes until it may send at that rate, in milliseconds.
    pub ramp_ms: i64,
}

impl Outlook {
    /// How long everything that waits takes once calls go out, in milliseconds; the longest where nothing may be sent.
    pub fn catch_up_ms(&self) -> i64 {
        self.work_ms(1.0)
    }

    /// When a booking that cannot go on before `earliest` will be confirmed.
    pub fn promise(&self, earliest: Timestamp, now: Timestamp) -> Timestamp {
        let begins_at = earliest.max(self.begins_at).max(now);
        let promised_at = begins_at.plus_ms(self.work_ms(self.part_left));
        promised_at.clamp(now.plus_ms(NEAREST_MS), now.plus_ms(FARTHEST_MS))
    }

    /// How long the work takes if this part of the rate is left.
    fn work_ms(&self, part_left: f64) -> i64 {
        let calls = self.bookings_waiting as f64 * CALLS_OF_A_BOOKING * SPARE;
        let work_ms = calls * 1_000.0 / (self.per_second * part_left);
        // While the rate rises, about half of it is left.
        let work_ms = if work_ms.is_finite() { work_ms as i64 } else { FARTHEST_MS };
        work_ms.saturating_add(self.ramp_ms / 2).clamp(0, FARTHEST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn outlook() -> Outlook {
        Outlook { bookings_waiting: 500, per_second: 100.0, part_left: 1.0, begins_at: NOW, ramp_ms: 0 }
    }

    #[test]
    fn a_promise_is_the_work_before_it_at_the_rate_that_is_left() {
        assert_eq!(outlook().promise(NOW, NOW), NOW.plus_ms(12_000));
        assert_eq!(outlook().promise(NOW.plus_ms(7_000), NOW), NOW.plus_ms(19_000));
        let beside_fresh = Outlook { part_left: 0.25, ..outlook() };
        assert_eq!(beside_fresh.promise(NOW, NOW), NOW.plus_ms(48_000));
        assert_eq!(beside_fresh.catch_up_ms(), 12_000);
        let stopped = Outlook { begins_at: NOW.plus_ms(60_000), ramp_ms: 10_000, ..outlook() };
        assert_eq!(stopped.promise(NOW, NOW), NOW.plus_ms(77_000));
        assert_eq!(Outlook { bookings_waiting: 0, ..outlook() }.promise(NOW, NOW), NOW.plus_ms(1_000));
    }

    proptest! {
        /// Goal: whatever the limits are, a promise is a moment that a person can use. Method: any numbers.
        #[test]
        fn a_promise_is_bounded(
            bookings_waiting in any::<usize>(),
            per_second in any::<f64>(),
            part_left in any::<f64>(),
            begins_at in any::<i64>(),
            earliest in any::<i64>(),
            ramp_ms in 0..i64::MAX,
        ) {
            let begins_at = Timestamp(begins_at);
            let outlook = Outlook { bookings_waiting, per_second, part_left, begins_at, ramp_ms };
            let promised_at = outlook.promise(Timestamp(earliest), NOW);
            prop_assert!((NEAREST_MS..=FARTHEST_MS).contains(&promised_at.since_ms(NOW)));
            prop_assert!((0..=FARTHEST_MS).contains(&outlook.catch_up_ms()));
        }
    }
}
