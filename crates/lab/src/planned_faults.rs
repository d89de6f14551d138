//! What the demo breaks on purpose, and when. A demo in which nothing goes wrong proves nothing.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use healthflow_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::audit::Span;
use crate::dentscheduler::now;
use crate::healthflow::HealthFlow;
use healthflow_testkit::processes::worker::Worker;

/// Before the kill every answer takes this long, so that some are under way when it comes.
const SLOW_MS: u64 = 400;
/// How long HealthFlow is slow before the kill, and after it.
const SLOW_BEFORE: Duration = Duration::from_millis(800);
const SLOW_AFTER: Duration = Duration::from_millis(200);
/// How long a killed worker stays away.
const DEAD_FOR: Duration = Duration::from_secs(3);

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedFault {
    /// In words.
    pub what: &'static str,
    /// When, in milliseconds after the first booking.
    pub from_ms: i64,
    /// For how long; a kill lasts until the worker is back.
    pub length_ms: i64,
    /// How it is done.
    pub action: Action,
}

/// How something is broken.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// By setting HealthFlow's knobs.
    Faults(Value),
    /// By killing the first worker.
    Kill,
}

/// The faults of a run of this length, one after the other.
pub fn plan(duration_ms: i64) -> Vec<PlannedFault> {
    let short_ms = (duration_ms * 8 / 100).clamp(1_000, 3_500);
    // So long that the circuit breakers open, and that probes fail.
    let outage_ms = (duration_ms * 20 / 100).clamp(2_000, 20_000);
    let faults = |what, percent: i64, length_ms, knobs| PlannedFault {
        what,
        from_ms: duration_ms * percent / 100,
        length_ms,
        action: Action::Faults(knobs),
    };
    vec![
        faults(
            "HealthFlow loses answers; some writes land late",
            12,
            short_ms,
            json!({"drop_after": 0.25, "late_landing": 0.05, "late_landing_ms": 1_500}),
        ),
        PlannedFault {
            what: "worker-1 is killed with SIGKILL",
            from_ms: duration_ms * 30 / 100,
            length_ms: 0,
            action: Action::Kill,
        },
        faults(
            "HealthFlow answers 5xx, before and after doing it",
            52,
            short_ms,
            json!({"server_error_before": 0.3, "server_error_after": 0.2}),
        ),
        faults("HealthFlow answers 429", 62, short_ms, json!({"requests_per_second": 40.0})),
        faults("HealthFlow is down", 72, outage_ms, json!({"down": "refused"})),
    ]
}

/// The log of what went wrong.
#[derive(Default)]
pub struct FaultLog {
    history: Mutex<FaultHistory>,
}

/// What it holds.
#[derive(Clone, Default)]
pub struct FaultHistory {
    /// The fault that is active now.
    pub current: Option<&'static str>,
    /// When each fault began and ended.
    pub spans: Vec<Span>,
    /// When a worker was killed, and when it was back at work.
    pub killed: Option<Span>,
}

impl FaultLog {
    /// A copy.
    pub fn history(&self) -> FaultHistory {
        self.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn write(&self, change: impl FnOnce(&mut FaultHistory)) {
        change(&mut self.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// Performs all `faults`; between them HealthFlow has the knobs of `good_health`.
pub async fn perform(
    faults: &[PlannedFault],
    healthflow: &HealthFlow,
    good_health: &Value,
    victim: &mut Worker,
    fault_log: &FaultLog,
) -> Result<()> {
    let start = Instant::now();
    for fault in faults {
        sleep_until(start + Duration::from_millis(fault.from_ms.unsigned_abs())).await;
        let from = now();
        fault_log.write(|history| {
            history.current = Some(fault.what);
            history.spans.push(Span { from, until: Timestamp::NEVER });
        });
        match &fault.action {
            Action::Faults(knobs) => {
                healthflow.set_faults(knobs).await?;
                sleep(Duration::from_millis(fault.length_ms.unsigned_abs())).await;
                healthflow.set_faults(good_health).await?;
            }
            Action::Kill => {
                let killed_at = kill(healthflow, good_health, victim).await?;
                let killed = Span { from: killed_at, until: now() };
                fault_log.write(|history| history.killed = Some(killed));
            }
        }
        let until = now();
        fault_log.write(|history| {
            history.current = None;
            if let Some(span) = history.spans.last_mut() {
                span.until = until;
            }
        });
    }
    Ok(())
}

/// Kills `victim` while answers are under way, starts it again, and waits until it works. Returns when it was killed.
async fn kill(healthflow: &HealthFlow, good_health: &Value, victim: &mut Worker) -> Result<Timestamp> {
    healthflow.set_faults(&json!({ "latency_ms": SLOW_MS })).await?;
    sleep(SLOW_BEFORE).await;
    let killed_at = now();
    victim.kill()?;
    sleep(SLOW_AFTER).await;
    healthflow.set_faults(good_health).await?;
    sleep(DEAD_FOR).await;
    victim.start()?;
    victim.ready().await?;
    Ok(killed_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_come_one_after_the_other_and_leave_the_end_in_peace() {
        for duration_ms in [12_000, 40_000, 200_000] {
            let faults = plan(duration_ms);
            assert!(faults.iter().any(|fault| fault.action == Action::Kill));
            for pair in faults.windows(2) {
                assert!(pair[0].from_ms + pair[0].length_ms < pair[1].from_ms, "{pair:?}");
            }
            let last = &faults[faults.len() - 1];
            assert!(last.from_ms + last.length_ms < duration_ms);
        }
    }
}
