//! HealthFlow is down for two hours under a Monday's load: refused connections, then 503, then no answer at all. Then it is back. A worker
//! is killed meanwhile.

use healthflow_core::booking::Source;
use healthflow_core::limits::breaker::BreakerState;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_proof::finding::Sought::{AtLeast, AtMost};
use healthflow_proof::finding::{Finding, Report};
use healthflow_simulator::answer::{Down, Faults, Simulator};
use serde_json::json;

use crate::load::{BEGIN, HOUR_MS, MINUTE_MS, publish};
use crate::world::{CALL_MS, CONFIRMED_MS, Ended, World};

const PARTITIONS: u32 = 6;
/// Calls a second that HealthFlow allows, and bookings a second: 60 % of that.
const LIMIT: f64 = 20.0;
const PER_SECOND: i64 = 12;
/// HealthFlow is well before, long enough for charts to be read.
const DOWN_AT: i64 = BEGIN + 10 * MINUTE_MS;
const OUTAGE_MS: i64 = 2 * HOUR_MS;
const BACK_AT: i64 = DOWN_AT + OUTAGE_MS;
/// How long bookings come after it. The backlog takes three hours of it: 86,400 bookings wait, and the limit leaves eight calls a second over.
const AFTER_MS: i64 = 3 * HOUR_MS + 20 * MINUTE_MS;
/// How long everything may take after the last booking.
const REST_MS: i64 = 30 * MINUTE_MS;
const SECOND_MS: i64 = 1_000;

fn settings() -> Settings {
    Settings {
        partition_count: PARTITIONS,
        guard: GuardMode::IdempotencyKey,
        requests_per_second: LIMIT,
        ..Settings::for_tests()
    }
}

fn healthy() -> Faults {
    Faults { latency_ms: CALL_MS, ..Faults::default() }
}

/// When what happened.
struct Times {
    /// Every breaker was open from then on.
    opened_at: i64,
    /// Every breaker was closed again, and everything at full speed.
    closed_at: i64,
    /// No more bookings waited than come in a second.
    drained_at: i64,
}

fn live_while(world: &mut World, until: i64, goes_on: impl Fn(&World) -> bool) -> i64 {
    while world.now < until && goes_on(world) {
        world.live_until(world.now + SECOND_MS);
    }
    world.now
}

/// Breaks HealthFlow, mends it, and lives on until everything is answered.
fn perform(world: &mut World, bookings: usize) -> Times {
    world.live_until(DOWN_AT);
    let mut opened_at = None;
    for (third, faults) in [
        Faults { down: Down::Refused, ..healthy() },
        Faults { down: Down::Unavailable, ..healthy() },
        Faults { drop_before: 1.0, hang_ms: 60_000, ..healthy() },
    ]
    .into_iter()
    .enumerate()
    {
        world.healthflow.set_faults(faults);
        let is_closed = |world: &World| !world.breakers_are(BreakerState::Open);
        let end = DOWN_AT + OUTAGE_MS * (third as i64 + 1) / 3;
        let seen_at = live_while(world, end, is_closed);
        opened_at.get_or_insert(seen_at);
        world.live_until(end);
    }
    world.healthflow.set_faults(healthy());
    let end = BACK_AT + AFTER_MS + REST_MS;
    let closed_at = live_while(world, end, |world| !world.breakers_are(BreakerState::Closed));
    let waits = |world: &World| {
        let published = (world.now.min(BACK_AT + AFTER_MS) - BEGIN) * PER_SECOND / SECOND_MS;
        published - world.ended.len() as i64 > PER_SECOND
    };
    let drained_at = live_while(world, end, waits);
    live_while(world, end, |world| world.ended.len() < bookings);
    Times { opened_at: opened_at.unwrap_or(end), closed_at, drained_at }
}

fn findings(world: &World, times: &Times) -> Vec<Finding> {
    let count = |is_one: &dyn Fn(&&Ended) -> bool| world.ended.iter().filter(is_one).count() as f64;
    let in_outage = |ended: &&Ended| (times.opened_at..BACK_AT).contains(&ended.asked_at);
    let spent: u32 = world.ended.iter().filter(in_outage).map(|ended| ended.attempts.saturating_sub(1)).sum();
    let fresh = |ended: &&Ended| ended.asked_at >= BACK_AT;
    let in_time = count(&|ended| fresh(ended) && ended.waited_ms() <= CONFIRMED_MS) / count(&fresh);
    let sent =
        world.sent.iter().filter(|sent| (times.closed_at..times.drained_at).contains(&sent.at)).count();
    let per_second = sent as f64 * SECOND_MS as f64 / (times.drained_at - times.closed_at) as f64;
    vec![
        Finding::new("dead letters", AtMost(0.0), count(&|ended| ended.is_dead_letter)),
        Finding::new("bookings without a result", AtMost(0.0), world.asked_for.len() as f64),
        Finding::new("results of a booking that had its result", AtMost(0.0), world.results_again as f64),
        // A worker that starts meanwhile does not know yet.
        Finding::new(
            "attempts spent meanwhile: of a new worker's first calls",
            AtMost(settings().breaker.calls_min as f64),
            f64::from(spent),
        ),
        Finding::new("share confirmed in 30 s of those asked for after it", AtLeast(0.99), in_time),
        Finding::new("calls while the backlog goes, of the limit", AtLeast(0.9), per_second / LIMIT),
        Finding::new("the same, never more than the limit", AtMost(1.0), per_second / LIMIT),
    ]
}

/// Goal: an outage of hours costs no booking, no attempt and no dead letter, and who books after it does not wait for its backlog.
pub fn measure() -> Report {
    let mut world = World::new(settings(), Simulator::new(healthy(), 1), BEGIN - MINUTE_MS);
    let until = BACK_AT + AFTER_MS;
    let bookings = ((until - BEGIN) * PER_SECOND / SECOND_MS) as usize;
    publish(&mut world, "new", Source::Live, bookings, (BEGIN, until));
    world.kill(1, DOWN_AT + HOUR_MS);
    let times = perform(&mut world, bookings);
    let load = json!({
        "requests_per_second": LIMIT, "bookings_per_second": PER_SECOND, "bookings": bookings, "outage_s": OUTAGE_MS / SECOND_MS,
        "breakers_open_after_s": (times.opened_at - DOWN_AT) / SECOND_MS, "breakers_closed_after_s": (times.closed_at - BACK_AT) / SECOND_MS,
        "backlog_s": (times.drained_at - BACK_AT) / SECOND_MS, "workers": 2, "partitions": PARTITIONS,
    });
    Report::new("outage-of-hours", load, findings(&world, &times))
}
