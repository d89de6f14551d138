//! When a version that keeps failing is given up. What counts is how long it was tried, not how late it is: a walk-in comes
//! after its visit began, and so does everything that waited out an outage. Without this rule the first hiccup would end
//! them, and a visit that was cancelled late would stay in HealthFlow.

use crate::booking::{Booking, BookingStatus, Source};
use crate::event::Schedule;
use crate::retry::WaitReason;
use crate::sync::FailureReason;
use crate::time::Timestamp;

/// How long a version is tried.
#[derive(Clone, Copy, Debug)]
pub struct RetryDeadline {
    /// `retry.max_age_ms`: any version.
    pub max_age_ms: i64,
    /// `retry.visit_grace_ms`: a live, scheduled one, after its visit began.
    pub visit_grace_ms: i64,
}

impl RetryDeadline {
    /// Whether a version that has just failed again has been tried for long enough, and why.
    pub fn is_over(self, booking: &Booking, schedule: &Schedule, now: Timestamp) -> Option<FailureReason> {
        let since = schedule.first_failed_at?;
        if now.since_ms(since) >= self.max_age_ms {
            Some(FailureReason::AgeExhausted)
        } else if is_for_its_visit(booking)
            && since <= booking.visit.start
            && booking.visit.start.plus_ms(self.visit_grace_ms) <= now
        {
            Some(FailureReason::VisitBegun)
        } else {
            None
        }
    }
}

/// Whether a version is useful only before its visit begins. A cancellation removes an appointment that should not exist,
/// and what was requested after the visit began is for the practice's records.
fn is_for_its_visit(booking: &Booking) -> bool {
    booking.source == Source::Live
        && booking.status == BookingStatus::Scheduled
        && booking.requested_at < booking.visit.start
}

/// Leaves time without tries out of the age of a version.
pub fn leave_out(schedule: &mut Schedule, ms: i64) {
    for failed_at in [&mut schedule.first_failed_at, &mut schedule.last_failed_at] {
        *failed_at = failed_at.map(|at| at.plus_ms(ms.max(0)));
    }
}

/// `not_before` moves by `ms`, from now when a version is parked, and to now when it is taken up: the moment since when it waits for
/// a slot moves with it, unless that is what it is parked for. So how long it has waited stays the same, whenever it is woken; a booking
/// that a limit holds back again and again would else never come to the end of its wait (rule K11).
pub fn wait_for_slot_goes_on(schedule: &mut Schedule, ms: i64) {
    if WaitReason::of(&schedule.last_error) != Some(WaitReason::AwaitsSlot) {
        schedule.slot_since = schedule.slot_since.map(|at| at.plus_ms(ms));
    }
}

/// The schedule of a record that the task takes up. Its age does not include how long it lay there although it was due, and
/// no attempt failed and no wait began later than now, whatever the clock showed then.
pub fn taken_up(mut schedule: Schedule, now: Timestamp) -> Schedule {
    let lay_ms = now.since_ms(schedule.not_before);
    leave_out(&mut schedule, lay_ms);
    wait_for_slot_goes_on(&mut schedule, lay_ms);
    for since in [&mut schedule.first_failed_at, &mut schedule.last_failed_at, &mut schedule.slot_since] {
        *since = since.map(|at| at.min(now));
    }
    schedule
}

/// A parked version is due after the longest possible wait from now, at the latest. A later moment came from a worker with a wrong
/// clock; if we believed it, the version would wait for longer than Kafka keeps its record.
pub fn believe(schedule: &mut Schedule, now: Timestamp, longest_wait_ms: i64) {
    let believed = schedule.not_before.min(now.plus_ms(longest_wait_ms));
    wait_for_slot_goes_on(schedule, believed.since_ms(schedule.not_before));
    schedule.not_before = believed;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn failed_at(not_before_in_ms: i64, first_failed_in_ms: i64) -> Schedule {
        Schedule {
            attempts: 1,
            first_failed_at: Some(NOW.plus_ms(first_failed_in_ms)),
            not_before: NOW.plus_ms(not_before_in_ms),
            last_error: "connect".into(),
            ..Schedule::default()
        }
    }

    /// Goal: a wait for a slot that something else interrupts comes to its end. Method: the interruption is planned for an hour and over
    /// after a minute.
    #[test]
    fn only_the_time_that_passed_is_left_out_of_a_wait_for_a_slot() {
        let mut schedule = Schedule { slot_since: Some(NOW.plus_ms(-10_000)), ..failed_at(0, 0) };
        schedule.last_error = "limit".into();
        schedule.not_before = NOW.plus_ms(3_600_000);
        wait_for_slot_goes_on(&mut schedule, 3_600_000);
        let later = NOW.plus_ms(60_000);
        let waited = Some(later.plus_ms(-10_000));
        assert_eq!(taken_up(schedule.clone(), later).slot_since, waited, "it was woken early");
        believe(&mut schedule, NOW, 60_000);
        assert_eq!(taken_up(schedule, later).slot_since, waited, "nobody believed in an hour");
    }

    #[test]
    fn a_record_that_lay_there_is_no_older_than_when_it_was_due() {
        let taken = taken_up(failed_at(-1_000_000, -1_002_000), NOW);
        assert_eq!(taken.first_failed_at, Some(NOW.plus_ms(-2_000)));
    }

    #[test]
    fn a_version_that_never_failed_has_no_age() {
        let never = Schedule { first_failed_at: None, ..failed_at(-1_000_000, 0) };
        assert_eq!(taken_up(never, NOW).first_failed_at, None);
    }

    proptest! {
        /// Whatever clock wrote a record, taking it up neither makes its version older nor moves a failure into the future.
        #[test]
        fn no_first_failure_lies_in_the_future(not_before in any::<i64>(), first_failed in any::<i64>()) {
            let schedule = Schedule {
                not_before: Timestamp(not_before),
                first_failed_at: Some(Timestamp(first_failed)),
                slot_since: Some(Timestamp(first_failed)),
                ..failed_at(0, 0)
            };
            let taken = taken_up(schedule, NOW);
            let lay_ms = NOW.since_ms(Timestamp(not_before));
            prop_assert_eq!(taken.slot_since, Some(Timestamp(first_failed).plus_ms(lay_ms).min(NOW)));
            let taken = taken.first_failed_at.unwrap();
            prop_assert!(taken <= NOW && taken >= Timestamp(first_failed).min(NOW));
        }
    }
}
