//! `X-RateLimit-Limit`, `-Remaining` and `-Reset`: no standard says what they mean, so the size of the reset tells which dialect
//! it is.

use std::time::UNIX_EPOCH;

use super::{CALLS_MAX, PolicyTold, RESET_MAX_MS};
use crate::healthflow::wire::LimitHeaders;
use crate::time::Timestamp;

/// The name under which such a limit is known.
const NAME: &str = "x-ratelimit";

/// From here on a number of seconds is a time (September 2001), not a wait (32 years).
const EPOCH_MIN: f64 = 1e9;

/// From here on it is a time in milliseconds.
const EPOCH_MS_MIN: f64 = 1e12;

/// The limit that these headers tell; none without what is left of it. A reset that is a time is by HealthFlow's clock, which may
/// differ from ours.
pub(super) fn policy(headers: &LimitHeaders, now: Timestamp) -> Option<PolicyTold> {
    let now = headers.date.as_deref().and_then(http_date).unwrap_or(now);
    let remaining = headers.remaining.as_deref().and_then(count)?;
    Some(PolicyTold {
        name: NAME.into(),
        calls: headers.limit.as_deref().and_then(count),
        window_s: None,
        remaining: Some(remaining),
        reset_ms: headers.reset.as_deref().and_then(|text| reset_ms(text, now)),
    })
}

/// A whole number that is not negative; of a list the first (`100, 100;w=60`).
fn count(text: &str) -> Option<u64> {
    let first = text.split([',', ';']).next()?.trim();
    let is_number = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are very many, not an error.
    is_number.then(|| first.parse::<u64>().unwrap_or(u64::MAX).min(CALLS_MAX))
}

/// Milliseconds from `now`, within the bounds: of seconds, an epoch time in seconds or milliseconds, an ISO time or an HTTP date.
fn reset_ms(text: &str, now: Timestamp) -> Option<i64> {
    let text = text.trim();
    let wait_ms = match text.parse::<f64>() {
        Ok(number) if !number.is_finite() || number < 0.0 => return None,
        Ok(number) if number < EPOCH_MIN => (number * 1_000.0).ceil() as i64,
        Ok(number) if number < EPOCH_MS_MIN => Timestamp((number * 1_000.0).ceil() as i64).since_ms(now),
        Ok(number) => Timestamp(number.ceil() as i64).since_ms(now),
        Err(_) => instant(text)?.since_ms(now),
    };
    Some(wait_ms.clamp(0, RESET_MAX_MS))
}

fn instant(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(at.as_millisecond()));
    }
    http_date(text)
}

fn http_date(text: &str) -> Option<Timestamp> {
    let at = httpdate::parse_http_date(text).ok()?;
    let ms = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Some(Timestamp(i64::try_from(ms).unwrap_or(i64::MAX)))
}
