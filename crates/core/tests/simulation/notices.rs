//! What workers promise to those who wait, and how soon they tell of an outage. Drawn by itself, so that lives without it stay as
//! they are.

use healthflow_core::settings::Settings;
use healthflow_proof::random::Random;

/// Draws it for one life.
pub fn draw(seed: u64, settings: &mut Settings) {
    let mut random = Random::new(seed.wrapping_mul(15_485_863) + 7);
    settings.promise_ms = *random.pick(&[0, 500, 3_000, 30_000]);
    settings.notices_max = *random.pick(&[1, 3, 200]);
    settings.breaker.notice_after_ms = *random.pick(&[0, 200, 1_000, 5_000]);
}
