//! The only clock of the program. It runs on while the machine is suspended, so that the lease of a worker that was asleep
//! runs out (rule W2). It never jumps, so that setting the wall clock cannot lengthen a lease.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use healthflow_core::time::Timestamp;

/// Time since boot, moved to wall-clock time once, at the start of the process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot_ms: i64,
}

impl Clock {
    /// Reads the wall clock, only this once.
    pub fn start() -> Self {
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Clock { boot_ms: i64::try_from(wall_ms).unwrap_or(i64::MAX).saturating_sub(since_boot_ms()) }
    }

    /// Now.
    pub fn now(self) -> Timestamp {
        Timestamp(self.boot_ms.saturating_add(since_boot_ms()))
    }
}

fn since_boot_ms() -> i64 {
    let since = clock_gettime(ClockId::Boottime);
    since.tv_sec.saturating_mul(1_000).saturating_add(since.tv_nsec / 1_000_000)
}
