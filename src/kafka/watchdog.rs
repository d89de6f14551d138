//! A transactional call that never returns would block a task for ever, while the group takes its worker for alive
//! (rule T4; `send_offsets_to_transaction` ignores its own time-out, librdkafka 5456). So the watchdog ends the process
//! with a non-zero status, and another worker takes over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(500);

/// Counts ticks, not time: after a suspend no call has hung.
#[derive(Clone)]
pub struct Watchdog {
    watched: Arc<Mutex<HashMap<u64, Watched>>>,
    next: Arc<AtomicU64>,
}

struct Watched {
    what: &'static str,
    partition: i32,
    ticks_left: u64,
}

/// While it lives, a call is being watched.
pub(super) struct Watch<'a> {
    watchdog: &'a Watchdog,
    name: u64,
}

impl Watchdog {
    /// Starts the thread that counts. It calls `on_hang` with the call and the task that did not return; `on_hang` ends
    /// the process.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(on_hang: impl Fn(&'static str, i32) + Send + 'static) -> std::io::Result<Self> {
        let watchdog = Watchdog { watched: Arc::default(), next: Arc::default() };
        let watched = Arc::downgrade(&watchdog.watched);
        std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            while let Some(watched) = watched.upgrade() {
                if let Some((what, partition)) = tick(&watched) {
                    on_hang(what, partition);
                }
                drop(watched);
                std::thread::sleep(TICK);
            }
        })?;
        Ok(watchdog)
    }

    /// Watches a call until the returned value is dropped.
    pub(super) fn watch(&self, what: &'static str, partition: i32, limit: Duration) -> Watch<'_> {
        let name = self.next.fetch_add(1, Ordering::Relaxed);
        let ticks_left = (limit.as_millis() / TICK.as_millis()).try_into().unwrap_or(u64::MAX);
        let watched = Watched { what, partition, ticks_left };
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(name, watched);
        Watch { watchdog: self, name }
    }
}

fn tick(watched: &Mutex<HashMap<u64, Watched>>) -> Option<(&'static str, i32)> {
    let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hanging = None;
    for call in watched.values_mut() {
        if call.ticks_left == 0 {
            hanging = Some((call.what, call.partition));
        }
        call.ticks_left = call.ticks_left.saturating_sub(1);
    }
    hanging
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.watchdog.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only a call that is still under way after its limit is reported. Method: ticks counted by hand.
    #[test]
    fn a_call_that_does_not_return_is_reported_and_one_that_does_is_not() {
        let watchdog = Watchdog { watched: Arc::default(), next: Arc::default() };
        drop(watchdog.watch("abort", 1, Duration::ZERO));
        assert_eq!(tick(&watchdog.watched), None);
        let _hangs = watchdog.watch("commit", 7, TICK * 2);
        assert_eq!([tick(&watchdog.watched), tick(&watchdog.watched)], [None, None]);
        assert_eq!(tick(&watchdog.watched), Some(("commit", 7)));
    }
}
