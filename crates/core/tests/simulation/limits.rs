//! The limits that HealthFlow has beyond what workers are told of, and how it tells them.

use healthflow_simulator::answer::{Dialect, Faults, Limit};

use healthflow_proof::random::Random;

/// Of a life: mostly none. Drawn by itself, so that lives without them stay as they are.
pub fn hidden_limits(seed: u64) -> Faults {
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
    let dialect = *random.pick(&dialects);
    let (calls, window_seconds) = *random.pick(&[(5, 1), (20, 5), (30, 10), (120, 60)]);
    let (fixed, per_practice) = (random.chance(0.5), random.chance(0.3));
    let limit =
        Limit { name: "hidden".into(), calls, window_seconds, fixed, per_practice, ..Limit::default() };
    let limits = if random.chance(0.2) { vec![limit] } else { Vec::new() };
    Faults { limits, limits_told: dialect, ..Faults::default() }
}
