//! A span of a provider's time: what a scheduled visit occupies, and no other visit may have if HealthFlow keeps slots
//! exclusive.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::{Booking, BookingStatus};
use crate::time::Timestamp;

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// From when and for how long a provider is occupied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The provider.
    pub provider_id: Arc<str>,
    /// Start of the visit.
    pub start: Timestamp,
    /// How long it takes, in minutes.
    pub minutes: u32,
}

impl Span {
    /// What `booking` wants to occupy; none if it is cancelled.
    pub fn wanted(booking: &Booking) -> Option<Span> {
        (booking.status == BookingStatus::Scheduled).then(|| Span {
            provider_id: booking.visit.provider_id.clone(),
            start: booking.visit.start,
            minutes: booking.visit.duration_minutes,
        })
    }

    /// The first moment at which the provider is free again.
    pub fn end(&self) -> Timestamp {
        self.start.plus_ms(i64::from(self.minutes) * MINUTE_MS)
    }

    /// Whether both want the same provider at the same moment; not if one ends when the other starts.
    pub fn overlaps(&self, other: &Span) -> bool {
        self.provider_id == other.provider_id && self.start < other.end() && other.start < self.end()
    }

    /// The days it touches, in UTC: spans that overlap share one.
    pub fn days(&self) -> RangeInclusive<i32> {
        self.start.day()..=self.end().day()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(provider: u8, start: i64, minutes: u32) -> Span {
        Span { provider_id: format!("dr-{provider}").into(), start: Timestamp(start * MINUTE_MS), minutes }
    }

    #[test]
    fn what_ends_when_the_other_starts_does_not_overlap_it() {
        assert!(span(1, 0, 30).overlaps(&span(1, 29, 30)));
        assert!(!span(1, 0, 30).overlaps(&span(1, 30, 30)));
        assert!(!span(1, 0, 30).overlaps(&span(2, 0, 30)));
    }

    proptest! {
        /// Goal: an index by day loses no overlap. Method: any two spans, also across midnight.
        #[test]
        fn what_overlaps_has_a_day_in_common(
            starts in (0_i64..4_000, 0_i64..4_000),
            minutes in (1_u32..1_440, 1_u32..1_440),
        ) {
            let (one, other) = (span(1, starts.0, minutes.0), span(1, starts.1, minutes.1));
            let shares_a_minute = (starts.0..starts.0 + i64::from(minutes.0))
                .any(|minute| (starts.1..starts.1 + i64::from(minutes.1)).contains(&minute));
            prop_assert_eq!(one.overlaps(&other), shares_a_minute);
            prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
            let has_day_in_common = one.days().any(|day| other.days().contains(&day));
            prop_assert!(!shares_a_minute || has_day_in_common);
        }
    }
}
