//! What a start waits for: on the status page, in the metrics, and in the log, once and then once a minute with how often the
//! worker has asked meanwhile.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::worker::Clock;
use healthflow_core::repeats::Repeats;
use healthflow_core::status::{StartStep, StartWait};
use healthflow_core::time::Timestamp;

/// How long the start waits before it asks a silent Kafka or registry again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// The start of a worker.
#[derive(Clone)]
pub(super) struct Starting {
    clock: Clock,
    waits: Arc<Mutex<Option<Waiting>>>,
}

struct Waiting {
    wait: StartWait,
    logged: Repeats,
}

impl Starting {
    pub(super) fn new(clock: Clock) -> Self {
        Starting { clock, waits: Arc::default() }
    }

    /// What it waits for now.
    pub(super) fn waits(&self) -> Option<StartWait> {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.as_ref().map(|waiting| waiting.wait.clone())
    }

    /// Says why it waits at this step, and waits until it is time to ask again.
    pub(super) async fn wait_out(&self, step: StartStep, why: &impl Display) {
        self.note(step, why.to_string(), self.clock.now());
        tokio::time::sleep(ASK_AGAIN).await;
    }

    fn note(&self, step: StartStep, why: String, now: Timestamp) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waits.take().filter(|waiting| waiting.wait.step == step);
        let since = before.as_ref().map_or(now, |waiting| waiting.wait.since);
        let same = before.filter(|waiting| waiting.wait.why == why);
        let (logged, times) = match same {
            Some(Waiting { mut logged, .. }) => {
                let times = logged.again(now);
                (logged, times)
            }
            None => (Repeats::first(now), Some(1)),
        };
        if let Some(times) = times {
            tracing::warn!(times, "the start waits: {why}");
        }
        *waits = Some(Waiting { wait: StartWait { step, why, since }, logged });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what a start waits for is shown with its age, and the log is not filled. Method: one reason for two minutes, then
    /// another at the same step.
    #[test]
    fn a_reason_is_shown_from_its_first_moment_and_logged_once_a_minute() {
        let start = Starting::new(Clock::start());
        let logged_at =
            || start.waits.lock().unwrap().as_ref().map(|of| (of.logged.reported_at.0, of.logged.since));
        let at = |ms: i64, why: &str| start.note(StartStep::Topics, why.into(), Timestamp(ms));
        at(1_000, "no registry");
        assert_eq!(logged_at(), Some((1_000, 0)));
        (1..30).for_each(|round| at(1_000 + round * 2_000, "no registry"));
        assert_eq!(logged_at(), Some((1_000, 29)));
        at(61_000, "no registry");
        assert_eq!(logged_at(), Some((61_000, 0)));
        at(63_000, "no topics");
        assert_eq!(logged_at(), Some((63_000, 0)), "another reason is news");
        let wait = StartWait { step: StartStep::Topics, why: "no topics".into(), since: Timestamp(1_000) };
        assert_eq!(start.waits(), Some(wait));
    }
}
