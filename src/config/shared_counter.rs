//! The section `[limits]`: how workers share what the account allows.

use std::path::PathBuf;

use serde::Deserialize;

use super::check::{Fault, holds};
use super::{Config, Optional, signed};
use crate::shared_counter::CounterSettings;
use healthflow_core::limits::SharedCounterLimits;

/// Permits in hand above this would be a mistake.
const PERMITS_MAX: std::ops::RangeInclusive<u32> = 1..=1_000;
/// The longest prefix (characters).
const PREFIX_MAX: usize = 100;

/// The section `[limits]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The part of every limit with a window longer than a minute that only live bookings may use (share).
    pub reserve_for_live: f64,
    /// How workers share what the account allows.
    pub share: LimitShare,
    /// How much of its share a worker takes while Redis does not answer it (0.05 to 1).
    pub fallback_share: f64,
    /// Permits that a worker has in hand at most.
    pub permits_max: u32,
    /// How long a call may wait for its connection under its permit (milliseconds).
    pub permit_life_ms: u64,
    /// Where Redis is.
    pub redis_url: String,
    /// User of Redis.
    pub user: Optional<String>,
    /// File that holds the password, on one line.
    pub password_file: Optional<PathBuf>,
    /// File with the only authorities (PEM) whose certificates Redis may show.
    pub ca_file: Optional<PathBuf>,
    /// What our keys in Redis begin with.
    pub key_prefix: String,
}

/// How workers share what the account allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitShare {
    /// Each has the part of its partitions.
    Partitions,
    /// A counter in Redis gives each what it needs.
    Redis,
}

impl Limits {
    /// How the processor uses the counter; none where there is none.
    pub(super) fn counter(&self) -> Option<SharedCounterLimits> {
        (self.share == LimitShare::Redis).then(|| SharedCounterLimits {
            fallback_share: self.fallback_share,
            permits_max: self.permits_max as usize,
            permit_life_ms: signed(self.permit_life_ms),
        })
    }

    /// Where the counter is; none where there is none.
    pub fn counter_settings(&self) -> Option<CounterSettings> {
        (self.share == LimitShare::Redis).then(|| CounterSettings {
            url: self.redis_url.clone(),
            user: self.user.0.clone(),
            password_file: self.password_file.0.clone(),
            ca_file: self.ca_file.0.clone(),
            key_prefix: self.key_prefix.clone(),
        })
    }
}

/// Returns the first rule that is broken.
pub(super) fn check(Config { limits, healthflow, .. }: &Config) -> Result<(), Fault> {
    let is_share = (0.05..=1.0).contains(&limits.fallback_share);
    holds(is_share, "limits.fallback_share", "must be at least 0.05 and at most 1")?;
    let is_few = PERMITS_MAX.contains(&limits.permits_max);
    holds(is_few, "limits.permits_max", "must be from 1 to 1000 permits")?;
    let is_long = limits.share == LimitShare::Partitions
        || (healthflow.connect_timeout_ms..=60_000).contains(&limits.permit_life_ms);
    holds(
        is_long,
        "limits.permit_life_ms",
        "must be at least `healthflow.connect_timeout_ms`, or a call that connects never goes out, and at most 60000",
    )?;
    let url = &limits.redis_url;
    let is_url = url.starts_with("redis://") || url.starts_with("rediss://");
    holds(is_url, "limits.redis_url", "must begin with redis:// or rediss://")?;
    let carries_secret = url.contains('@');
    holds(!carries_secret, "limits.redis_url", "must not carry a user or password; secrets come from files")?;
    let is_used = limits.ca_file.0.is_none() || url.starts_with("rediss://");
    holds(
        is_used,
        "limits.ca_file",
        "does nothing, because `limits.redis_url` does not begin with rediss://",
    )?;
    let is_known = limits.user.0.is_none() || limits.password_file.0.is_some();
    holds(is_known, "limits.user", "must be set together with `limits.password_file`")?;
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '{' | '}');
    let prefix = &limits.key_prefix;
    holds(
        (1..=PREFIX_MAX).contains(&prefix.len()) && prefix.chars().all(is_plain),
        "limits.key_prefix",
        "must consist of 1 to 100 printable ASCII characters without braces",
    )
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn what_cannot_work_names_its_key() {
        for (flag, key) in [
            ("limits.fallback_share=1.5", "limits.fallback_share"),
            ("limits.permits_max=0", "limits.permits_max"),
            ("limits.permit_life_ms=100", "limits.permit_life_ms"),
            ("limits.redis_url=http://r", "limits.redis_url"),
            ("limits.redis_url=redis://u:p@r", "limits.redis_url"),
            ("limits.ca_file=ca.pem", "limits.ca_file"),
            ("limits.user=u", "limits.user"),
            ("limits.key_prefix={a}", "limits.key_prefix"),
        ] {
            let error = load(&["limits.share=redis", flag]).expect_err("must be refused");
            assert!(error.contains(&format!("`{key}` from")), "{flag}: {error}");
        }
        load(&["healthflow.connect_timeout_ms=5000"]).expect("without Redis nobody needs permits");
        load(&["limits.share=redis", "limits.redis_url=rediss://r:6380/2", "limits.ca_file=ca.pem"])
            .expect("TLS");
    }
}
