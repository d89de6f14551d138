//! `healthflow.limits`: what HealthFlow allows beyond `healthflow.requests_per_second`, as a list. A whole list replaces that of a
//! lower layer.

use serde::Deserialize;

use healthflow_core::limits::window::{Fixed, Length, Window};
use healthflow_core::limits::{Operations, Policy, Scope};

/// Names are shown in logs; longer ones are refused (characters).
const NAME_MAX: usize = 64;
/// More limits than this are a mistake.
const LIMITS_MAX: usize = 16;
/// Longer windows are not counted over restarts (seconds).
const WINDOW_SECONDS: std::ops::RangeInclusive<u64> = 1..=60;

/// One limit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Its name in logs; the one that HealthFlow gives it in `RateLimit-Policy`, if it does.
    pub name: String,
    /// Whose it is.
    #[serde(default)]
    pub scope: LimitScope,
    /// Which calls count: "all", "reads", "writes", or operations by name.
    #[serde(default = "all")]
    pub operations: Vec<String>,
    /// How many of them.
    pub calls: u32,
    /// In how many seconds.
    pub window_seconds: u64,
    /// Whether any window counts, or windows with fixed ends.
    #[serde(default)]
    pub window: WindowKind,
    /// How many more a rolling window may see, so that as many may come at once.
    #[serde(default)]
    pub burst: u32,
}

/// Whose a limit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// The account's: all workers share it.
    #[default]
    Account,
    /// Each practice has it for itself.
    Practice,
}

/// Which windows count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// Any stretch of that length.
    #[default]
    Rolling,
    /// Stretches that begin at multiples of their length since the full hour.
    Fixed,
}

fn all() -> Vec<String> {
    vec!["all".to_owned()]
}

impl Limit {
    /// The limit as the core keeps it.
    pub(super) fn policy(&self) -> Policy {
        let ms = i64::try_from(self.window_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let window = match self.window {
            WindowKind::Rolling => Window::Rolling { ms },
            WindowKind::Fixed => Window::Fixed(Fixed::aligned(Length::Part(ms))),
        };
        Policy {
            name: self.name.as_str().into(),
            scope: match self.scope {
                LimitScope::Account => Scope::Account,
                LimitScope::Practice => Scope::Practice,
            },
            operations: self.operations().unwrap_or(Operations::ALL),
            calls: self.calls,
            window,
            burst: self.burst,
        }
    }

    fn operations(&self) -> Option<Operations> {
        let named = |set: Operations, name: &String| set.with_named(name);
        self.operations.iter().try_fold(Operations::NONE, named).filter(|set| *set != Operations::NONE)
    }
}

/// Whether a limit keeps a rule.
type Rule = fn(&Limit) -> bool;

/// What is wrong with the list; none if nothing is.
pub(super) fn fault(limits: &[Limit]) -> Option<String> {
    if limits.len() > LIMITS_MAX {
        return Some(format!("must not have more than {LIMITS_MAX} limits"));
    }
    let rules: [(Rule, &str); 6] = [
        (is_named, "must be named, in up to 64 printable ASCII characters without quotes"),
        (
            |limit| limit.operations().is_some(),
            "must count \"all\", \"reads\", \"writes\" or operations by name",
        ),
        (|limit| limit.calls > 0, "must allow at least 1 call"),
        (|limit| WINDOW_SECONDS.contains(&limit.window_seconds), "must have a window of 1 to 60 seconds"),
        (
            |limit| limit.window == WindowKind::Rolling || 3_600 % limit.window_seconds.max(1) == 0,
            "must have a fixed window whose length divides an hour",
        ),
        (
            |limit| limit.window == WindowKind::Rolling || limit.burst == 0,
            "must have no burst in a fixed window",
        ),
    ];
    for (index, limit) in limits.iter().enumerate() {
        if let Some((_, rule)) = rules.iter().find(|(holds, _)| !holds(limit)) {
            return Some(format!("{rule} (limit {} of the list)", index + 1));
        }
        if limits[..index].iter().any(|other| other.name == limit.name) {
            return Some(format!("must have a name of its own (limit {} of the list)", index + 1));
        }
    }
    None
}

fn is_named(limit: &Limit) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    (1..=NAME_MAX).contains(&limit.name.len()) && limit.name.chars().all(is_plain)
}
