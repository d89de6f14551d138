//! Hours of each day in somebody's time zone: when history may take its part of the calls.

use jiff::tz::TimeZone;

use crate::limits::window::local_time;
use crate::time::Timestamp;

/// Hours of the day, `from` included and `until` not; over midnight if `until` is the smaller one, all day if they are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// The first hour, 0 to 23.
    pub from: i8,
    /// The hour that is not one of them any more, 0 to 23.
    pub until: i8,
    /// In which zone.
    pub zone: TimeZone,
}

impl Hours {
    /// Whether `now` is in these hours, by the clocks of the zone; an instant that no calendar has is not.
    pub fn has(&self, now: Timestamp) -> bool {
        let Some(hour) = local_time(&self.zone, now).map(|time| time.hour()) else { return false };
        if self.from < self.until {
            (self.from..self.until).contains(&hour)
        } else {
            hour >= self.from || hour < self.until
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(from: i8, until: i8, zone: &str) -> Hours {
        Hours { from, until, zone: jiff::tz::db().get(zone).unwrap() }
    }

    #[test]
    fn a_night_goes_over_midnight_by_the_clocks_of_its_zone() {
        let night = hours(20, 6, "America/Chicago");
        for (instant, is_night) in [
            ("2026-11-29T01:59:59Z", false),
            ("2026-11-29T02:00:00Z", true),
            ("2026-11-29T11:59:59Z", true),
            ("2026-11-29T12:00:00Z", false),
            // In summer the clocks are an hour ahead.
            ("2026-07-01T01:00:00Z", true),
            ("2026-07-01T11:00:00Z", false),
        ] {
            let now = Timestamp(instant.parse::<jiff::Timestamp>().unwrap().as_millisecond());
            assert_eq!(night.has(now), is_night, "{instant}");
        }
        assert!(!night.has(Timestamp(i64::MAX)));
    }

    proptest! {
        /// Two stretches that begin where the other one ends have each hour of the day once.
        #[test]
        fn a_day_has_each_hour_once(from in 0_i8..24, until in 0_i8..24, ms in 0_i64..4_000_000_000_000) {
            prop_assume!(from != until);
            let zone = "Australia/Lord_Howe";
            let now = Timestamp(ms);
            prop_assert_ne!(hours(from, until, zone).has(now), hours(until, from, zone).has(now));
            prop_assert!(hours(from, from, zone).has(now));
        }
    }
}
