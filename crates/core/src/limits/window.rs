//! Windows: any stretch of time of a length, or stretches with fixed ends in somebody's time zone.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, ToSpan};

use crate::time::{DAY_MS, Timestamp};

const HOUR_MS: i64 = 3_600_000;

/// A window of a limit.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// Any stretch of so many milliseconds.
    Rolling {
        /// Its length.
        ms: i64,
    },
    /// Stretches that begin anew at fixed times.
    Fixed(Fixed),
}

/// Windows with fixed ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// How long they are.
    pub length: Length,
    /// At which hour of the day those of a day or a month begin; 0 to 23.
    pub reset_hour: i8,
    /// In which zone that is.
    pub zone: TimeZone,
}

/// The length of a fixed window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// A part of an hour or of a day, in milliseconds; the last one of a day ends with the day.
    Part(i64),
    /// A calendar month.
    Month,
}

impl Window {
    /// Its length in seconds; none if that differs from window to window.
    pub fn length_s(&self) -> Option<u64> {
        match self {
            Window::Rolling { ms } | Window::Fixed(Fixed { length: Length::Part(ms), .. }) => {
                Some(ms.unsigned_abs() / 1_000)
            }
            Window::Fixed(Fixed { length: Length::Month, .. }) => None,
        }
    }

    /// Whether it is longer than so many milliseconds.
    pub fn is_longer_than(&self, than_ms: i64) -> bool {
        match self {
            Window::Rolling { ms } | Window::Fixed(Fixed { length: Length::Part(ms), .. }) => *ms > than_ms,
            Window::Fixed(Fixed { length: Length::Month, .. }) => true,
        }
    }
}

impl Fixed {
    /// Windows that begin at multiples of their length, in UTC.
    pub const fn aligned(length: Length) -> Self {
        Fixed { length, reset_hour: 0, zone: TimeZone::UTC }
    }

    /// The window that `now` is in: its begin, and its end, which is the begin of the next one.
    pub fn around(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        match self.length {
            Length::Part(ms) if ms <= HOUR_MS => part(now, Timestamp(0), ms),
            Length::Part(ms) => {
                let (day, next_day) = self.day_around(now).unwrap_or_else(|| part(now, Timestamp(0), DAY_MS));
                let (begin, end) = part(now, day, ms);
                if ms >= DAY_MS { (day, next_day) } else { (begin, end.min(next_day)) }
            }
            Length::Month => self.month_around(now).unwrap_or_else(|| part(now, Timestamp(0), 30 * DAY_MS)),
        }
    }

    /// The day from reset hour to reset hour.
    fn day_around(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let today = self.local_date(now)?;
        self.between(now, [today.yesterday().ok()?, today, today.tomorrow().ok()?])
    }

    /// The month from reset hour to reset hour on its first day.
    fn month_around(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let this = self.local_date(now)?.first_of_month();
        self.between(now, [this.checked_sub(1.month()).ok()?, this, this.checked_add(1.month()).ok()?])
    }

    /// The two of these dates that `now` is between, each at the reset hour.
    fn between(&self, now: Timestamp, dates: [Date; 3]) -> Option<(Timestamp, Timestamp)> {
        let [before, this, next] = dates.map(|date| self.reset_on(date));
        let (before, this, next) = (before?, this?, next?);
        Some(if now < this { (before, this) } else { (this, next) })
    }

    fn local_date(&self, now: Timestamp) -> Option<Date> {
        Some(local_time(&self.zone, now)?.date())
    }

    /// The reset hour of a day; where the clock skips it, the first moment after that.
    fn reset_on(&self, date: Date) -> Option<Timestamp> {
        let at = self.zone.to_timestamp(date.at(self.reset_hour, 0, 0, 0)).ok()?;
        Some(Timestamp(at.as_millisecond()))
    }
}

/// The time that the clocks of a zone show; none at an instant that no calendar has.
pub(super) fn local_time(zone: &TimeZone, now: Timestamp) -> Option<DateTime> {
    Some(zone.to_datetime(Instant::from_millisecond(now.0).ok()?))
}

/// The part of this length that `now` is in, if one of them begins at `from`.
fn part(now: Timestamp, from: Timestamp, ms: i64) -> (Timestamp, Timestamp) {
    let ms = ms.max(1);
    let begin = from.plus_ms(now.since_ms(from).div_euclid(ms).saturating_mul(ms));
    (begin, begin.plus_ms(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixed(length: Length, reset_hour: i8, zone: &str) -> Fixed {
        Fixed { length, reset_hour, zone: jiff::tz::db().get(zone).unwrap() }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<Instant>().unwrap().as_millisecond())
    }

    #[test]
    fn windows_begin_at_the_reset_hour_of_their_zone() {
        let (day, month) = (Length::Part(DAY_MS), Length::Month);
        let cases = [
            (fixed(Length::Part(60_000), 0, "UTC"), "2026-11-30T12:00:30Z", "2026-11-30T12:00:00Z"),
            (fixed(Length::Part(HOUR_MS), 7, "Asia/Kolkata"), "2026-11-30T12:40:00Z", "2026-11-30T12:00:00Z"),
            (fixed(day, 0, "America/Chicago"), "2026-11-30T05:59:59Z", "2026-11-29T06:00:00Z"),
            (fixed(day, 0, "America/Chicago"), "2026-11-30T06:00:00Z", "2026-11-30T06:00:00Z"),
            (fixed(day, 9, "UTC"), "2026-11-30T08:00:00Z", "2026-11-29T09:00:00Z"),
            (fixed(month, 0, "America/Chicago"), "2026-11-30T12:00:00Z", "2026-11-01T05:00:00Z"),
            (fixed(month, 6, "UTC"), "2026-12-01T05:59:59Z", "2026-11-01T06:00:00Z"),
            (fixed(Length::Part(6 * HOUR_MS), 2, "UTC"), "2026-11-30T21:00:00Z", "2026-11-30T20:00:00Z"),
        ];
        for (window, now, begin) in cases {
            assert_eq!(window.around(at(now)).0, at(begin), "{window:?} {now}");
        }
    }

    #[test]
    fn a_day_of_25_hours_is_one_window() {
        let window = fixed(Length::Part(DAY_MS), 0, "America/Chicago");
        let (begin, end) = window.around(at("2026-11-01T12:00:00Z"));
        assert_eq!((begin, end), (at("2026-11-01T05:00:00Z"), at("2026-11-02T06:00:00Z")));
    }

    proptest! {
        /// Goal: every moment is in one window, and the next one begins where it ends.
        #[test]
        fn windows_follow_each_other(
            now in -4_000_000_000_000_i64..4_000_000_000_000,
            which in 0_usize..6,
            reset_hour in 0_i8..24,
            zone in prop::sample::select(vec!["UTC", "America/Chicago", "Australia/Lord_Howe", "Asia/Kathmandu"]),
        ) {
            let parts = [1_000, 60_000, HOUR_MS, 6 * HOUR_MS, DAY_MS];
            let length = parts.get(which).map_or(Length::Month, |ms| Length::Part(*ms));
            let window = fixed(length, reset_hour, zone);
            let (begin, end) = window.around(Timestamp(now));
            prop_assert!(begin.0 <= now && now < end.0, "{begin} {end}");
            prop_assert_eq!(window.around(begin), (begin, end));
            prop_assert_eq!(window.around(end.plus_ms(-1)), (begin, end));
            prop_assert_eq!(window.around(end).0, end);
        }
    }
}
