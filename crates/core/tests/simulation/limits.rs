//! The limits of a life: those that workers are told of, those that HealthFlow has, and how it tells them. Drawn by themselves, so
//! that lives without them stay as they are.

use std::sync::Arc;

use healthflow_core::booking::Source;
use healthflow_core::event::Arrival;
use healthflow_core::limits::window::{Fixed, Length, Window};
use healthflow_core::limits::{Operations, Policy, Scope};
use healthflow_core::settings::Settings;
use healthflow_simulator::answer::{Dialect, Faults, Limit, Strikes};

use crate::lives::Publication;
use healthflow_proof::random::Random;

/// What workers are told of, beside the requests a second: mostly nothing.
pub fn stated(seed: u64) -> Vec<Policy> {
    let mut random = Random::new(seed.wrapping_mul(103) + 11);
    let mut some = Vec::new();
    while random.chance(0.15) && some.len() < 3 {
        let (calls, ms) = *random.pick(&[(4, 1_000), (10, 2_000), (8, 5_000), (40, 10_000), (90, 60_000)]);
        let is_fixed = random.chance(0.5);
        let names: [&str; 4] = ["all", "all", "writes", "reads"];
        let name = random.pick(&names);
        some.push(Policy {
            name: format!("limit-{}", some.len()).as_str().into(),
            scope: *random.pick(&[Scope::Account, Scope::Practice]),
            operations: Operations::NONE.with_named(name).expect("they stand for operations"),
            calls,
            window: if is_fixed {
                Window::Fixed(Fixed::aligned(Length::Part(ms)))
            } else {
                Window::Rolling { ms }
            },
            burst: if is_fixed { 0 } else { *random.pick(&[0, 1, 5]) },
        });
    }
    some
}

/// In some lives also a limit whose window is longer than a minute, and a part of it for live bookings.
pub fn draw_long(seed: u64, settings: &mut Settings) {
    let mut random = Random::new(seed.wrapping_mul(113) + 19);
    if !random.chance(0.15) {
        return;
    }
    let (calls, ms) = *random.pick(&[(30, 72_000), (80, 72_000), (150, 120_000), (400, 240_000)]);
    let is_fixed = random.chance(0.6);
    let names: [&str; 4] = ["all", "all", "writes", "writes"];
    let name = random.pick(&names);
    settings.reserve_for_live = *random.pick(&[0.0, 0.2, 0.8]);
    settings.limits.push(Policy {
        name: "long".into(),
        scope: *random.pick(&[Scope::Account, Scope::Account, Scope::Practice]),
        operations: Operations::NONE.with_named(name).expect("they stand for operations"),
        calls,
        window: match is_fixed {
            true => Window::Fixed(Fixed::aligned(Length::Part(ms))),
            false => Window::Rolling { ms },
        },
        burst: 0,
    });
}

/// Where a part of a limit is kept for live bookings, every other booking is history, in all its versions.
pub fn history_perhaps(limits: &[Policy], records: &mut [Publication]) {
    if !limits.iter().any(Policy::is_long) {
        return;
    }
    for record in records {
        let Arrival::Requested(booking) = &mut record.arrival else { continue };
        let is_history = booking.key.booking.as_str().bytes().map(u32::from).sum::<u32>() % 2 == 0;
        Arc::make_mut(booking).source = if is_history { Source::Backfill } else { Source::Live };
    }
}

/// How much longer everything may take under such a limit: so many windows.
pub fn rest_ms(limits: &[Policy]) -> i64 {
    let long = limits.iter().filter(|policy| policy.is_long()).filter_map(|policy| policy.window.length_s());
    long.map(|length_s| 40 * 1_000 * length_s as i64).sum()
}

/// What HealthFlow does: the limits that are stated, or one that is not, or none; in any dialect.
pub fn healthflow(seed: u64, settings: &Settings) -> Faults {
    let mut random = Random::new(seed.wrapping_mul(101) + 7);
    let dialects = [
        Dialect::Structured,
        Dialect::Structured,
        Dialect::Seconds,
        Dialect::Epoch,
        Dialect::EpochMs,
        Dialect::Iso,
        Dialect::Silent,
    ];
    let limits_told = *random.pick(&dialects);
    let (calls, window_seconds) = *random.pick(&[(5, 1), (20, 5), (30, 10), (120, 60)]);
    let (fixed, per_practice) = (random.chance(0.5), random.chance(0.3));
    let hidden =
        Limit { name: "hidden".into(), calls, window_seconds, fixed, per_practice, ..Limit::default() };
    let hidden = if random.chance(0.12) { vec![hidden] } else { Vec::new() };
    let stated = settings.limits.iter().map(enforced).collect();
    let limits = if random.chance(0.5) { stated } else { hidden };
    Faults { limits, limits_told, ..Faults::default() }
}

fn enforced(policy: &Policy) -> Limit {
    let named = |name: &str| Operations::NONE.with_named(name) == Some(policy.operations);
    Limit {
        name: policy.name.to_string(),
        calls: u64::from(policy.calls + policy.burst),
        window_seconds: policy.window.length_s().expect("a length in seconds"),
        fixed: matches!(policy.window, Window::Fixed(_)),
        per_practice: policy.scope == Scope::Practice,
        counts: match () {
            () if named("writes") => Strikes::Writes,
            () if named("reads") => Strikes::Reads,
            () => Strikes::All,
        },
    }
}

/// After how long a record that keeps its lane from moving is written again: soon in a third of the lives.
pub fn repark_after_ms(seed: u64) -> i64 {
    let mut random = Random::new(seed.wrapping_mul(109) + 17);
    *random.pick(&[1_000, 4_000, 300_000, 300_000, 300_000, 300_000])
}
