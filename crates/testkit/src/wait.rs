//! Waiting for a condition with a limit: the one place in the tests that pauses.

use std::thread;
use std::time::{Duration, Instant};

/// Asks again and again until `condition` returns something; none once `limit` has passed.
pub fn wait_for<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        let found = condition();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
