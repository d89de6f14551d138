//! The delay before the next attempt: exponential, with full jitter derived from the booking's identity, so that a simulated
//! life always gives the same times, and bookings that failed together do not come back together.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::booking::Version;

/// The delay after `attempts` failures (at least one), in milliseconds: between `min_ms` and
/// `min_ms × 2^attempts`, capped at `max_ms`.
pub fn delay_ms(key: &impl Hash, version: Version, attempts: u32, min_ms: i64, max_ms: i64) -> i64 {
    let ceiling = min_ms.saturating_mul(1_i64 << attempts.min(30)).clamp(min_ms, max_ms.max(min_ms));
    let mut hasher = DefaultHasher::new();
    (key, version, attempts).hash(&mut hasher);
    let fraction = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
    min_ms + ((ceiling - min_ms) as f64 * fraction) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::booking::BookingKey;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_lies_between_minimum_and_cap(booking in "[a-z]{1,8}", version in 1_u64..9, attempts in 1_u32..100) {
            let key = BookingKey { practice: "p".into(), booking: booking.as_str().into() };
            let delay = delay_ms(&key, version, attempts, 2_000, 600_000);
            prop_assert!((2_000..=600_000).contains(&delay));
            prop_assert!(delay <= 2_000_i64.saturating_mul(1 << attempts.min(30)));
            prop_assert_eq!(delay, delay_ms(&key, version, attempts, 2_000, 600_000));
        }
    }

    /// Goal: a thousand bookings that failed at once come back spread out. Method: count the tenths of the range.
    #[test]
    fn delays_are_spread_over_the_whole_range() {
        let mut tenths = [0_u32; 10];
        for index in 0..1_000 {
            let key = BookingKey { practice: "p".into(), booking: format!("b-{index}").into() };
            let delay = delay_ms(&key, 1, 20, 1, 1_000);
            tenths[(delay / 100).min(9) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (50..200).contains(count)), "{tenths:?}");
    }
}
