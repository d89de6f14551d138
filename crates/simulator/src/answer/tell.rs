//! How HealthFlow tells its limits in headers: there is no standard yet, so it can speak every dialect that its like speak.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use healthflow_core::healthflow::wire::LimitHeaders;
use healthflow_core::time::Timestamp;

/// A dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `RateLimit-Policy` and `RateLimit`, as the IETF's draft has them: all limits.
    #[default]
    Structured,
    /// `X-RateLimit-*` of the tightest limit, the reset in seconds from now.
    Seconds,
    /// The same, the reset as an epoch time in seconds.
    Epoch,
    /// The same, in milliseconds.
    EpochMs,
    /// The same, as an ISO time.
    Iso,
    /// It tells nothing.
    Silent,
}

/// What is left of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub name: String,
    pub calls: u64,
    pub window_s: u64,
    pub remaining: u64,
    pub reset_ms: i64,
}

/// The headers that tell it.
pub(super) fn headers(told: &[Told], dialect: Dialect, now: Timestamp) -> LimitHeaders {
    let tightest = told.iter().min_by_key(|limit| limit.remaining.saturating_mul(1_000) / limit.calls.max(1));
    let at = |limit: &Told| now.plus_ms(limit.reset_ms).0;
    let reset: fn(i64, i64) -> String = match dialect {
        Dialect::Silent => return LimitHeaders::default(),
        Dialect::Structured => return structured(told),
        Dialect::Seconds => |_, ms| seconds(ms).to_string(),
        Dialect::Epoch => |at, _| seconds(at).to_string(),
        Dialect::EpochMs => |at, _| at.to_string(),
        Dialect::Iso => |at, _| Timestamp(at).to_string(),
    };
    LimitHeaders {
        date: UNIX_EPOCH
            .checked_add(Duration::from_millis(now.0.unsigned_abs()))
            .map(httpdate::fmt_http_date),
        limit: tightest.map(|limit| limit.calls.to_string()),
        remaining: tightest.map(|limit| limit.remaining.to_string()),
        reset: tightest.map(|limit| reset(at(limit), limit.reset_ms)),
        ..LimitHeaders::default()
    }
}

fn structured(told: &[Told]) -> LimitHeaders {
    let list = |item: fn(&Told) -> String| {
        let items: Vec<String> = told.iter().map(item).collect();
        (!items.is_empty()).then(|| items.join(", "))
    };
    LimitHeaders {
        policy: list(|limit| format!(r#""{}";q={};w={}"#, limit.name, limit.calls, limit.window_s)),
        state: list(|limit| {
            format!(r#""{}";r={};t={}"#, limit.name, limit.remaining, seconds(limit.reset_ms))
        }),
        ..LimitHeaders::default()
    }
}

fn seconds(ms: i64) -> u64 {
    ms.unsigned_abs().div_ceil(1_000)
}
