//! What HealthFlow does wrong during the torture, phase by phase: it is never in good health.

use std::time::Duration;

use serde_json::{Value, json};

use super::faults::SpanMs;
use crate::healthflow::good_health;
use crate::workload::spoiled::SingledOut;
use healthflow_proof::random::Random;

/// Every answer takes this long, and up to half as much more.
const LATENCY_MS: u64 = 40;
/// How long what was written is invisible to searches; below `healthflow.search_lag_ms`.
const SEARCH_LAG_MS: u64 = 300;
/// Most late writes land after this long.
const LATE_MS: SpanMs = SpanMs::new(1_000, 7_000);
/// In one phase of five they land as late as HealthFlow may: below `healthflow.late_landing_ms` by more than a busy
/// machine delays.
const LATEST_MS: SpanMs = SpanMs::new(7_000, 30_000);
/// Longer than `healthflow.request_life_ms`: the caller gives up first.
const HANG_MS: u64 = 3_000;

/// Statuses under which a proxy answers with HTML.
const PROXY_STATUSES: [u16; 8] = [200, 302, 400, 403, 404, 413, 422, 502];

/// What HealthFlow does for a while.
#[derive(Clone, Debug)]
pub struct FaultPhase {
    /// The knobs of the simulator.
    pub knobs: Value,
    /// For how long.
    pub lasts: Duration,
    /// Its kind.
    pub kind: FaultKind,
}

/// Kinds of fault phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A third of the calls go wrong, in every way.
    Faulty,
    /// Nearly everything is answered 429.
    Storm,
    /// Nothing works.
    Outage,
}

/// Phase number `number`: mostly faulty, every sixth a storm, every tenth an outage.
pub fn phase(number: usize, random: &mut Random) -> FaultPhase {
    let mut knobs = calm();
    let kind = match number {
        _ if number % 10 == 7 => FaultKind::Outage,
        _ if number % 6 == 4 => FaultKind::Storm,
        _ => FaultKind::Faulty,
    };
    let (from_ms, until_ms) = match kind {
        FaultKind::Faulty => (3_000, 6_000),
        FaultKind::Storm => (2_000, 4_000),
        FaultKind::Outage => (3_000, 8_000),
    };
    match kind {
        FaultKind::Outage => knobs["down"] = ["refused", "unavailable"][random.below(2)].into(),
        FaultKind::Storm => {
            knobs["requests_per_second"] = 15.into();
            knobs["burst"] = 5.into();
        }
        FaultKind::Faulty => {}
    }
    for (knob, probability) in [
        ("server_error_before", 0.07),
        ("drop_before", 0.05),
        ("late_landing", 0.09),
        ("server_error_after", 0.10),
        ("drop_after", 0.11),
        ("unreadable_after", 0.03),
        ("proxy_before", 0.03),
        ("proxy_after", 0.03),
    ] {
        knobs[knob] = probability.into();
    }
    SingledOut::set(&mut knobs, true);
    let late = if random.below(5) == 0 { LATEST_MS } else { LATE_MS };
    knobs["late_landing_ms"] = random.between(late.from, late.until).into();
    knobs["hang_ms"] = [0, HANG_MS][random.below(2)].into();
    knobs["proxy_status"] = PROXY_STATUSES[random.below(PROXY_STATUSES.len())].into();
    FaultPhase { knobs, lasts: Duration::from_millis(random.between(from_ms, until_ms).unsigned_abs()), kind }
}

/// A HealthFlow that works, with its latency and its search lag. It has no rate limit of its own here: the report
/// counts whether the workers kept theirs.
pub fn calm() -> Value {
    let mut knobs = good_health(LATENCY_MS, 0.0);
    for knob in ["unreadable_after", "proxy_before", "proxy_after"] {
        knobs[knob] = json!(0.0);
    }
    knobs["burst"] = 0.into();
    knobs["hang_ms"] = 0.into();
    SingledOut::set(&mut knobs, false);
    knobs["search_lag_ms"] = SEARCH_LAG_MS.into();
    knobs
}
