//! `Retry-After` in its two spellings, within bounds: we must not hammer a server that answers 0, and one that answers next
//! year must not stop the fleet for a year.

use std::time::UNIX_EPOCH;

use crate::time::Timestamp;

/// The shortest wait that a `Retry-After` can cause, in milliseconds.
pub const RETRY_AFTER_MIN_MS: u64 = 100;

/// The longest wait that a `Retry-After` can cause, in milliseconds: after an hour it costs one call to ask again.
pub const RETRY_AFTER_MAX_MS: u64 = 3_600_000;

/// Milliseconds to wait from `now`, within the bounds; none if `text` is neither seconds nor an HTTP date (RFC 9110 section
/// 10.2.3).
pub(super) fn milliseconds(text: &str, now: Timestamp) -> Option<u64> {
    let text = text.trim();
    let is_seconds = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait_ms = if is_seconds {
        // More digits than fit is a very long time, not an error.
        text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1_000)
    } else {
        let instant = httpdate::parse_http_date(text).ok()?;
        let at_ms = instant.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
        u64::try_from(Timestamp(at_ms).since_ms(now)).unwrap_or(0)
    };
    Some(wait_ms.clamp(RETRY_AFTER_MIN_MS, RETRY_AFTER_MAX_MS))
}
